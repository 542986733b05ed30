"""kill -9 of a node at journaled events, with work from two controllers, by HTTP and by Kafka: nothing lost, nothing twice."""

from __future__ import annotations

import os
import signal
import threading
from itertools import product

import pytest

from messages.events import KINDS
from tests.cluster.cluster import Cluster, Process, up
from tests.cluster.story import ClusterStory, at_rest
from tests.crash.node import until
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted

pytestmark = [pytest.mark.kafka, pytest.mark.nodejs]

FULL = os.environ.get("REWHISK_CRASH_FULL") == "1"
EVENTS = ("accepted", "started", "finished", "recorded", "acked")
POINTS = (
    [f"{event}:{point}" for event, point in product(EVENTS, ("before", "written", "after"))]
    if FULL
    else ["accepted:before", "accepted:written", "started:after", "finished:written", "recorded:before", "acked:after"]
)
"""Where the node dies; all of them with `make crash-full`."""


def test_the_events_of_an_activation_are_all_there() -> None:
    assert set(EVENTS) <= set(KINDS)


def ask_both(story: ClusterStory, controllers: list[Process], name: str) -> list[threading.Thread]:
    """A blocking and a non-blocking invocation through each controller."""
    threads = []
    for controller, (way, blocking) in product(zip(("http", "kafka"), controllers, strict=True), enumerate((True, False))):
        n = f"{name}-{controller[0]}-{way}"
        wanted = Submitted("", expect={0})
        thread = threading.Thread(
            target=story.invoke, args=(controller[1], "watched", n), kwargs={"blocking": blocking, "wanted": wanted, "timeout": 90}
        )
        thread.start()
        threads.append(thread)
    return threads


def test_killed_at_journaled_events(cluster: Cluster) -> None:
    """The same node dies at one point after the other; its successor, and callers that never noticed, finish everything."""
    with Watch() as watch:
        story = ClusterStory(watch)
        controllers = [cluster.controller(0), cluster.controller(1, INVOKE_OPEN="0")]
        callers: list[threading.Thread] = []
        for point in POINTS:
            node = cluster.node(0, wait=False, FAILPOINT=point)
            if not callers:
                controllers[0].put_action("watched", "python:3", CODE["python:3"])
            # What waits in its topic may kill it before anybody sees it.
            until(lambda: not node.alive() or all(up(each) for each in controllers), 60, lambda: node.output)  # noqa: B023
            callers += ask_both(story, controllers, point)
            story.ended(node.wait_dead(90), -signal.SIGKILL)
        last = cluster.node(0)
        for caller in callers:
            caller.join(120)
        at_rest(controllers, [last])
        history = story.judge(cluster)
        assert len(history.submitted) >= len(POINTS)
        until(lambda: all(each.ask("GET", "/activation/count").body == 0 for each in controllers), 30, "slots that stay taken")
        story.ended(last.stop(), 0)
        assert not story.violations
