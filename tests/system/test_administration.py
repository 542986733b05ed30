"""Users, limits and shared packages on a whole node, changed from other processes while it runs, and after kill -9."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.golden_replay import KEYS
from tests.system.conftest import ROOT, NodeProcess, StartNode

PATIENCE = 30.0
"""Seconds; a change of users is seen after 5."""


def _run(node: NodeProcess, *arguments: str, auth: str = "", code: int = 0) -> str:
    """A command on the node's data directory, or as a user of its API."""
    where = ("--apihost", node.url, "--auth", auth) if auth else ("--data-dir", str(node.data_dir))
    command = [sys.executable, str(ROOT / "run.py"), *arguments, *where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stdout + done.stderr


def _eventually(attempt: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            attempt()
            return
        except AssertionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def test_a_node_is_administered_while_it_runs(start_node: StartNode) -> None:
    """A new user comes in at once; a blocked one is refused and limits hold within seconds, both without a restart."""
    node = start_node()
    alice = _run(node, "user", "create", "alice").strip()
    bobby = _run(node, "user", "create", "bobby", "--auth", KEYS["other"]).strip()
    assert _run(node, "namespace", "list", auth=alice) == "alice\n"
    _eventually(lambda: _run(node, "package", "list", "/whisk.system", auth=alice).index("whisk.system/utils\tshared"))
    found = json.loads(_run(node, "invoke", "/whisk.system/utils/sort", "-r", "-p", "lines", "[3,1,2]", auth=alice))
    assert found["lines"] == [1, 2, 3]
    _run(node, "package", "bind", "/whisk.system/utils", "u", "-p", "separator", ";", auth=alice)
    split = json.loads(_run(node, "invoke", "u/split", "-r", "-p", "payload", "a;b", auth=alice))
    assert split == {"lines": ["a", "b"], "payload": "a;b"}
    _run(node, "package", "create", "p", auth=bobby)
    _run(node, "user", "block", "bobby")
    _run(node, "limits", "set", "alice", "--allowedKinds", "nodejs:20", "--maxActionMemory", "128")
    _eventually(lambda: _run(node, "package", "get", "p", auth=bobby, code=4).index("supplied authentication is invalid"))
    source = str(ROOT / "controller" / "catalog" / "utils" / "echo.py")
    _eventually(lambda: _run(node, "action", "put", "echo", source, auth=alice, code=4).index("actions of kind 'python:3'"))
    beyond = "memory size 256 MB exceeds allowed threshold of 128 MB"
    assert beyond in _run(node, "invoke", "u/split", "-r", "-p", "payload", "a;b", auth=alice, code=1)
    _run(node, "user", "unblock", "bobby")
    _run(node, "limits", "delete", "alice")
    _run(node, "package", "get", "p", auth=bobby)
    _eventually(lambda: _run(node, "action", "put", "echo", source, auth=alice))


def test_entities_survive_kill_9(start_node: StartNode) -> None:
    """What was answered with 200 is there after the next start: links and statuses of rules, bindings, versions."""
    node = start_node("--auth", KEYS["guest"])
    auth = KEYS["guest"]
    _eventually(lambda: _run(node, "package", "get", "/whisk.system/utils", auth=auth))
    _run(node, "package", "bind", "/whisk.system/utils", "u", auth=auth)
    _run(node, "trigger", "create", "t", "-p", "a", "1", auth=auth)
    for name in ("r1", "r2"):
        _run(node, "rule", "create", name, "t", "/whisk.system/utils/echo", auth=auth)
    _run(node, "rule", "disable", "r2", auth=auth)
    node.process.kill()
    node.process.wait()
    again = start_node("--auth", auth, data_dir=node.data_dir)
    links = json.loads(_run(again, "trigger", "get", "t", auth=auth))["rules"]
    assert {name: link["status"] for name, link in links.items()} == {"guest/r1": "active", "guest/r2": "inactive"}
    assert json.loads(_run(again, "package", "get", "u", auth=auth))["actions"]


def _ask(node: NodeProcess, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and JSON of one request as guest. Raises OSError, HTTPException if the node dies meanwhile."""
    link = http.client.HTTPConnection(*node.address, timeout=60)
    try:
        key = base64.b64encode(KEYS["guest"].encode()).decode()
        data = None if body is None else json.dumps(body)
        link.request(
            method, f"/api/v1/namespaces/_/{path}", data, {"Authorization": f"Basic {key}", "Content-Type": "application/json"}
        )
        answer = link.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        link.close()


def test_kill_9_amid_rules_that_come_and_go(start_node: StartNode) -> None:
    """Every rule whose creation was answered is there, active and known to its trigger, every deleted one is gone from both.

    What was under way at that instant can be done again.
    """
    node = start_node("--auth", KEYS["guest"])
    assert _ask(node, "PUT", "triggers/t", {})[0] == 200
    assert _ask(node, "PUT", "actions/a", {"exec": {"kind": "python:3", "code": "def main(a): return a"}})[0] == 200
    body, made, gone, tried = {"trigger": "/_/t", "action": "/_/a"}, set(), set(), set()

    def change(worker: int) -> None:
        for number in range(10_000):
            name = f"r{worker}x{number}"
            tried.add(name)
            try:
                assert _ask(node, "PUT", f"rules/{name}", body)[0] == 200
                made.add(name)
                if number % 3 == 0:
                    made.discard(name)
                    assert _ask(node, "DELETE", f"rules/{name}")[0] == 200
                    gone.add(name)
            except (OSError, http.client.HTTPException):
                return

    workers = [threading.Thread(target=change, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    until = time.monotonic() + PATIENCE
    while len(made) < 20 and time.monotonic() < until:
        time.sleep(0.01)
    node.process.kill()
    for worker in workers:
        worker.join(PATIENCE)
    again = start_node("--auth", KEYS["guest"], data_dir=node.data_dir)
    links = {key.partition("/")[2]: link["status"] for key, link in _ask(again, "GET", "triggers/t")[1]["rules"].items()}
    stored = {row["name"] for row in _ask(again, "GET", "rules?limit=0")[1]}
    assert len(made) >= 20
    assert made <= stored
    assert {links[name] for name in made} == {"active"}
    assert not gone & (stored | links.keys())
    under_way = tried - made - gone
    assert len(under_way) <= len(workers)
    for name in under_way:
        assert _ask(again, "PUT", f"rules/{name}?overwrite=true", body)[0] == 200
        assert _ask(again, "DELETE", f"rules/{name}")[0] == 200
    assert set(_ask(again, "GET", "triggers/t")[1]["rules"]) == {f"guest/{name}" for name in made}
