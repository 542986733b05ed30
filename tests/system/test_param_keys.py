"""Encrypted parameters on a whole node: plain only for the action, and for nobody else anywhere."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.waiting import until
from tests.system.conftest import ROOT, NodeProcess, StartNode
from tests.system.test_idempotency import send

SECRET = "the-secret-nobody-sees"
CODE = f"""
import os
BACKWARDS = '{SECRET[::-1]}'
def main(args):
    return {{'seen': args['s'][::-1] == BACKWARDS, 'init': os.environ['E'][::-1] == BACKWARDS}}
"""
GOOD = {"seen": True, "init": True}


def keys(path: Path, current: str, **more: bytes) -> tuple[str, str]:
    path.write_text(json.dumps({"current": current, **{name: base64.b64encode(key).decode() for name, key in more.items()}}))
    return "--param-keys", str(path)


def run(node: NodeProcess, name: str, body: Any = None) -> Any:
    return send(node, "POST", f"actions/{name}?blocking=true&result=true", body or {})


def put(node: NodeProcess, name: str) -> dict[str, Any]:
    parameters = [{"key": "s", "value": SECRET}, {"key": "E", "value": SECRET, "init": True}]
    body = {"exec": {"kind": "python:3", "code": CODE}, "parameters": parameters}
    status, found = send(node, "PUT", f"actions/{name}?overwrite=true", body)
    assert status == 200
    return found  # type: ignore[no-any-return]


def test_secrets_stay_secret_and_keys_can_be_changed(start_node: StartNode, tmp_path: Path) -> None:
    """Stored, journaled and shown encrypted; after a change of keys old and new values are opened; without the key it is said."""
    old = {"aes-128": b"o" * 16}
    node = start_node("--auth", "guest", *keys(tmp_path / "old", "aes-128", **old))
    shown = put(node, "one")["parameters"]
    assert {pair["encryption"] for pair in shown} == {"aes-128"}
    assert run(node, "one") == (200, GOOD)
    assert run(node, "one", {"s": "mine"}) == (200, {"seen": False, "init": True})
    assert node.stop() == 0
    files = [path for path in node.data_dir.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]

    both = keys(tmp_path / "both", "aes-256", **old, **{"aes-256": b"n" * 32})
    node = start_node("--auth", "guest", *both, data_dir=node.data_dir)
    assert {pair["encryption"] for pair in put(node, "two")["parameters"]} == {"aes-256"}
    assert [run(node, name) for name in ("one", "two")] == [(200, GOOD)] * 2
    assert node.stop() == 0

    node = start_node("--auth", "guest", data_dir=node.data_dir)
    status, answer = run(node, "two")
    text = "The parameter 's' is encrypted with the key 'aes-256', which this node does not have."
    assert (status, answer["error"]) == (500, text)
    until(lambda: [row for row in send(node, "GET", "activations?name=two")[1] if row["statusCode"] == 3])


def test_a_bad_file_of_keys_is_said_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("{}x")
    command = [sys.executable, str(ROOT / "run.py"), "node", "--port", "0", "--data-dir", str(tmp_path / "data")]
    command += ["--param-keys", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"{path}: not a JSON object of texts" in done.stderr
    assert "Traceback" not in done.stderr
