"""Users, limits and shared packages on a whole node, changed from other processes while it runs, and after kill -9."""

from __future__ import annotations

import json
import subprocess
import sys
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
