"""Everything dies in turn under load: nodes, controllers, the broker, the database. Every accepted id ends in one record."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from tests.cluster.cluster import Cluster, Process, up
from tests.cluster.story import ClusterStory, at_rest
from tests.crash.node import until
from tests.crash.test_storm import seeded
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted

pytestmark = [pytest.mark.kafka, pytest.mark.nodejs]

CLIENTS = 6
BETWEEN = 12
"""Invocations that are acknowledged between two deaths."""
PAUSE = 0.05


class Storm:
    """Two controllers, one by HTTP and one by Kafka, two nodes, clients that never stop asking."""

    def __init__(self, cluster: Cluster, watch: Watch) -> None:
        self.cluster = cluster
        self.story = ClusterStory(watch)
        self.controllers: list[Process] = [self.controller(0), self.controller(1)]
        self.nodes: list[Process] = [cluster.node(0), cluster.node(1)]
        self.acknowledged = 0
        self.over = threading.Event()
        self._numbers = count()
        self._lock = threading.Lock()

    def controller(self, number: int) -> Process:
        return self.cluster.controller(number, **({"INVOKE_OPEN": "0"} if number else {}))

    def client(self) -> None:
        """Ask, one invocation after the other, whoever answers."""
        while not self.over.is_set():
            with self._lock:
                i = next(self._numbers)
            asked = self.story.invoke(
                self.controllers[i % 2], "watched", f"n{i}", blocking=i % 3 == 0, wanted=Submitted("", expect={0}),
                timeout=90, sleep=0.02 * (i % 4),
            )  # fmt: skip
            if asked.id is None:
                time.sleep(PAUSE)
                continue
            with self._lock:
                self.acknowledged += 1

    def more(self, seconds: float = 60.0) -> None:
        """Until some more are acknowledged."""
        wanted = self.acknowledged + BETWEEN
        until(lambda: self.acknowledged >= wanted, seconds, lambda: f"{self.acknowledged} of {wanted} acknowledged")

    # Deaths

    def node_dies(self, number: int) -> None:
        self.story.ended(self.nodes[number].kill(), -signal.SIGKILL)
        self.nodes[number] = self.cluster.node(number)

    def node_stops_for_a_while(self, number: int) -> None:
        self.nodes[number].signal(signal.SIGSTOP)
        time.sleep(3)
        self.nodes[number].signal(signal.SIGCONT)

    def controller_dies(self, number: int) -> None:
        self.story.ended(self.controllers[number].kill(), -signal.SIGKILL)
        self.controllers[number] = self.controller(number)

    def broker_dies(self) -> None:
        self.cluster.broker.kill()
        self.cluster.broker.start()

    def database_dies(self) -> None:
        self.cluster.couch.kill()
        time.sleep(2)
        self.cluster.couch.start()

    def deaths(self) -> list[Callable[[], None]]:
        return [
            lambda: self.node_dies(0),
            lambda: self.node_dies(1),
            lambda: self.controller_dies(0),
            lambda: self.controller_dies(1),
            lambda: self.node_stops_for_a_while(0),
            self.broker_dies,
            self.database_dies,
        ]


def test_everything_dies_in_turn(own_cluster: Cluster) -> None:
    with seeded() as seed, Watch() as watch:
        storm = Storm(own_cluster, watch)
        deaths = storm.deaths()
        random.Random(seed).shuffle(deaths)
        until(lambda: all(up(each) == 2 for each in storm.controllers), 60, "no invokers")
        storm.controllers[0].put_action("watched", "python:3", CODE["python:3"])
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(storm.client) for _ in range(CLIENTS)]
            try:
                for death in deaths:
                    storm.more()
                    death()
                storm.more(90)
            finally:
                storm.over.set()
            for client in clients:
                client.result()
        print("acknowledged", storm.acknowledged, "runs", len(watch.runs))
        at_rest(storm.controllers, storm.nodes)
        history = storm.story.judge(own_cluster)
        assert len({told.id for told in history.told}) >= BETWEEN * len(deaths)
        for process in (*storm.controllers, *storm.nodes):
            storm.story.ended(process.stop(), 0)
        assert not storm.story.violations
