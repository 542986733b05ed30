"""The command line `aio runtime` (clients.md 1): every command of the core against a node."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Drive, Wsk, record_of

pytestmark = pytest.mark.clients

Aio = Callable[..., list[dict[str, Any]]]

CODE = "function main(a) { console.log('seen'); return {hi: a.name || 'you'} }\n"


@pytest.fixture
def aio(drive: Drive) -> Aio:
    """Runs commands, each given as one text; all of them must succeed."""

    def run(*commands: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = drive("cli.js", [command.split() for command in commands])
        failures = {command: one["failure"] for command, one in zip(commands, found, strict=True) if one["failure"]}
        assert not failures, failures
        return found

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hello.js"
    path.write_text(CODE)
    return path


def shown(one: dict[str, Any]) -> Any:
    """The JSON that a command printed, after a name perhaps."""
    text: str = one["stdout"]
    return json.loads(text[min(at for at in (text.find("{"), text.find("["), len(text)) if at >= 0) :])


def test_properties_and_namespaces(aio: Aio) -> None:
    settings, names, all_of_it = aio("property get", "namespace list --json", "namespace get --json")
    assert "whisk namespace         guest" in settings["stdout"]
    assert shown(names) == ["guest"]
    assert {"actions", "packages", "triggers", "rules"} <= set(shown(all_of_it))


def test_actions(aio: Aio, file: Path) -> None:
    _, rows, result, record, got, _, updated, code, web, _ = aio(
        f"action create aio {file} -p name me -a note n -t 5000 -m 128 -l 1 --kind nodejs:default",
        "action list --json",
        "action invoke aio -r -p name Bo",
        "action invoke aio -b",
        "action get aio",
        f"action update aio {file} --web true",
        "action get aio --url",
        "action get aio -c",
        "action invoke aio --result",
        "action delete aio --json",
    )
    assert [row["name"] for row in shown(rows)] == ["aio"]
    assert shown(result) == {"hi": "Bo"}
    assert shown(record)["response"]["result"] == {"hi": "me"}
    assert shown(got)["limits"] == {"concurrency": 1, "logs": 1, "memory": 128, "timeout": 5000}
    assert "/web/guest/default/aio" in updated["stdout"]
    assert CODE.strip() in code["stdout"]
    assert shown(web) == {"hi": "you"} or shown(web) == {"hi": "me"}


def test_sequences(aio: Aio, file: Path) -> None:
    _, _, result, _, _ = aio(
        f"action create aio {file}",
        "action create aios --sequence /guest/aio,/whisk.system/utils/echo",
        "action invoke aios -r -p name Bo",
        "action delete aios",
        "action delete aio",
    )
    assert shown(result) == {"hi": "Bo"}


def test_packages(aio: Aio, file: Path) -> None:
    _, _, _, rows, got, bound, listed, *_ = aio(
        "package create aiop -p name p -a note n --json",
        f"action create aiop/aio {file}",
        "package update aiop --shared yes -p name q",
        "package list --json",
        "package get aiop",
        "package bind aiop aiob -p extra 1 --json",
        "action list aiop --json",
        "action delete aiop/aio",
        "package delete aiob",
        "package delete aiop --json",
    )
    assert [row["name"] for row in shown(rows)] == ["aiop"]
    assert [action["name"] for action in shown(got)["actions"]] == ["aio"]
    assert shown(bound)["binding"] == {"namespace": "guest", "name": "aiop"}
    assert [row["namespace"] for row in shown(listed)] == ["guest/aiop"]


def test_triggers_and_rules(aio: Aio, file: Path) -> None:
    found = aio(
        f"action create aio {file}",
        "trigger create aiot -p a 1",
        "trigger update aiot -a note n",
        "trigger get aiot",
        "rule create aior aiot aio --json",
        "rule update aior aiot aio --json",
        "rule disable aior",
        "rule status aior",
        "rule get aior",
        "trigger fire aiot -p b 2",
        "rule enable aior",
        "rule status aior",
        "trigger fire aiot -p b 2",
        "rule list --json",
        "trigger list --json",
        "rule delete aior --json",
        "trigger delete aiot",
        "action delete aio",
    )
    assert shown(found[3])["parameters"] == [{"key": "a", "value": "1"}]
    assert (shown(found[4])["status"], shown(found[5])["version"]) == ("active", "0.0.2")
    assert [found[index]["stdout"].strip() for index in (7, 11)] == ["inactive", "active"]
    assert [row["name"] for row in shown(found[13])] == ["aior"]
    assert [row["name"] for row in shown(found[14])] == ["aiot"]


def test_activations(aio: Aio, wsk: Wsk, file: Path) -> None:
    _, accepted, _ = aio(f"action create aio {file}", "action invoke aio", "action delete aio")
    activation_id = shown(accepted)["activationId"]
    record_of(wsk, activation_id)
    record, result, rows, last = aio(
        f"activation get {activation_id}",
        f"activation result {activation_id}",
        "activation list aio --json",
        "activation get --last",
    )
    assert (shown(record)["activationId"], shown(result)["result"]) == (activation_id, {"hi": "you"})
    assert shown(rows)[0]["activationId"] == activation_id
    assert shown(last)["activationId"] == activation_id


def test_a_manifest_is_deployed_and_undeployed(aio: Aio, file: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.yml"
    manifest.write_text(
        f"""packages:
  aiod:
    actions:
      hello:
        function: {file}
        runtime: nodejs:20
        web: true
        inputs: {{name: me}}
    triggers:
      aiodt: {{}}
    rules:
      aiodr: {{trigger: aiodt, action: hello}}
"""
    )
    _, result, rules, _, rows = aio(
        f"deploy -m {manifest}",
        "action invoke aiod/hello -r",
        "rule list --json",
        f"deploy undeploy -m {manifest}",
        "package list --json",
    )
    assert shown(result) == {"hi": "me"}
    assert [rule["name"] for rule in shown(rules)] == ["aiodr"]
    assert "aiod" not in [row["name"] for row in shown(rows)]
