"""Sequences, conductors and fired triggers on a whole node, beyond what was recorded of OpenWhisk."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from store.sqlite_schema import FILE_NAME
from tests.crash.node import ROOT, Node, until

ADD = "import os, time\ndef main(a):\n time.sleep(a.pop('sleep', 0))\n a['n'] = a.get('n', 0) + 1\n return a"
KEY = "import os\ndef main(a): return {'key': os.environ.get('__OW_API_KEY')}"
CALLS = "def main(a): return {'params': a} if a.get('s') else {'action': '%s', 'params': a, 'state': {'s': 1}}"


def action(code: str, **annotations: Any) -> dict[str, Any]:
    pairs = [{"key": key.replace("_", "-"), "value": value} for key, value in annotations.items()]
    return {"exec": {"kind": "python:3", "code": code}, "annotations": pairs}


def sequence(*names: str) -> dict[str, Any]:
    return {"exec": {"kind": "sequence", "components": [f"/_/{name}" for name in names]}}


ENTITIES = {
    "actions/add": action(ADD),
    "actions/gone": action(ADD),
    "actions/key": action(KEY, provide_api_key=True),
    "actions/two": sequence("add", "add"),
    "actions/calls": action(CALLS % "two", conductor=True),
    "actions/nested": sequence("calls", "two"),
    "actions/doomed": sequence("add", "gone"),
    "actions/keyed": sequence("add", "key"),
    "actions/round": action(CALLS % "ring", conductor=True),
    "actions/ring": sequence("round"),
    "triggers/t": {"parameters": [{"key": "own", "value": 1}]},
    "rules/r": {"trigger": "/_/t", "action": "/_/two"},
}


def put_all(node: Node) -> None:
    for path, body in ENTITIES.items():
        answer = node.api("PUT", f"{path}?overwrite=true", body)
        assert answer.status == 200, answer


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("compositions") / "data", "--auth", "guest") as started:
        started.wait_ready()
        put_all(started)
        yield started
        assert started.stop().left == []


def record(node: Node, activation_id: str) -> dict[str, Any]:
    """The stored record, waited for."""
    until(lambda: node.api("GET", f"activations/{activation_id}").status == 200, 30, lambda: node.output)
    return dict(node.api("GET", f"activations/{activation_id}").body)


def notes(found: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: pair["value"] for pair in found["annotations"]}


def test_a_composition_within_a_composition_within_a_composition(node: Node) -> None:
    """Each has its record, names those that it called, and is named as the cause by them."""
    whole = node.api("POST", "actions/nested?blocking=true", {}).body
    assert whole["response"]["result"] == {"n": 4, "s": 1}
    assert notes(whole)["topmost"] is True
    outer, last = (record(node, child) for child in whole["logs"])
    assert (outer["name"], notes(outer)["conductor"], notes(outer)["topmost"], outer["cause"]) == (
        "calls", True, False, whole["activationId"],
    )  # fmt: skip
    assert notes(outer)["causedBy"] == notes(last)["causedBy"] == "sequence"
    names = [record(node, child)["name"] for child in outer["logs"]]
    assert names == ["calls", "two", "calls"]
    inner = record(node, outer["logs"][1])
    assert inner["cause"] == outer["activationId"]
    assert [record(node, child)["cause"] for child in inner["logs"]] == [inner["activationId"]] * 2


def test_compositions_that_nest_without_end_come_to_one(node: Node) -> None:
    """A conductor and a sequence that call each other: each counts anew, so their depth is bounded."""
    answer = node.api("POST", "actions/round?blocking=true&result=true", {}, timeout=90)
    assert answer.body["error"] in {"Too many actions in the composition.", "Too many actions in the sequence."}
    node.wait_quiet()


def test_what_is_under_way_can_be_looked_at(node: Node) -> None:
    """State and children so far while it runs; afterwards `trace` shows parent and children, without arguments."""
    asked = node.api("POST", "actions/two", {"sleep": 4, "secret": "hush-hush"}).body["activationId"]
    seen = []

    def under_way() -> bool:
        body = node.api("GET", f"activations/{asked}?pending=true").body
        seen.append(body)
        return "state" not in body or bool(body["children"])

    until(under_way, 30, lambda: seen)
    assert seen[-1]["state"] == "running"
    first, *_ = seen[-1]["children"]
    done = record(node, asked)
    assert done["logs"][0] == first
    told = trace(node, asked)
    assert told["children"] == done["logs"]
    assert [step["state"] for step in told["steps"]][:4] == ["accepted", "child_assigned", "child_assigned", "finished"]
    assert trace(node, first)["parent"] == asked
    shown = run(node, "journal", "--node", "controller0", "--activation", asked, "--json")
    assert "child_assigned" in shown
    assert "hush-hush" not in shown


def run(node: Node, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "run.py"), *arguments, "--data-dir", str(node.data_dir)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def trace(node: Node, activation_id: str) -> dict[str, Any]:
    return dict(json.loads(run(node, "trace", activation_id, "--json")))


def test_changes_while_it_runs(node: Node) -> None:
    """The sequence goes on as it was accepted; a component that is deleted before its turn is missing then."""
    node.api("PUT", "actions/gone?overwrite=true", action(ADD))
    asked = node.api("POST", "actions/doomed", {"sleep": 4}).body["activationId"]
    assert node.api("DELETE", "actions/gone").status == 200
    assert node.api("PUT", "actions/doomed?overwrite=true", sequence("add")).status == 200
    done = record(node, asked)
    assert done["response"]["result"] == {"error": "Sequence component does not exist."}
    assert done["response"]["status"] == "application error"
    assert len(done["logs"]) == 1


def test_a_rule_may_fire_a_sequence(node: Node) -> None:
    """It is topmost, with no cause; its trigger's record names it. The caller's credentials are nowhere in it."""
    fired = node.api("POST", "triggers/t", {"n": 5}).body["activationId"]
    line = json.loads(record(node, fired)["logs"][0])
    assert (line["rule"], line["action"], line["success"], line["statusCode"]) == ("guest/r", "guest/two", True, 0)
    done = record(node, line["activationId"])
    assert notes(done)["topmost"] is True
    assert "cause" not in done
    result = done["response"]["result"]
    assert (result["n"], result["own"]) == (7, 1)
    assert "authorization" not in result["__ow_headers"]
    assert trace(node, line["activationId"])["parent"] == fired


def test_keys_are_looked_up_again_after_a_crash_and_never_journaled(tmp_path: Path) -> None:
    """Killed in the first step: the second one, in the next process, has the caller's key; the journal never had it."""
    data_dir = tmp_path / "data"
    with Node(data_dir) as node:
        node.wait_ready()
        put_all(node)
        asked = node.api("POST", "actions/keyed", {"sleep": 60}).body["activationId"]
        until(lambda: bool(node.api("GET", f"activations/{asked}?pending=true").body.get("children")), 30, lambda: node.output)
        node.api("PUT", "actions/add?overwrite=true", action("def main(a): return {}"))
        node.kill()
    with Node(data_dir) as node:
        node.wait_ready()
        assert "2 unfinished activations resumed" in node.output
        done = record(node, asked)
        assert done["response"]["result"] == {"key": node.auth}
        assert node.stop().left == []
    with closing(sqlite3.connect(f"file:{data_dir / FILE_NAME}?mode=ro", uri=True)) as connection:
        journal = b"".join(bytes(body) for (body,) in connection.execute("SELECT body FROM journal "))
    key = node.auth.partition(":")[2].encode()
    finished = b'"result\\":{\\"key\\":'
    assert journal.count(key) == journal.count(finished), "the key is there only where the action returned it"


def test_a_draining_node_finishes_its_compositions(tmp_path: Path) -> None:
    """New ones are refused, the steps of live ones are not; what the drain's time doesn't suffice for goes on at the next start."""
    data_dir = tmp_path / "data"
    with Node(data_dir, "--drain-timeout", "30s") as node:
        node.wait_ready()
        put_all(node)
        asked = node.api("POST", "actions/two", {"sleep": 1.5}).body["activationId"]
        node.signal(signal.SIGTERM)
        until(lambda: node.api("POST", "actions/two", {}).status == 503, 10, lambda: node.output)
        assert node.wait_dead().code == 0
    with Node(data_dir, "--drain-timeout", "0s") as node:
        node.wait_ready()
        assert record(node, asked)["response"]["result"] == {"n": 2}
        left = node.api("POST", "actions/two", {"sleep": 1}).body["activationId"]
        began = time.monotonic()
        assert node.stop().left == []
        assert time.monotonic() - began < 20
    with Node(data_dir) as node:
        node.wait_ready()
        assert record(node, left)["response"]["result"] == {"n": 2}
        node.wait_quiet()
        assert node.stop().left == []
