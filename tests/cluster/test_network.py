"""The wire between a node and the broker is cut and mended: what waited in its topic is done, once; nothing is lost meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kafka import Kafka, Listener
from services.process import free_port
from tests.cluster.cluster import Cluster, invokers, up, wait_up
from tests.cluster.couch import Couch
from tests.cluster.proxy import Proxy
from tests.cluster.story import ClusterStory, at_rest
from tests.crash.node import until
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted

pytestmark = [pytest.mark.kafka, pytest.mark.nodejs]


@pytest.fixture
def wire() -> Iterator[Proxy]:
    """The node's way to the broker."""
    made = Proxy()
    yield made
    made.close()


@pytest.fixture
def wired(kafka_libs: Path, couch: Couch, tmp_path: Path, wire: Proxy) -> Iterator[Cluster]:
    """A cluster whose broker has a second door that sends its clients through the wire."""
    wire.target = free_port()
    broker = Kafka(kafka_libs, tmp_path / "kafka", listeners=[Listener("WIRED", wire.target, wire.port)])
    broker.start()
    made = Cluster(tmp_path, broker, couch, "wired-")
    yield made
    made.close()
    broker.kill()


def test_a_node_cut_off_from_the_broker(wired: Cluster, wire: Proxy) -> None:
    """Down for the controllers after 10 s; work sent before, and work that HTTP still brings it, is done and recorded once."""
    good = Submitted("", expect={0})
    with Watch() as watch:
        story = ClusterStory(watch)
        controllers = [wired.controller(0), wired.controller(1, INVOKE_OPEN="0")]
        node = wired.node(0, kafka=f"127.0.0.1:{wire.port}")
        for controller in controllers:
            wait_up(controller, 1)
        controllers[0].put_action("watched", "python:3", CODE["python:3"])
        assert story.invoke(controllers[1], "watched", "before", blocking=True, wanted=good).outcome == "answer"

        wire.cut()
        for n in range(4):
            assert story.invoke(controllers[1], "watched", f"waits{n}", blocking=False, wanted=good).outcome == "accepted"
        assert story.invoke(controllers[0], "watched", "by-http", blocking=True, wanted=good).outcome == "answer"
        assert watch.started("waits0") == 0
        until(lambda: not up(controllers[0]), 30, lambda: f"{invokers(controllers[0])}")
        assert story.invoke(controllers[0], "watched", "refused", blocking=True).outcome == "refused"

        wire.heal()
        for controller in controllers:
            wait_up(controller, 1, 60)
        at_rest(controllers, [node])
        assert story.invoke(controllers[1], "watched", "after", blocking=True, wanted=good).outcome == "answer"
        at_rest(controllers, [node])
        history = story.judge(wired)
        assert len(history.submitted) == 7
        story.ended(node.stop(), 0)
        assert not story.violations
