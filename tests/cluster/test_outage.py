"""A node that dies for good, and a database that is away for longer than that takes: only the first is taken over."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from tests.cluster.cluster import Cluster, Process, up
from tests.cluster.story import ClusterStory, at_rest, claims
from tests.crash.node import until
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted

pytestmark = [pytest.mark.kafka, pytest.mark.nodejs]

GOOD = Submitted("", expect={0})
TAKEOVER = 4.0
SETTINGS = {"TAKEOVER_AFTER": f"{TAKEOVER:g}s", "HEARTBEAT_EVERY": "500ms", "LEASE": "2s"}


@pytest.fixture
def story() -> Iterator[ClusterStory]:
    with Watch() as watch:
        yield ClusterStory(watch)


def started(cluster: Cluster) -> tuple[list[Process], list[Process]]:
    """Two controllers, three nodes that take each other over soon."""
    controllers = [cluster.controller(0), cluster.controller(1, INVOKE_OPEN="0")]
    nodes = [cluster.node(number, **SETTINGS) for number in range(3)]
    until(lambda: all(up(each) == len(nodes) for each in controllers), 60, "not all nodes are up")
    controllers[0].put_action("watched", "python:3", CODE["python:3"], limits={"timeout": 3000})
    for number in range(6):  # homes differ by name
        controllers[0].put_action(f"watched{number}", "python:3", CODE["python:3"], limits={"timeout": 3000})
    return controllers, nodes


def ask(story: ClusterStory, controllers: list[Process], name: str) -> None:
    """Accepted work for all nodes, by both ways."""
    for i in range(12):
        asked = story.invoke(controllers[i % 2], f"watched{i % 6}", f"{name}{i}", blocking=False, wanted=GOOD, sleep=0.3)
        assert asked.outcome == "accepted", asked


def ready(controller: Process) -> bool:
    """Whether it takes work."""
    return controller.ask("GET", "/ready").status == 200


def test_what_runs_is_in_the_journal(cluster: Cluster, story: ClusterStory) -> None:
    """However soon the code starts: who takes the stream over elsewhere has nothing else to know it from."""
    controller = cluster.controller()
    node = cluster.node()
    until(lambda: up(controller) == 1, 60, "no node is up")
    controller.put_action("watched", "python:3", CODE["python:3"])
    for n in ("first", "second"):
        story.invoke(controller, "watched", n, blocking=False, wanted=GOOD, sleep=2)
        until(lambda n=n: story.watch.started(n) == 1, 30, "nothing runs")  # type: ignore[misc]
        assert "started" in story.stored(cluster).events(n)
    at_rest([controller], [node])
    story.judge(cluster)


def test_a_node_that_dies_for_good(own_cluster: Cluster, story: ClusterStory) -> None:
    """Its work is finished by another one: every id that was accepted has its record, though its node never comes back."""
    controllers, nodes = started(own_cluster)
    ask(story, controllers, "early")
    story.ended(nodes[0].kill(), -signal.SIGKILL)
    ask(story, controllers, "late")
    at_rest(controllers, nodes[1:], 120)
    history = story.judge(own_cluster)
    assert len(history.submitted) == 24
    assert len(claims(own_cluster, "invoker0")) == 2
    assert len(claims(own_cluster, "invoker1")) == len(claims(own_cluster, "invoker2")) == 1


def test_a_database_that_is_away_for_longer_than_a_takeover_takes(own_cluster: Cluster, story: ClusterStory) -> None:
    """Nobody takes anything; what was accepted before is finished after it, and new work is taken again."""
    controllers, nodes = started(own_cluster)
    ask(story, controllers, "before")
    own_cluster.couch.kill()
    numbers = count()
    until(lambda: story.invoke(controllers[0], "watched", f"away{next(numbers)}", blocking=False).id is None, 30, "still accepted")
    time.sleep(2.5 * TAKEOVER)
    own_cluster.couch.start()
    until(lambda: all(up(each) == len(nodes) and ready(each) for each in controllers), 60, "not all are up again")
    ask(story, controllers, "after")
    at_rest(controllers, nodes, 120)
    story.judge(own_cluster)
    assert Counter(len(claims(own_cluster, f"invoker{n}")) for n in range(3)) == {1: 3}
    for node in nodes:
        story.ended(node.stop(), 0)
    assert not story.violations
