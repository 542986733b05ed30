"""A Docker engine that goes away, hangs or has no room: the node says so, loses nothing, and recovers by itself."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers.images import PAUSE
from containers.make_images import main as make_images
from tests.crash.node import Node, until
from tests.crash.node import request as ask
from tests.crash.test_docker import CODE, own_runtimes
from tests.support.engine import OwnEngine

pytestmark = pytest.mark.docker

IMAGE = "rewhisk/python:3.11"
DISK = 300
"""MB; the image takes 70."""
SECONDS = 10.0
"""Within which the node must know, on a machine under load; as a rule 0.5 s for an engine that is gone, 5 s for one that hangs."""


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    """One for all tests; each leaves it running."""
    assert make_images([PAUSE, IMAGE]) == 0
    directory = Path(tempfile.mkdtemp(prefix="rwe-", dir="/var/tmp"))
    engine = OwnEngine(directory, DISK)
    try:
        engine.start()
        engine.give(PAUSE, IMAGE)
        yield engine
    finally:
        engine.close()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def node(engine: OwnEngine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Node]:
    """A node on that engine with one action; afterwards it is drained and has left nothing. The parameter is its network."""
    network = getattr(request, "param", "none")
    flags = ["--driver", "docker", "--action-network", network, "--runtimes", own_runtimes(tmp_path)]
    environment = {"REWHISK_DOCKER_HOST": engine.address, "REWHISK_LOG_IDLE": "1s"}
    with Node(tmp_path / "data", *flags, environment=environment) as node:
        node.wait_ready()
        node.put_action("work", "python:3", CODE)
        yield node
        assert node.stop().code == 0, node.output
    client = engine.client()
    assert client.containers(all=True) == []
    client.close()


def reason(node: Node) -> str | None:
    """Why it is not ready, or None."""
    answer = ask(node.url, "GET", "/ready")
    return None if answer.status == 200 else str(answer.body.get("error"))


def wait_unready(node: Node, text: str) -> None:
    until(lambda: text in (reason(node) or ""), SECONDS, lambda: f"{reason(node)}\n{node.output}")


def wait_ready(node: Node) -> None:
    until(lambda: reason(node) is None, 30, lambda: f"{reason(node)}\n{node.output}")


def accepted(node: Node, seconds: float = 0.0) -> str:
    """The id of one that was accepted and is not waited for."""
    answer = node.api("POST", "actions/work", {"sleep": seconds})
    assert answer.status == 202, answer
    return str(answer.body["activationId"])


def ends_well(node: Node, identity: str, seconds: float = 0.0) -> int:
    """That it has its one record, with its result; how many attempts it took."""
    node.wait_quiet()
    record = node.api("GET", f"activations/{identity}").body
    assert record["response"]["result"] == {"slept": seconds}, record
    return int({each["key"]: each["value"] for each in record["annotations"]}.get("attempts", 1))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_away_while_it_runs(engine: OwnEngine, node: Node, how: int) -> None:
    """Code that the ending or the starting engine stops is run again in another container, and the record says so."""
    identity = accepted(node, 3)
    until(lambda: node.status()["running"] == 1, 30, lambda: node.output)
    time.sleep(0.3)
    engine.signal(how)
    wait_unready(node, "Docker engine")
    engine.start()
    wait_ready(node)
    assert ends_well(node, identity, 3) >= 2
    assert "Docker engine works again" in node.output


@pytest.mark.parametrize("node", ["none", "bridge"], indirect=True)
def test_away_while_idle(engine: OwnEngine, node: Node) -> None:
    """A warm container is lost with it; new work is refused meanwhile and done afterwards."""
    assert ends_well(node, accepted(node)) == 1
    engine.signal(signal.SIGTERM)
    wait_unready(node, "Docker engine")
    assert node.api("POST", "actions/work", {}).status == 503
    engine.start()
    wait_ready(node)
    assert ends_well(node, accepted(node)) == 1


def test_hanging(engine: OwnEngine, node: Node) -> None:
    """What was accepted just before waits, and ends well once the engine goes on."""
    engine.signal(signal.SIGSTOP)
    identity = accepted(node)
    wait_unready(node, "did not answer")
    engine.signal(signal.SIGCONT)
    wait_ready(node)
    assert ends_well(node, identity) == 1


def test_no_room(engine: OwnEngine, node: Node) -> None:
    """No container can be made: said with the engine's own reason; who was accepted waits until there is room."""
    engine.fill_disk()
    identity = accepted(node)
    try:
        wait_unready(node, "no space left on device")
        time.sleep(3)
        assert "no space left on device" in (reason(node) or "")
    finally:
        engine.free_disk()
    wait_ready(node)
    assert ends_well(node, identity) == 1
    assert node.output.count("can't make containers") == 1, node.output
