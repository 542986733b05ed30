"""`make cluster`: everything comes up by itself, says how to use it, and goes in good order."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from config.credentials import GUEST
from services.cluster import main, options
from services.kafka import Kafka
from tests.cluster.couch import ROOT, Couch
from tests.crash.node import request, until

pytestmark = [pytest.mark.kafka, pytest.mark.nodejs]


def test_a_whole_cluster(broker: Kafka, couch: Couch, tmp_path: Path) -> None:
    """Ready when it says so: the first invocation is answered. SIGTERM ends all its processes, the nodes drained."""
    flags = ["--kafka", broker.address, "--store", couch.address, "--port", "0", "--driver", "process", "--nodes", "2"]
    flags += ["--data-dir", str(tmp_path / "d")]
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cluster", *flags], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=said.extend, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        until(lambda: "Ctrl-C drains" in "".join(said) or process.poll() is not None, 120, lambda: "".join(said))
        found = re.search(r"curl -sS (\S+)/invokers", "".join(said))
        assert found, "".join(said)
        code = "def main(args):\n    return {'greeting': 'Hello ' + args['name']}\n"
        place = "/api/v1/namespaces/_/actions/hello"
        assert request(found[1], "PUT", place, {"exec": {"kind": "python:default", "code": code}}, auth=GUEST).status == 200
        answer = request(found[1], "POST", f"{place}?blocking=true&result=true", {"name": "Ada"}, auth=GUEST)
        assert (answer.status, answer.body) == (200, {"greeting": "Hello Ada"})
    finally:
        process.send_signal(signal.SIGTERM)
        code_of_end = process.wait(120)
        reader.join(10)
        process.stdout.close()
    text = "".join(said)
    assert code_of_end == 0, text
    assert text.count("stopped, nothing left behind") == 2, text
    assert text.endswith("stopped\n")


def test_what_makes_no_cluster(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """No node, or a process that doesn't start: told, with exit code 2 or 1, and nothing left."""
    with pytest.raises(SystemExit) as wrong:
        options(["--nodes", "0"])
    assert wrong.value.code == 2
    flags = ["--kafka", "127.0.0.1:1", "--store", "nonsense", "--data-dir", str(tmp_path / "d"), "--port", "0"]
    assert main(flags) == 1
    said = capsys.readouterr()
    assert "node0 did not start" in said.err
    assert "--store" in said.err
    assert said.out.endswith("stopped\n")
