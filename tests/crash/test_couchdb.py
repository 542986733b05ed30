"""A node whose state is in a CouchDB: killed, the database killed, the database away for a while. Nothing is lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from services.couchdb import CouchDb
from tests.crash.cases import Case
from tests.crash.node import Node, request, until
from tests.crash.runner import Play, bare_runtimes
from tests.crash.story import Story
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted
from tests.support.couchdb.server import CouchServer

LEASE = 1.0
"""Seconds; short, so that an outage shows soon."""

KILLS = 6
INVOCATIONS = 120
ANSWERED = {0}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CouchServer]:
    server = CouchServer(tmp_path / "couch.jsonl").start()
    yield server
    server.close()


@pytest.mark.nodejs
@pytest.mark.parametrize(
    ("event", "position"),
    [("claim", "written"), ("accepted", "written"), ("started", "after"), ("finished", "written"), ("recorded", "before")],
)
def test_killed_at(event: str, position: str, server: CouchServer, tmp_path: Path) -> None:
    """The whole main job on CouchDB: whatever the node had accepted comes to exactly one record after its restart."""
    Play(Case(event, position, True, True, "success", "python:3"), tmp_path, server.url).run()


def _node(directory: Path, store: str, **environment: str) -> Node:
    more = {"REWHISK_LEASE": f"{LEASE}s", "REWHISK_RUN_AHEAD_AFTER": "0s", **environment}
    return Node(directory / "data", "--runtimes", bare_runtimes(directory), "--store", store, environment=more)


def _ready(node: Node) -> tuple[int, str]:
    answer = request(node.url, "GET", "/ready")
    return answer.status, str(answer.body)


@pytest.mark.nodejs
def test_an_outage_is_ridden_out(server: CouchServer, tmp_path: Path) -> None:
    """Readiness says so, new work gets 503, what was accepted waits and ends well; afterwards all is as before, by itself."""
    with Watch() as watch, _node(tmp_path, server.url) as node:
        story = Story(watch)
        node.wait_ready()
        node.put_action("python", "python:3", CODE["python:3"])
        story.invoke(node, "python", "warm-up", blocking=True, wanted=Submitted("", expect=ANSWERED))
        during = threading.Thread(
            target=lambda: story.invoke(node, "python", "during", blocking=True, wanted=Submitted("", expect=ANSWERED), sleep=0.5)
        )
        during.start()
        until(lambda: watch.started("during") > 0, 20, lambda: node.output)
        server.stop()
        until(lambda: _ready(node)[0] == 503, 20, lambda: node.output)
        assert "store has not answered" in _ready(node)[1]
        assert request(node.url, "GET", "/live").status == 200
        began = time.monotonic()
        asked = [story.invoke(node, "python", f"refused{i}", blocking=False) for i in range(5)]
        assert [each.outcome for each in asked] == ["refused"] * 5
        assert time.monotonic() - began < 10
        assert story.asked["during"].outcome == "pending"
        server.start()
        during.join(30)
        assert story.asked["during"].outcome == "answer"
        until(lambda: _ready(node)[0] == 200, 20, lambda: node.output)
        after = story.invoke(node, "python", "after", blocking=True, wanted=Submitted("", expect=ANSWERED))
        assert after.outcome == "answer"
        node.wait_quiet()
        story.ended(node.stop(), 0)
        story.check(server.url)


@pytest.mark.nodejs
def test_an_outage_of_an_idle_node_is_seen(server: CouchServer, tmp_path: Path) -> None:
    """Before anybody asks something of it."""
    with _node(tmp_path, server.url) as node:
        node.wait_ready()
        server.stop()
        until(lambda: _ready(node)[0] == 503, 20, lambda: node.output)
        server.start()
        until(lambda: _ready(node)[0] == 200, 20, lambda: node.output)
        assert node.stop().code == 0


@pytest.mark.nodejs
@pytest.mark.couchdb
def test_node_and_database_are_killed_in_turn(own_couchdb: CouchDb, tmp_path: Path) -> None:
    """Under load, with a real process and its disk: every acknowledged id has one record, nothing ran twice at once."""
    with Watch() as watch:
        story, over, numbers = Story(watch), threading.Event(), count()
        nodes: list[Node] = []

        def client() -> None:
            while not over.is_set():
                i = next(numbers)
                asked = story.invoke(
                    nodes[-1], "python", f"n{i}", blocking=i % 2 == 0, wanted=Submitted("", expect=ANSWERED), timeout=90
                )
                if asked.id is None:
                    time.sleep(0.05)

        def acknowledged() -> int:
            return sum(asked.id is not None for asked in list(story.asked.values()))

        with _node(tmp_path, own_couchdb.address) as node:
            node.wait_ready().put_action("python", "python:3", CODE["python:3"])
            story.ended(node.stop(), 0)
        nodes.append(_node(tmp_path, own_couchdb.address).wait_ready())
        with ThreadPoolExecutor(6) as pool:
            clients = [pool.submit(client) for _ in range(6)]
            try:
                for kill in range(KILLS):
                    goal = acknowledged() + INVOCATIONS // KILLS
                    until(lambda goal=goal: acknowledged() >= goal, 90, lambda: nodes[-1].output)
                    if kill % 2 == 0:
                        own_couchdb.kill()
                        time.sleep(0.3)
                        own_couchdb.start()
                    else:
                        story.ended(nodes[-1].kill(), -signal.SIGKILL)
                        nodes.append(_node(tmp_path, own_couchdb.address).wait_ready())
            finally:
                over.set()
            for each in clients:
                each.result(120)
        nodes[-1].wait_quiet()
        story.ended(nodes[-1].stop(), 0)
        story.check(own_couchdb.address)
