"""`Idempotency-Key` on a node that is killed."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

from tests.controller.serving import basic
from tests.support.waiting import until
from tests.system.conftest import NodeProcess, StartNode

CODE = """
import socket
def main(args):
    with socket.create_connection(('127.0.0.1', args['port'])) as link:
        return {'done': bool(link.recv(1))}
"""


def send(node: NodeProcess, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
    headers = {"Authorization": basic("guest"), "Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{node.url}/api/v1/namespaces/_/{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_key_holds_across_a_crash(start_node: StartNode) -> None:
    """Killed while it runs: the same key finds the same activation before and after, and one record comes of it."""
    with socket.create_server(("127.0.0.1", 0)) as gate:
        gate.settimeout(60)
        _crash_and_repeat(start_node, gate)


def _crash_and_repeat(start_node: StartNode, gate: socket.socket) -> None:
    node = start_node("--auth", "guest")
    assert send(node, "PUT", "actions/a", {"exec": {"kind": "python:3", "code": CODE}})[0] == 200
    given = {"port": gate.getsockname()[1]}
    status, first = send(node, "POST", "actions/a", given, "k")
    assert status == 202
    running, _ = gate.accept()
    assert send(node, "POST", "actions/a", given, "k") == (202, first)
    node.process.kill()
    node.process.wait()
    running.close()
    after = start_node("--auth", "guest", data_dir=node.data_dir)
    assert send(after, "POST", "actions/a", given, "k") == (202, first)
    assert send(after, "POST", "actions/a", {**given, "x": 1}, "k")[0] == 422
    running, _ = gate.accept()
    running.sendall(b".")
    status, record = send(after, "POST", "actions/a?blocking=true", given, "k")
    assert (status, record["activationId"], record["response"]["result"]) == (200, first["activationId"], {"done": True})
    rows = until(lambda: send(after, "GET", "activations?name=a")[1])
    assert [row["activationId"] for row in rows] == [first["activationId"]]
    running.close()
    assert send(after, "POST", "actions/a?blocking=true&result=true", given, "k") == (200, {"done": True})
