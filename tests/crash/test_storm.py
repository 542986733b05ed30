"""1,000 invocations while the node is killed 20 times at random moments: nothing lost, nothing twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.crash.node import Node
from tests.crash.runner import bare_runtimes
from tests.crash.story import Story
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted

INVOCATIONS = 1_000
KILLS = 20
CLIENTS = 12
PAUSE = 0.02
"""Seconds before a client asks again whose node is down."""


class Storm:
    """Clients that go on until enough is acknowledged, and a killer whose moments come from a seed."""

    def __init__(self, seed: int, data_dir: Path, watch: Watch) -> None:
        self.random = random.Random(seed)
        self.story = Story(watch)
        self.data_dir = data_dir
        self.flags = ("--runtimes", bare_runtimes(data_dir.parent))
        self.node: Node | None = None
        self.acknowledged = 0
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._numbers = count()

    def start(self) -> Node:
        environment = {"REWHISK_SNAPSHOT_EVERY": "50", "REWHISK_RUN_AHEAD_AFTER": "0s"}
        return Node(self.data_dir, *self.flags, environment=environment)

    def client(self) -> None:
        """Ask, one invocation after the other."""
        while not self.over.is_set():
            node = self.node
            if node is None:
                time.sleep(PAUSE)
                continue
            with self._lock:
                i = next(self._numbers)
            fails = i % 10 == 9
            action = "node" if i % 7 == 0 else "python"
            asked = self.story.invoke(
                node, action, f"n{i}", blocking=i % 2 == 0, wanted=Submitted("", expect={1} if fails else {0}),
                timeout=90, sleep=0.02 * (i % 3), fail=fails,
            )  # fmt: skip
            if asked.id is not None:
                with self._lock:
                    self.acknowledged += 1
            elif asked.outcome != "nothing":
                time.sleep(PAUSE)

    def lives(self) -> Iterator[Node]:
        """Nodes one after the other, each killed when it is time; the last one lives to the end."""
        moments = sorted(self.random.randrange(INVOCATIONS) for _ in range(KILLS))
        for moment in moments:
            early = self.random.random() < 0.2  # some die while they start
            delay = self.random.uniform(0.0, 0.8) if early else self.random.uniform(0.0, 0.05)
            with self.start() as node:
                if not early:
                    yield node.wait_ready()
                    self._wait_for(moment)
                time.sleep(delay)
                self.node = None
                self.story.ended(node.kill(), -signal.SIGKILL)
        with self.start() as node:
            yield node.wait_ready()
            self._wait_for(INVOCATIONS)
            self.over.set()
            node.wait_quiet(90)
            self.story.ended(node.stop(), 0)

    def _wait_for(self, acknowledged: int) -> None:
        deadline = time.monotonic() + 120
        while self.acknowledged < acknowledged:
            assert time.monotonic() < deadline, f"{self.acknowledged} of {acknowledged} acknowledged"
            time.sleep(0.002)


@contextmanager
def seeded() -> Iterator[int]:
    """REWHISK_SEED or a random one, which a failure names."""
    seed = int(os.environ.get("REWHISK_SEED", "0")) or random.randrange(1, 2**32)
    print(f"REWHISK_SEED={seed} replays this schedule of kills")
    yield seed


@pytest.mark.nodejs
def test_storm(tmp_path: Path) -> None:
    """Every acknowledged id has one record, whatever moment the node died at; the oracle finds nothing else wrong either."""
    with seeded() as seed, Watch() as watch:
        storm = Storm(seed, tmp_path / "data", watch)
        try:
            with ThreadPoolExecutor(CLIENTS) as pool:
                clients = []
                try:
                    for node in storm.lives():
                        if not clients:
                            node.put_action("python", "python:3", CODE["python:3"])
                            node.put_action("node", "nodejs:20", CODE["nodejs:20"])
                            clients = [pool.submit(storm.client) for _ in range(CLIENTS)]
                        storm.node = node
                finally:
                    storm.over.set()
                for client in clients:
                    client.result()
        finally:
            print("acknowledged", storm.acknowledged, "runs", len(watch.runs))
        history = storm.story.check(storm.data_dir)
        assert len({told.id for told in history.told}) >= INVOCATIONS
