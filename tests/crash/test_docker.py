"""`kill -9` of a node whose actions run in Docker containers, which live on without it."""

from __future__ import annotations

import json
import re
import secrets
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from containers.docker_engine import connect
from containers.images import PAUSE
from tests.crash.node import NoAnswer, Node, request, until
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


def installation(node: Node) -> str:
    """The id that its containers carry."""
    with closing(sqlite3.connect(node.data_dir / "rewhisk.db")) as connection:
        return str(connection.execute("SELECT value FROM meta WHERE name = 'installation'").fetchone()[0])


def running(engine: Engine, identity: str) -> bool:
    return bool(engine.client.inspect_container(identity)["State"]["Running"])


def flags(tmp_path: Path, network: str, stem_cells: int = 0) -> tuple[str, ...]:
    return ("--driver", "docker", "--action-network", network, "--runtimes", own_runtimes(tmp_path, stem_cells))


def own_runtimes(tmp_path: Path, stem_cells: int = 0) -> str:
    """A manifest of the project's own images, by default without stem cells."""
    path = Path(bare_runtimes(tmp_path))
    manifest = json.loads(path.read_text())
    (python,) = manifest["runtimes"]["python"]
    python["image"] = {"prefix": "rewhisk", "name": "python", "tag": "3.11"}
    if stem_cells:
        python["stemCells"] = [{"initialCount": stem_cells, "memory": "256 MB"}]
    path.write_text(json.dumps(manifest))
    return str(path)


def frozen(node: Node) -> float:
    """How often its containers have been frozen."""
    key = (node.data_dir / "admin.key").read_text().strip()
    text = str(request(node.url, "GET", "/metrics", headers={"Authorization": f"Bearer {key}"}).body)
    found = re.search(r'^rewhisk_container_freezes_total\{result="paused"\} (\S+)', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("network", ["bridge", "none"])
def test_killed_while_code_runs(network: str, tmp_path: Path, engine: Engine, foreign: str) -> None:
    """The container that ran it is dead before the rerun's is made; it ends under its id; nothing of it stays, others' do."""
    data_dir = tmp_path / "data"
    with Node(data_dir, *flags(tmp_path, network)) as node:
        node.wait_ready()
        node.put_action("work", "python:3", CODE)
        identity = node.api("POST", "actions/work", {"sleep": 2}).body["activationId"]
        until(lambda: node.status()["running"] == 1, 30, lambda: node.output)
        owner = installation(node)
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
        second = {name for name, role in engine.containers(owner).items() if role == "action"} - first
        (died,) = (engine.times("die")[name] for name in first)
        made = engine.times("create")
        assert all(died < made[name] for name in second)
        assert node.stop().code == 0
    assert engine.containers(owner) == {}
    assert running(engine, foreign)


COUNTER = """
runs = 0
def main(args):
    global runs
    runs += 1
    print('run', runs)
    return {'runs': runs}
"""


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def warm_runs(node: Node, name: str) -> tuple[int, bool, list[str]]:
    """How many runs the container has seen, whether this one needed no init, and what it printed."""
    record = node.api("POST", f"actions/{name}?blocking=true").body
    node.wait_quiet()
    logs = node.api("GET", f"activations/{record['activationId']}").body["logs"]
    warm = "initTime" not in {each["key"] for each in record["annotations"]}
    return record["response"]["result"]["runs"], warm, [line.partition("stdout: ")[2] for line in logs]


def at_rest(node: Node) -> bool:
    """There is a stem cell, and nothing comes or goes."""
    memory = node.status()["memory"]
    return bool(memory["prewarm"] >= 256 and memory["starting"] == memory["removing"] == 0)


@pytest.mark.parametrize(("network", "grace"), [("bridge", "10s"), ("none", "0.1s")])
def test_first_run_after_a_kill_is_warm(network: str, grace: str, tmp_path: Path, engine: Engine, foreign: str) -> None:
    """Idle containers, frozen ones too, and stem cells are taken over with their output; the one in the middle of a run is not."""
    port, environment = free_port(), {"REWHISK_PAUSE_GRACE": grace}
    options = (*flags(tmp_path, network, stem_cells=1), "--memory", "1280m")
    with Node(tmp_path / "data", *options, port=port, environment=environment) as node:
        node.wait_ready()
        node.put_action("count", "python:3", COUNTER)
        node.put_action("work", "python:3", CODE, annotations=[{"key": "replay", "value": "never"}])
        assert warm_runs(node, "count") == (1, False, ["run 1"])
        assert warm_runs(node, "count") == (2, True, ["run 2"])
        asked = node.api("POST", "actions/work", {"sleep": 50}).body["activationId"]
        until(lambda: node.status()["running"] == 1, 30, lambda: node.output)
        until(lambda: at_rest(node), 30, lambda: str(node.status()))
        if grace != "10s":
            until(lambda: frozen(node) >= 1, 30, lambda: node.output)
        owner = installation(node)
        before = {name for name, role in engine.containers(owner).items() if role == "action"}
        assert len(before) >= 3
        node.kill()
    with Node(tmp_path / "data", *options, port=port, environment=environment) as node:
        node.wait_ready()
        assert warm_runs(node, "count") == (3, True, ["run 3"])
        record = node.api("GET", f"activations/{asked}").body
        assert "interrupted" in record["response"]["result"]["error"]
        died = engine.times("die").keys() & before
        assert len(died) == 1, "the one that ran, and no other"
        assert node.stop().code == 0
    assert engine.containers(owner) == {}
    assert running(engine, foreign)


def test_what_would_be_made_otherwise_now_is_not_taken_over(tmp_path: Path, engine: Engine, foreign: str) -> None:
    """Another address of the API, by which actions find it, or an ended container: removed, and the next run is cold."""
    for change in ("address", "ended"):
        port = free_port()
        directory = tmp_path / change
        directory.mkdir()
        options = flags(directory, "none")
        with Node(directory / "data", *options, port=port) as node:
            node.wait_ready()
            node.put_action("count", "python:3", COUNTER)
            assert warm_runs(node, "count")[:2] == (1, False)
            owner = installation(node)
            (first,) = engine.containers(owner)
            node.kill()
        if change == "ended":
            engine.client.kill(first)
        more = ("--api-host", "http://127.0.0.1:1") if change == "address" else ()
        with Node(directory / "data", *options, *more, port=port) as node:
            node.wait_ready()
            assert warm_runs(node, "count")[:2] == (1, False)
            assert first not in engine.containers(owner)
            assert node.stop().code == 0
        assert engine.containers(owner) == {}


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
    owner = installation(node)
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
