"""The JavaScript libraries `openwhisk` and `aio-lib-runtime`: every group of methods (clients.md 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.conftest import Drive, Wsk, record_of

pytestmark = pytest.mark.clients

CODE = "function main(a) { console.log('seen'); return a.fail ? {error: 'no'} : {hi: a.name || 'you'} }"
Calls = Callable[..., list[dict[str, Any]]]


@pytest.fixture(params=["openwhisk", "@adobe/aio-lib-runtime"])
def calls(request: pytest.FixtureRequest, drive: Drive) -> Calls:
    """Calls methods given as (group, method, argument); what each gave."""

    def run(*given: tuple[Any, ...]) -> list[dict[str, Any]]:
        rows = [[group, method, *argument] for group, method, *argument in given]
        found: list[dict[str, Any]] = drive("call.js", {"library": request.param, "calls": rows})
        return found

    return run


def values(found: list[dict[str, Any]]) -> list[Any]:
    assert all("value" in one for one in found), found
    return [one["value"] for one in found]


def test_actions(calls: Calls) -> None:
    made, rows, shown, whole, result, updated, gone, missing = calls(
        ("actions", "create", {"name": "lib", "action": CODE, "annotations": {"note": "n"}, "params": {"name": "me"}}),
        ("actions", "list", {"limit": 0}),
        ("actions", "get", "lib"),
        ("actions", "invoke", {"name": "lib", "blocking": True}),
        ("actions", "invoke", {"name": "/guest/lib", "blocking": True, "result": True, "params": {"name": "Bo"}}),
        ("actions", "update", {"name": "lib", "action": CODE, "limits": {"timeout": 5000}}),
        ("actions", "delete", {"name": "lib"}),
        ("actions", "get", {"name": "lib"}),
    )
    assert made["value"]["exec"]["kind"] == "nodejs:20"
    assert [row["name"] for row in rows["value"]] == ["lib"]
    assert shown["value"]["exec"]["code"] == CODE
    assert (whole["value"]["response"]["result"], whole["value"]["response"]["success"]) == ({"hi": "me"}, True)
    assert result["value"] == {"hi": "Bo"}
    assert (updated["value"]["version"], updated["value"]["limits"]["timeout"]) == ("0.0.2", 5000)
    assert gone["value"]["name"] == "lib"
    assert (missing["status"], missing["error"]["error"]) == (404, "The requested resource does not exist.")


def test_failing_actions_are_errors_with_their_result(calls: Calls) -> None:
    _, failed, bare, _ = calls(
        ("actions", "create", {"name": "lib", "action": CODE}),
        ("actions", "invoke", {"name": "lib", "blocking": True, "params": {"fail": True}}),
        ("actions", "invoke", {"name": "lib", "blocking": True, "result": True, "params": {"fail": True}}),
        ("actions", "delete", "lib"),
    )
    assert (failed["status"], failed["error"]["response"]["result"]) == (502, {"error": "no"})
    assert bare["status"] == 502


def test_activations(calls: Calls, wsk: Wsk) -> None:
    _, accepted, _ = values(calls(
        ("actions", "create", {"name": "lib", "action": CODE}),
        ("actions", "invoke", "lib"),
        ("actions", "delete", "lib"),
    ))  # fmt: skip
    activation_id = accepted["activationId"]

    record_of(wsk, activation_id)
    record, logs, result, rows = values(calls(
        ("activations", "get", {"name": activation_id}),
        ("activations", "logs", {"name": activation_id}),
        ("activations", "result", {"name": activation_id}),
        ("activations", "list", {"limit": 1, "docs": True, "name": "lib"}),
    ))  # fmt: skip
    assert (record["activationId"], result["result"]) == (activation_id, {"hi": "you"})
    assert [line.split(maxsplit=2)[1:] for line in logs["logs"]] == [["stdout:", "seen"]]
    assert [row["activationId"] for row in rows] == [activation_id]


def test_sequences(calls: Calls) -> None:
    *_, made, result, _, _ = values(calls(
        ("actions", "create", {"name": "lib", "action": CODE}),
        ("actions", "create", {"name": "libs", "sequence": ["/guest/lib", "/whisk.system/utils/echo"]}),
        ("actions", "invoke", {"name": "libs", "blocking": True, "result": True, "params": {"name": "Bo"}}),
        ("actions", "delete", "libs"),
        ("actions", "delete", "lib"),
    ))  # fmt: skip
    assert made["exec"]["components"] == ["/guest/lib", "/whisk.system/utils/echo"]
    assert result == {"hi": "Bo"}


def test_packages(calls: Calls) -> None:
    made, _, bound, shown, rows, result, *gone = values(calls(
        ("packages", "create", {"name": "libp", "package": {"parameters": [{"key": "name", "value": "p"}], "publish": True}}),
        ("actions", "create", {"name": "libp/lib", "action": CODE}),
        ("packages", "update", {"name": "libb", "package": {"binding": {"namespace": "guest", "name": "libp"}}}),
        ("packages", "get", "libp"),
        ("packages", "list", {"limit": 2}),
        ("actions", "invoke", {"name": "libb/lib", "blocking": True, "result": True}),
        ("actions", "delete", "libp/lib"),
        ("packages", "delete", "libb"),
        ("packages", "delete", "libp"),
    ))  # fmt: skip
    assert (made["publish"], bound["binding"]) == (True, {"namespace": "guest", "name": "libp"})
    assert [action["name"] for action in shown["actions"]] == ["lib"]
    assert {row["name"] for row in rows} == {"libp", "libb"}
    assert result == {"hi": "p"}
    assert len(gone) == 3


def test_triggers_rules_and_namespaces(calls: Calls) -> None:
    _, trigger, rule, disabled, status, fired, enabled, rows, names, started, *_ = values(calls(
        ("actions", "create", {"name": "lib", "action": CODE}),
        ("triggers", "create", {"name": "libt", "trigger": {"annotations": []}}),
        ("rules", "create", {"name": "libr", "action": "lib", "trigger": "libt"}),
        ("rules", "disable", {"name": "libr"}),
        ("rules", "get", "libr"),
        ("triggers", "invoke", {"name": "libt", "params": {"a": 1}}),
        ("rules", "enable", {"name": "libr"}),
        ("rules", "list", {}),
        ("namespaces", "list", {}),
        ("triggers", "invoke", {"name": "libt", "params": {"a": 1}}),
        ("rules", "delete", "libr"),
        ("triggers", "delete", "libt"),
        ("actions", "delete", "lib"),
    ))  # fmt: skip
    assert (trigger["limits"], rule["status"]) == ({}, "active")
    assert (status["status"], status["trigger"]) == ("inactive", {"path": "guest", "name": "libt"})
    assert [row["name"] for row in rows] == ["libr"]
    assert names == ["guest"]
    assert list(started) == ["activationId"]
    assert not fired or "activationId" not in fired
    assert disabled in ("OK", {}, None)
    assert enabled == disabled
