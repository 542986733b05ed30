"""What a node can't do is said at once, in words that help: ports, kinds, sizes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from config.settings import BY_NAME
from tests.crash.node import Node
from tests.crash.story import Story
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted


@pytest.fixture
def taken() -> Iterator[int]:
    """The default port is taken, by this test or by somebody else."""
    port = int(BY_NAME["port"].default)
    with closing(socket.socket()) as listener:
        with suppress(OSError):
            listener.bind(("127.0.0.1", port))
            listener.listen()
        yield port


def test_default_port_taken(tmp_path: Path, taken: int) -> None:
    """A free one is used, and that is said."""
    with Node(tmp_path / "data", port=None) as node:
        node.wait_ready()
        assert f"port {taken} is taken" in node.output
        assert not node.url.endswith(f":{taken}")
        assert node.api("GET", "actions").status == 200
        assert node.stop().code == 0


def test_chosen_port_taken(tmp_path: Path, taken: int) -> None:
    """Asked for by name it is an error, and what to do is said."""
    with Node(tmp_path / "data", port=str(taken)) as node:
        ended = node.wait_dead()
        assert ended.code == 2
        assert ended.left == []
        assert f"port {taken}" in node.output
        assert "--port" in node.output
        assert "Traceback" not in node.output


def unrunnable(directory: Path) -> tuple[str, ...]:
    """A manifest with a kind that no driver here runs."""
    manifest = directory / "runtimes.json"
    kind = {"kind": "cobol:1", "default": True, "image": {"prefix": "p", "name": "n", "tag": "1"}}
    manifest.write_text(json.dumps({"runtimes": {"cobol": [kind]}}))
    return ("--runtimes", str(manifest))


@pytest.mark.parametrize("case", ["no driver for it", "no interpreter"])
def test_kind_that_cannot_run(case: str, tmp_path: Path) -> None:
    """It can be put; its invocation ends with an error record that names what is missing."""
    nowhere = {"PATH": str(tmp_path)}
    kind, flags, environment = ("cobol:1", unrunnable(tmp_path), {}) if case == "no driver for it" else ("nodejs:20", (), nowhere)
    with Watch() as watch, Node(tmp_path / "data", *flags, environment=environment) as node:
        story = Story(watch)
        node.wait_ready()
        node.put_action("work", kind, "whatever")
        asked = story.invoke(node, "work", "work", blocking=True, wanted=Submitted("", expect={2, 3}))
        assert asked.outcome == "answer"
        assert asked.record is not None
        said = asked.record["response"]["result"]["error"]
        assert kind.split(":")[0] in said.lower().replace("node.js", "nodejs"), said
        story.ended(node.stop(), 0)
        story.check(tmp_path / "data")


def test_job_larger_than_the_pool(tmp_path: Path) -> None:
    """Refused at once with a record that names both sizes, while smaller work goes on."""
    with Watch() as watch, Node(tmp_path / "data", "--memory", "300m") as node:
        story = Story(watch)
        node.wait_ready()
        node.put_action("large", "python:3", CODE["python:3"], limits={"memory": 512})
        node.put_action("small", "python:3", CODE["python:3"])
        large = story.invoke(node, "large", "large", blocking=True, wanted=Submitted("", expect={3}))
        assert large.record is not None
        said = large.record["response"]["result"]["error"]
        assert "512" in said
        assert "300" in said
        assert story.invoke(node, "small", "small", blocking=True, wanted=Submitted("", expect={0})).outcome == "answer"
        story.ended(node.stop(), 0)
        story.check(tmp_path / "data")
