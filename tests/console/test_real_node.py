"""The README's way, with a real node: put, invoke, kill -9, start again, the invocation finishes; drain ends everything."""

import re
import signal
import subprocess
import sys
import time

import pytest

from tests.fences import ROOT

PATIENCE = 60
"""Seconds that any step may take on a busy machine."""

SLOW = "import time\ndef main(args):\n    time.sleep(args['s'])\n    return {'done': True}\n"


class RealNode:
    """`run.py node` in a process of its own, its output in a file."""

    def __init__(self, place):
        self.place = place
        self.data = place / "data"
        self.process = None
        self.log = place / "node.out"

    def start(self):
        flags = ["--port", "0", "--data-dir", self.data, "--driver", "process", "--drain-timeout", "5s"]
        command = [sys.executable, ROOT / "run.py", "node", *flags]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=self.place)
        self.wait_for("ready after")

    def wait_for(self, text):
        end = time.monotonic() + PATIENCE
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            finally:
                self.process.kill()


@pytest.fixture
def real(tmp_path):
    node = RealNode(tmp_path)
    node.start()
    try:
        yield node
    finally:
        node.stop()


def eventually(work, wanted):
    """The first outcome of `work` that is as wanted."""
    end = time.monotonic() + PATIENCE
    while not wanted(outcome := work()):
        assert time.monotonic() < end, outcome
        time.sleep(0.1)
    return outcome


def test_the_readmes_way(cli, real, tmp_path):
    """Every command of the README does what it says there."""
    banner = real.log.read_text()
    assert re.search(r"API host +http://127\.0\.0\.1:\d+\n", banner)
    assert "[ OK ] Python" in banner

    (tmp_path / "hello.py").write_text(
        "def main(args):\n    print('called')\n    return {'greeting': 'Hello, ' + args['name'] + '!'}\n"
    )
    (tmp_path / "slow.py").write_text(SLOW)
    assert cli("action", "put", "hello", "hello.py").code == 0
    assert cli("action", "put", "slow", "slow.py").code == 0
    assert cli("invoke", "hello", "-r", "-p", "name", "Ada").json == {"greeting": "Hello, Ada!"}
    found = eventually(lambda: cli("activation", "list", "--json"), lambda found: found.code == 0 and found.json)
    hello = found.json[0]["activationId"]
    assert eventually(lambda: cli("activation", "logs", hello), lambda found: found.code == 0).out.endswith("stdout: called\n")
    assert "ready" in cli("status").out

    slow = cli("invoke", "slow", "-p", "s", "2").out.strip()
    eventually(lambda: cli("trace", slow), lambda found: "started" in found.out)
    real.process.kill()
    real.process.wait(PATIENCE)
    gone = cli("activation", "get", slow)
    assert (gone.code, "can't be reached" in gone.err) == (3, True)

    real.start()
    assert "1 unfinished activation resumed" in real.log.read_text()
    result = eventually(lambda: cli("activation", "result", slow), lambda found: found.code == 0)
    assert result.json == {"done": True}
    steps = cli("trace", slow, "--json").json["steps"]
    assert [step["state"] for step in steps][:5] == ["accepted", "started", "restart", "started", "finished"]
    assert [step["attempt"] for step in steps if step["state"] == "started"] == [1, 2]

    second = subprocess.run(
        [sys.executable, ROOT / "run.py", "node", "--data-dir", real.data],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert second.returncode == 2
    assert f"in use by process {real.process.pid}" in second.stderr

    assert cli("drain").code == 0
    assert real.process.wait(PATIENCE) == 0
    assert "stopped, nothing left behind" in real.log.read_text()
    assert cli("status").code == 3
    assert "Traceback" not in real.log.read_text()


def test_the_actions_error_is_1_and_refusals_are_4(cli, real, tmp_path):
    """Exit codes as the design names them, against the real API."""
    (tmp_path / "bad.py").write_text("def main(args):\n    return {'error': 'no'}\n")
    assert cli("action", "put", "bad", "bad.py").code == 0
    failed = cli("invoke", "bad", "-r")
    assert (failed.code, failed.json) == (1, {"error": "no"})
    assert cli("invoke", "missing", "-r").code == 4
    assert cli("action", "get", "bad", "--auth", "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:" + "k" * 64).code == 4
    assert cli("action", "put", "bad", "bad.py", "--timeout", "999999999").code == 4
    assert cli("action", "get", "bad", "--code").out.startswith("def main")
    backup = cli("backup", tmp_path / "b.db")
    assert backup.code == 0
    restore = cli("restore", tmp_path / "b.db")
    assert (restore.code, f"process {real.process.pid}" in restore.err) == (4, True)
    assert (tmp_path / "b.db").stat().st_size > 0
