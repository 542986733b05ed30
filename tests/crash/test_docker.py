"""`kill -9` of a node whose actions run in Docker containers, which live on without it."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containers.docker_engine import connect
from containers.images import PAUSE
from tests.crash.node import NoAnswer, Node, until
from tests.crash.runner import bare_runtimes

pytestmark = pytest.mark.docker

CODE = """
import time
def main(args):
    print('running')
    time.sleep(args.get('sleep', 0))
    return {'slept': args.get('sleep', 0)}
"""
LABEL = "rewhisk.installation"


class Engine:
    """What the engine says of containers, from the beginning of the test on."""

    def __init__(self) -> None:
        self.client, _ = connect("", 30)
        self.since = time.time() - 1

    def containers(self, installation: str) -> dict[str, str]:
        """Id → role of a node's containers, in any state."""
        found = self.client.containers(all=True, filters={"label": f"{LABEL}={installation}"})
        return {each["Id"]: each["Labels"]["rewhisk.role"] for each in found}

    def times(self, event: str) -> dict[str, int]:
        """Container → when this happened to it, in nanoseconds."""
        filters = {"type": "container", "event": event, "label": LABEL}
        stream = self.client.events(since=self.since, until=time.time() + 0.01, filters=filters, decode=True)
        return {each["id"]: each["timeNano"] for each in stream}


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.client.close()


@pytest.fixture
def foreign(engine: Engine) -> Iterator[str]:
    """A container that looks much like a node's own and is another's."""
    labels = {LABEL: secrets.token_hex(8), "rewhisk.stream": "invoker0", "rewhisk.role": "action"}
    identity = engine.client.create_container_from_config({"Image": PAUSE, "Labels": labels, "NetworkDisabled": True})["Id"]
    engine.client.start(identity)
    yield identity
    engine.client.remove_container(identity, force=True)


def installation(engine: Engine, other: set[str]) -> str:
    """Of the node that has containers now."""
    found = engine.client.containers(filters={"label": "rewhisk.epoch"})
    (name,) = {each["Labels"][LABEL] for each in found if each["Id"] not in other}
    return str(name)


def running(engine: Engine, identity: str) -> bool:
    return bool(engine.client.inspect_container(identity)["State"]["Running"])


def flags(tmp_path: Path, network: str) -> tuple[str, ...]:
    return ("--driver", "docker", "--action-network", network, "--runtimes", own_runtimes(tmp_path))


def own_runtimes(tmp_path: Path) -> str:
    """A manifest of the project's own images without stem cells."""
    path = Path(bare_runtimes(tmp_path))
    own = '"prefix": "rewhisk", "name": "python", "tag": "3.11"'
    path.write_text(path.read_text().replace('"prefix": "p", "name": "python", "tag": "1"', own))
    return str(path)


@pytest.mark.parametrize("network", ["bridge", "none"])
def test_killed_while_code_runs(network: str, tmp_path: Path, engine: Engine, foreign: str) -> None:
    """The container that ran it is dead before the rerun's is made; it ends under its id; nothing of it stays, others' do."""
    data_dir = tmp_path / "data"
    with Node(data_dir, *flags(tmp_path, network)) as node:
        node.wait_ready()
        node.put_action("work", "python:3", CODE)
        identity = node.api("POST", "actions/work", {"sleep": 2}).body["activationId"]
        until(lambda: node.status()["running"] == 1, 30, lambda: node.output)
        owner = installation(engine, {foreign})
        first = {name for name, role in engine.containers(owner).items() if role == "action"}
        assert len(first) == 1
        time.sleep(0.3)
        assert node.kill().code == -signal.SIGKILL
        assert all(running(engine, name) for name in first), "containers outlive a node: that is what must be cleaned up"
    with Node(data_dir, *flags(tmp_path, network)) as node:
        node.wait_ready()
        assert first.isdisjoint(engine.containers(owner))
        node.wait_quiet()
        record = node.api("GET", f"activations/{identity}").body
        assert record["response"]["result"] == {"slept": 2}
        assert [line.partition("stdout: ")[2] for line in record["logs"]] == ["running"]
        assert {each["key"]: each["value"] for each in record["annotations"]}["attempts"] == 2
        (died,), second = (engine.times("die")[name] for name in first), set(engine.containers(owner)) - first
        made = engine.times("create")
        assert all(died < made[name] for name in second)
        assert node.stop().code == 0
    assert engine.containers(owner) == {}
    assert running(engine, foreign)


POINTS = [f"{event}:{point}" for event in ("started", "finished") for point in ("before", "written", "after")]


@pytest.mark.parametrize("failpoint", POINTS)
def test_killed_around_what_happens_in_containers(failpoint: str, tmp_path: Path, engine: Engine, foreign: str) -> None:
    """Wherever it dies: what was accepted ends once under its id, and after a drain no container is left."""
    data_dir = tmp_path / "data"
    with Node(data_dir, *flags(tmp_path, "none"), environment={"REWHISK_FAILPOINT": failpoint}) as node:
        node.wait_ready()
        node.put_action("work", "python:3", CODE)
        asked = _invoke(node)
        assert node.wait_dead().code == -signal.SIGKILL
    owner = installation(engine, {foreign})
    with Node(data_dir, *flags(tmp_path, "none")) as node:
        node.wait_ready().wait_quiet()
        records = node.api("GET", "activations?docs=true").body
        assert [each["response"]["result"] for each in records] == [{"slept": 0}]
        assert asked in (None, records[0]["activationId"])
        assert node.stop().code == 0
    assert engine.containers(owner) == {}
    assert running(engine, foreign)


def _invoke(node: Node) -> Any:
    try:
        return node.api("POST", "actions/work").body["activationId"]
    except NoAnswer:
        return None
