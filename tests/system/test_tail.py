"""`activation logs --follow` on a whole node."""

from __future__ import annotations

import socket
import subprocess
import sys

from tests.system.conftest import ROOT, StartNode
from tests.system.test_idempotency import send

CODE = """
import socket
def main(args):
    print('before', flush=True)
    with socket.create_connection(('127.0.0.1', args['port'])) as link:
        link.recv(1)
    print('after')
    return {}
"""


def test_lines_are_shown_while_the_action_runs(start_node: StartNode) -> None:
    """The first line is there while the action still waits; the second and the end follow."""
    node = start_node("--auth", "guest")
    assert send(node, "PUT", "actions/a", {"exec": {"kind": "python:3", "code": CODE}})[0] == 200
    with socket.create_server(("127.0.0.1", 0)) as gate:
        gate.settimeout(60)
        activation_id = send(node, "POST", "actions/a", {"port": gate.getsockname()[1]})[1]["activationId"]
        waiting, _ = gate.accept()
        command = [sys.executable, str(ROOT / "run.py"), "activation", "logs", "--follow", activation_id]
        command += ["--data-dir", str(node.data_dir)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            assert follower.stderr is not None
            assert follower.stdout.readline().endswith("stdout: before\n")
            waiting.sendall(b".")
            assert follower.stdout.readline().endswith("stdout: after\n")
            assert "ended: success" in follower.stderr.read()
            assert follower.wait(30) == 0
        waiting.close()
