"""What the `wsk` program sends, command by command, and what it can't do without in the answers.

The program itself is in no registry. Its requests are those of clients.md 3 and openwhisk-controller.md 7.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.conftest import Wsk, record_of

pytestmark = pytest.mark.nodejs

CODE = {"kind": "nodejs:default", "code": "function main(a) { console.log('seen'); return {hi: a.name || 'you'} }"}
HERE = "/namespaces/_"


@pytest.fixture(autouse=True)
def clean(wsk: Wsk) -> Iterator[None]:
    """Nothing is left of a test in the namespace but records."""
    yield
    for collection in ("rules", "triggers", "actions"):
        for row in wsk("GET", f"{HERE}/{collection}?limit=0&skip=0")[1]:
            path = "/".join([*row["namespace"].split("/")[1:], row["name"]])
            assert wsk("DELETE", f"{HERE}/{collection}/{path}")[0] == 200
    for row in wsk("GET", f"{HERE}/packages?limit=0&skip=0")[1]:
        assert wsk("DELETE", f"{HERE}/packages/{row['name']}")[0] == 200


def create(wsk: Wsk, name: str = "hello", **more: Any) -> dict[str, Any]:
    """`wsk action create`."""
    package, _, action = name.rpartition("/")
    body = {"namespace": "_", "name": action, "exec": CODE, "limits": {}, **more}
    status, found = wsk("PUT", f"{HERE}/actions/{name}?overwrite=false", body)
    assert status == 200, found
    assert found["namespace"] == (f"guest/{package}" if package else "guest")
    return found  # type: ignore[no-any-return]


def test_property_get(wsk: Wsk) -> None:
    """clients.md 3, 11 and 12: a first namespace, and strings for the build."""
    assert wsk("GET", "/namespaces") == (200, ["guest"])
    status, info = wsk("GET", "", auth=None)
    assert (status, type(info["build"]), type(info["buildno"])) == (200, str, str)


def test_action_create_get_list(wsk: Wsk) -> None:
    """clients.md 3, 2, 3, 5, 6."""
    made = create(wsk)
    annotations = {pair["key"]: pair["value"] for pair in made["annotations"]}
    assert (made["exec"]["kind"], annotations["exec"]) == ("nodejs:20", "nodejs:20")
    status, shown = wsk("GET", f"{HERE}/actions/hello?code=false")
    assert (status, shown["exec"]) == (200, {"kind": "nodejs:20", "binary": False})
    assert wsk("GET", f"{HERE}/actions/hello?code=true")[1]["exec"]["binary"] is False
    status, rows = wsk("GET", f"{HERE}/actions?limit=30&skip=0")
    assert [row["name"] for row in rows] == ["hello"]
    assert wsk("GET", f"{HERE}/actions?limit=0&skip=0") == (200, rows)
    assert wsk("GET", f"{HERE}/actions?limit=201&skip=0")[0] == 400


def test_action_update_keeps_the_code_and_takes_a_document_back(wsk: Wsk) -> None:
    """clients.md 3, 6: `--copy` and wskdebug send back what GET gave; an update without `exec` keeps the code."""
    create(wsk)
    whole = wsk("GET", f"{HERE}/actions/hello?code=true")[1]
    status, copy = wsk("PUT", f"{HERE}/actions/copy?overwrite=false", {**whole, "name": "copy", "namespace": "_"})
    assert (status, copy["exec"]["code"]) == (200, CODE["code"])
    assert wsk("GET", f"{HERE}/actions/nosuch?code=false")[0] == 404
    parameters = [{"key": "name", "value": "me"}]
    given = {"namespace": "_", "name": "hello", "parameters": parameters, "delAnnotations": ["provide-api-key"], "limits": {}}
    status, updated = wsk("PUT", f"{HERE}/actions/hello?overwrite=true", given)
    assert (status, updated["version"]) == (200, "0.0.2")
    assert [pair["key"] for pair in updated["annotations"]] == ["exec"]
    assert wsk("POST", f"{HERE}/actions/hello?blocking=true&result=true", {})[1] == {"hi": "me"}


def test_action_invoke(wsk: Wsk) -> None:
    """clients.md 3, 3, 4, 7, 9: both flags always, an object always."""
    create(wsk)
    status, answer = wsk("POST", f"{HERE}/actions/hello?blocking=false&result=false", {})
    assert (status, list(answer)) == (202, ["activationId"])
    status, answer = wsk("POST", f"{HERE}/actions/hello?blocking=true&result=true", {"name": "you"})
    assert (status, answer) == (200, {"hi": "you"})
    status, answer = wsk("POST", f"{HERE}/actions/hello?blocking=true&result=false", {})
    assert (status, answer["response"]["success"], answer["response"]["status"]) == (200, True, "success")
    assert wsk("POST", f"{HERE}/actions/hello?blocking=true&result=true")[0] == 200


def test_a_failing_action_is_told_from_a_failing_server(wsk: Wsk) -> None:
    """clients.md 3, 8: 502 without `code`; errors of the server have both fields as strings."""
    create(wsk, exec={"kind": "nodejs:default", "code": "function main(a) { return {error: 'no'} }"})
    status, bare = wsk("POST", f"{HERE}/actions/hello?blocking=true&result=true", {})
    assert (status, bare) == (502, {"error": "no"})
    status, whole = wsk("POST", f"{HERE}/actions/hello?blocking=true&result=false", {})
    assert (status, "code" in whole, whole["response"]["result"]) == (502, False, {"error": "no"})


@pytest.mark.parametrize(
    ("method", "path", "body", "auth", "status"),
    [
        ("GET", f"{HERE}/actions/nosuch?code=false", None, True, 404),
        ("DELETE", f"{HERE}/actions/nosuch", None, True, 404),
        ("GET", "/namespaces", None, False, 401),
        ("GET", "/namespaces/other/actions?limit=30&skip=0", None, True, 403),
        ("PUT", f"{HERE}/actions/x?overwrite=false", {"exec": {"kind": "cobol:1", "code": ""}}, True, 400),
        ("POST", f"{HERE}/packages/refresh", None, True, 404),
        ("POST", f"{HERE}/triggers/nosuch", {}, True, 404),
        ("GET", "/web/whisk.system/apimgmt/getApi.http?accesstoken=DUMMY+TOKEN&limit=30&skip=0", None, True, 404),
    ],
)
def test_every_error_has_a_text_and_a_code(wsk: Wsk, method: str, path: str, body: Any, auth: bool, status: int) -> None:
    """clients.md 3, 4 and 8: else `wsk` prints that the connection failed."""
    got, answer = wsk(method, path, body, *(() if auth else (None,)))
    assert (got, type(answer["error"]), type(answer["code"])) == (status, str, str)


def test_packages_and_bindings(wsk: Wsk) -> None:
    """clients.md 3, 2, 5, 7."""
    package = {"namespace": "_", "name": "pkg", "parameters": [{"key": "name", "value": "p"}]}
    status, made = wsk("PUT", f"{HERE}/packages/pkg?overwrite=false", package)
    assert (status, made["binding"]) == (200, {})
    assert "actions" not in made or made["actions"] == []
    create(wsk, "pkg/hello")
    status, rows = wsk("GET", f"{HERE}/actions/pkg/?limit=30&skip=0")
    assert (status, [row["namespace"] for row in rows]) == (200, ["guest/pkg"])
    provider = {"namespace": "_", "name": "pkg"}
    binding = {"namespace": "_", "name": "bound", "binding": provider, "annotations": None, "parameters": []}
    status, bound = wsk("PUT", f"{HERE}/packages/bound?overwrite=false", binding)
    assert (status, bound["binding"]) == (200, {"namespace": "guest", "name": "pkg"})
    assert wsk("POST", f"{HERE}/actions/bound/hello?blocking=true&result=true", {})[1] == {"hi": "p"}
    shown = wsk("GET", f"{HERE}/packages/pkg")[1]
    assert ([action["name"] for action in shown["actions"]], shown["feeds"]) == (["hello"], [])
    assert wsk("GET", f"{HERE}/packages?limit=30&skip=0")[0] == 200


def test_triggers_and_rules(wsk: Wsk) -> None:
    """clients.md 3, 5, 7."""
    create(wsk)
    status, trigger = wsk("PUT", f"{HERE}/triggers/t?overwrite=false", {"name": "t", "annotations": [], "parameters": []})
    assert (status, trigger["limits"]) == (200, {})
    given = {"name": "r", "status": "", "trigger": "/_/t", "action": "/_/hello"}
    status, rule = wsk("PUT", f"{HERE}/rules/r?overwrite=false", given)
    assert (status, rule["status"], rule["trigger"], rule["action"]) == (
        200, "active", {"path": "guest", "name": "t"}, {"path": "guest", "name": "hello"},
    )  # fmt: skip
    for state in ("inactive", "active", "inactive"):
        assert wsk("POST", f"{HERE}/rules/r", {"name": "r", "status": state, "trigger": None, "action": None}) == (200, "OK")
        assert wsk("GET", f"{HERE}/rules/r")[1]["status"] == state
    assert wsk("POST", f"{HERE}/triggers/t", {}) == (204, "")
    assert wsk("POST", f"{HERE}/rules/r", {"name": "r", "status": "active", "trigger": None, "action": None}) == (200, "OK")
    status, fired = wsk("POST", f"{HERE}/triggers/t", {"name": "me"})
    assert status == 202
    line = json.loads(record_of(wsk, fired["activationId"])["logs"][0])
    assert (line["rule"], line["success"]) == ("guest/r", True)
    assert record_of(wsk, line["activationId"])["response"]["result"] == {"hi": "me"}
    assert wsk("GET", f"{HERE}/activations?docs=true&limit=0&name=t&skip=0")[1][0]["activationId"] == fired["activationId"]
    assert [row["name"] for row in wsk("GET", f"{HERE}/rules?limit=30&skip=0")[1]] == ["r"]
    assert wsk("DELETE", f"{HERE}/rules/r")[0] == 200


def test_sequences(wsk: Wsk) -> None:
    """clients.md 3, 5: `/_/name` is stored resolved and repeated in `_actions`; `code` may be there, and empty."""
    create(wsk)
    code = {"kind": "sequence", "code": "", "components": ["/_/hello", "/whisk.system/utils/echo"]}
    body = {"namespace": "_", "name": "seq", "exec": code}
    status, made = wsk("PUT", f"{HERE}/actions/seq?overwrite=false", body)
    components = ["/guest/hello", "/whisk.system/utils/echo"]
    assert (status, made["exec"]["components"]) == (200, components)
    assert made["parameters"] == [{"key": "_actions", "value": components}]
    status, whole = wsk("POST", f"{HERE}/actions/seq?blocking=true&result=false", {"name": "me"})
    assert (status, whole["response"]["result"]) == (200, {"hi": "me"})
    assert len(record_of(wsk, whole["activationId"])["logs"]) == 2


def test_activations(wsk: Wsk) -> None:
    """clients.md 3, 3, 7, 16: poll, last, logs, result."""
    create(wsk)
    since = int(time.time() * 1000)
    activation_id = wsk("POST", f"{HERE}/actions/hello?blocking=false&result=false", {})[1]["activationId"]
    found = record_of(wsk, activation_id)
    assert found["response"]["success"] is True
    assert wsk("GET", f"{HERE}/activations?limit=1&skip=0")[1][0]["activationId"] == activation_id
    _, docs = wsk("GET", f"{HERE}/activations?docs=true&limit=0&since={since}&skip=0")
    assert [(row["activationId"], row["logs"]) for row in docs] == [(activation_id, found["logs"])]
    time_text, stream, text = wsk("GET", f"{HERE}/activations/{activation_id}/logs")[1]["logs"][0].split(maxsplit=2)
    assert (time_text[-1], stream, text) == ("Z", "stdout:", "seen")
    assert wsk("GET", f"{HERE}/activations/{activation_id}/result")[1]["result"] == {"hi": "you"}
    rows = wsk("GET", f"{HERE}/activations?limit=30&name=hello&since={since}&skip=0")[1]
    kinds = {pair["key"]: pair["value"] for pair in rows[0]["annotations"]}
    assert (rows[0]["statusCode"], kinds["kind"]) == (0, "nodejs:20")
