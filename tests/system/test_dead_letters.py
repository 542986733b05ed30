"""What the platform gave up is listed and can be asked for once more; commands that wait for a record see a restart through."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.node import ROOT, Node, until

SLOW = {"exec": {"kind": "python:3", "code": "import time\ndef main(a):\n time.sleep(60)\n return {}"}}
QUICK = {"exec": {"kind": "python:3", "code": "def main(a): return {'did': a['n']}"}}


def run(data_dir: Path, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, str(ROOT / "run.py"), *arguments, "--data-dir", str(data_dir)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=90)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def test_interrupted_retried_and_waited_for(tmp_path: Path, port: str) -> None:
    """Killed in the middle of code that may not run again, alone and as a step of a sequence: both are dead letters then."""
    data_dir = tmp_path / "data"
    with Node(data_dir, port=port) as node:
        node.wait_ready()
        node.api("PUT", "actions/once", {**SLOW, "annotations": [{"key": "replay", "value": "never"}]})
        node.api("PUT", "actions/s", {"exec": {"kind": "sequence", "components": ["/_/once", "/_/once"]}})
        alone, whole = (node.api("POST", f"actions/{name}", {"n": 1}).body["activationId"] for name in ("once", "s"))
        until(lambda: node.status()["running"] == 2, 30, lambda: node.output)
        waiting = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), "activation", "result", whole, "--wait", "--data-dir", str(data_dir)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        node.kill()
    with Node(data_dir, port=port) as node, waiting:
        node.wait_ready().wait_quiet()
        out, err = waiting.communicate(timeout=90)
        assert "interrupted" in json.loads(out)["error"], err
        dead = {row["activationId"]: row for row in json.loads(run(data_dir, "activation", "list", "--dead", "--json"))}
        assert {alone, whole} <= dead.keys()
        assert len(dead) == 3, "the two, and the step that was interrupted"
        node.api("PUT", "actions/once?overwrite=true", QUICK)
        assert json.loads(run(data_dir, "activation", "retry", alone, "--wait"))["response"]["result"] == {"did": 1}
        again = json.loads(run(data_dir, "activation", "retry", whole, "--wait"))
        assert again["response"]["result"]["error"], "its second step has no n"
        assert len(again["logs"]) == 2
        assert again["activationId"] not in {alone, whole}
        good = json.loads(run(data_dir, "invoke", "once", "-p", "n", "5", "--wait"))
        assert good["response"]["result"] == {"did": 5}
        run(data_dir, "activation", "retry", good["activationId"], code=4)
        run(data_dir, "activation", "retry", "0" * 32, code=4)
        assert node.api("POST", f"activations/{good['activationId']}/retry").status == 409
        assert node.api("POST", f"activations/{good['activationId']}/logs").status == 404
        assert node.stop().left == []
