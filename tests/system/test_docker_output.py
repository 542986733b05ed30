"""What actions print in Docker containers, as it comes out in records: floods, long lines, any bytes, late and missing output."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from containers.logs import ISSUE
from tests.crash.node import Node, until
from tests.crash.test_docker import own_runtimes

pytestmark = pytest.mark.docker

MB = 1 << 20
SPARE = 4.0
"""Seconds beyond its time limit that an endless action's record may take, on a machine under load; 0.3 s on a quiet one."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    directory = tmp_path_factory.mktemp("output")
    flags = ["--driver", "docker", "--action-network", "none", "--runtimes", own_runtimes(directory)]
    with Node(directory / "data", *flags, environment={"REWHISK_LOG_IDLE": "1s"}) as node:
        node.wait_ready()
        yield node
        assert node.stop().code == 0, node.output


def run(node: Node, code: str = "", **limits: int) -> dict[str, Any]:
    """The record of an action's run, `lines` as (stream, text) and `took` in seconds; the same action again without code."""
    if code:
        node.put_action("print", "python:3", code, limits={"logs": 1, **limits})
    began = time.monotonic()
    identity = node.api("POST", "actions/print", {}).body["activationId"]
    until(lambda: node.api("GET", f"activations/{identity}").status == 200, 30, lambda: f"{node.status()}\n{node.output}")
    record: dict[str, Any] = node.api("GET", f"activations/{identity}").body
    record["took"] = time.monotonic() - began
    record["lines"] = [tuple(line[31:].split(": ", 1)) for line in record["logs"]]
    return record


def test_endless_printing_ends_at_the_time_limit(node: Node) -> None:
    """The log is cut at its limit and says so; the node answers others meanwhile; the next run has a new container."""
    code = "def main(args):\n    while True:\n        print('x' * 1000, flush=True)"
    node.put_action("other", "python:3", "def main(args):\n    return {'ok': True}")
    node.api("POST", "actions/other?blocking=true")
    node.put_action("print", "python:3", code, limits={"logs": 1, "timeout": 3000})
    began = time.monotonic()
    identity = node.api("POST", "actions/print").body["activationId"]
    until(lambda: node.status()["running"] == 1, 30, lambda: node.output)
    assert node.api("POST", "actions/other?blocking=true&result=true").body == {"ok": True}
    assert node.status()["running"] == 1, "beside the flood"
    until(lambda: node.api("GET", f"activations/{identity}").status == 200, 3 + 2 * SPARE, lambda: node.output, 0.05)
    record = node.api("GET", f"activations/{identity}").body
    assert time.monotonic() - began < 3 + SPARE
    assert record["response"]["result"] == {"error": "The action exceeded its time limits of 3000 milliseconds."}
    assert 3000 <= record["duration"] < 3000 + 1000 * SPARE
    assert 900 < len(record["logs"]) < 1100
    assert "exceeds the limit of 1048576 bytes" in record["logs"][-2] + record["logs"][-1]


def test_long_lines_and_bytes(node: Node) -> None:
    """A line of almost 1 MB is one line; what isn't UTF-8 is replaced byte for byte."""
    record = run(node, f"def main(args):\n    print('y' * {MB - 1000})\n    return {{}}")
    assert [(stream, len(text)) for stream, text in record["lines"]] == [("stdout", MB - 1000)]
    code = "import os\ndef main(args):\n    os.write(1, b'a\\xff\\xfeb\\0c\\n')\n    os.write(2, b'\\xc3\\xbc\\n')\n    return {}"
    record = run(node, code)
    assert sorted(record["lines"]) == [("stderr", "ü"), ("stdout", "a\ufffd\ufffdb\0c")]


def test_output_after_the_return(node: Node) -> None:
    """It belongs to the run that comes next, as upstream."""
    code = "import threading, time\ndef late():\n    time.sleep(0.3)\n    print('late', flush=True)\ndef main(args):\n"
    code += "    threading.Thread(target=late).start()\n    print('now')\n    return {}"
    assert run(node, code)["lines"] == [("stdout", "now")]
    time.sleep(1)
    assert ("stdout", "late") in run(node)["lines"]


def test_a_sentinel_that_does_not_come(node: Node) -> None:
    """It is waited for, not for ever, and said to be missing; the result stands; the next run has another container."""
    code = "import os\nn = 0\ndef main(args):\n    global n\n    n += 1\n    print('last', flush=True)\n"
    code += "    for name in os.listdir('/proc/self/fd'):\n        path = f'/proc/self/fd/{name}'\n"
    code += "        if os.path.islink(path) and os.readlink(path).startswith('pipe:'):\n"
    code += "            os.dup2(os.open('/dev/null', os.O_WRONLY), int(name))\n    return {'n': n}"
    for _ in range(2):
        record = run(node, code)
        assert record["response"]["result"] == {"n": 1}
        assert [text for _, text in record["lines"]] == ["last", ISSUE]
        assert 1.0 <= record["took"] < 1.0 + SPARE + 2
        code = ""


def test_many_lines(node: Node) -> None:
    """All of them, in order, stream by stream."""
    code = "import sys\ndef main(args):\n    for n in range(4000):\n        print('out', n)\n"
    code += "        print('err', n, file=sys.stderr)\n    return {}"
    record = run(node, code, logs=2)
    for stream, word in (("stdout", "out"), ("stderr", "err")):
        assert [text for each, text in record["lines"] if each == stream] == [f"{word} {n}" for n in range(4000)]
    assert record["took"] < 10
