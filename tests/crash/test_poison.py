"""An action that kills the node, an action that may not run twice, and the innocent ones beside them."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.node import Node
from tests.crash.runner import bare_runtimes
from tests.crash.story import Stored, Story, annotation
from tests.crash.watch import CODE, Watch
from tests.oracle import GIVEN_UP, INTERRUPTED, Submitted

INNOCENTS = 15
LIVES = 12
"""Processes of the node at most: the poison takes three, and one more gives it up."""


class Killing:
    """A node that dies whenever code of a chosen key starts, and is started again until it is at rest."""

    def __init__(self, directory: Path, kills: Callable[[str], bool]) -> None:
        self.data_dir = directory / "data"
        self.flags = ("--runtimes", bare_runtimes(directory))
        self.watch = Watch(self._started)
        self.story = Story(self.watch)
        self.kills = kills
        self.node: Node | None = None
        self.lives = 0

    def _started(self, n: str) -> None:
        if self.node is not None and self.kills(n):
            self.node.signal(signal.SIGKILL)

    def start(self) -> Node:
        self.lives += 1
        self.node = Node(self.data_dir, *self.flags, environment={"REWHISK_RUN_AHEAD_AFTER": "0s"})
        return self.node

    def until_quiet(self) -> None:
        """Start it again and again."""
        while self.lives < LIVES:
            with self.start() as node:
                if self._outlives(node):
                    self.node = None
                    self.story.ended(node.stop(), 0)
                    return
                self.story.ended(node.wait_dead(), -signal.SIGKILL)
        raise AssertionError(f"not at rest after {LIVES} lives of the node")

    def _outlives(self, node: Node) -> bool:
        deadline = time.monotonic() + 90
        while node.alive():
            assert time.monotonic() < deadline, node.output
            try:
                node.wait_ready()
                node.wait_quiet()
            except Exception:
                if not node.alive():
                    return False
                raise
            else:
                return True
        return False


def ask_all(killing: Killing, node: Node, wanted: dict[str, tuple[str, Submitted]], **arguments: float) -> None:
    """Invoke all at the same time, and wait until their answers or their ends are known."""
    threads = [
        threading.Thread(
            target=killing.story.invoke, args=(node, action, n), kwargs={"blocking": False, "wanted": submitted, **arguments}
        )
        for n, (action, submitted) in wanted.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.nodejs
def test_poison(tmp_path: Path) -> None:
    """The poison alone is given up, after three attempts of which the last was alone; 15 innocent ones beside it succeed."""
    armed = threading.Event()
    killing = Killing(tmp_path, lambda n: n == "poison" and armed.is_set())
    with killing.watch:
        with killing.start() as node:
            node.wait_ready()
            for action, kind in (("python", "python:3"), ("node", "nodejs:20"), ("deadly", "python:3")):
                node.put_action(action, kind, CODE[kind])
            wanted = {f"i{i}": ("node" if i % 5 == 0 else "python", Submitted("", expect={0})) for i in range(INNOCENTS)}
            wanted["poison"] = ("deadly", Submitted("", poison=True))
            ask_all(killing, node, wanted, sleep=0.3)
            armed.set()  # everything is accepted; what started meanwhile dies with the rest
            if killing.watch.started("poison"):
                node.signal(signal.SIGKILL)
            killing.story.ended(node.wait_dead(), -signal.SIGKILL)
        killing.until_quiet()
        killing.story.check(killing.data_dir)
    stored = Stored.read(killing.data_dir)
    poison = stored.record("poison")
    assert GIVEN_UP in poison["response"]["result"]["error"]
    assert poison["response"]["statusCode"] == 3
    assert annotation(poison, "attempts") == 3
    assert killing.watch.started("poison") == 3
    assert Counter(stored.record(f"i{i}")["response"]["statusCode"] for i in range(INNOCENTS)) == {0: INNOCENTS}


def test_replay_never(tmp_path: Path) -> None:
    """Code that had started and may not be replayed ends with the interrupted record; what hadn't started runs."""
    dead = threading.Event()
    killing = Killing(tmp_path, lambda n: n == "once" and not dead.is_set())
    never = [{"key": "replay", "value": "never"}]
    with killing.watch:
        with killing.start() as node:
            node.wait_ready()
            node.put_action("once", "python:3", CODE["python:3"], annotations=never)
            node.put_action("later", "python:3", CODE["python:3"], annotations=never, limits={"memory": 512})
            once = threading.Thread(
                target=killing.story.invoke, args=(node, "once", "once"),
                kwargs={"blocking": True, "wanted": Submitted("", replay="never"), "sleep": 5},
            )  # fmt: skip
            once.start()
            killing.story.ended(node.wait_dead(), -signal.SIGKILL)
            dead.set()
            once.join()
        killing.until_quiet()
        killing.story.check(killing.data_dir)
    record = Stored.read(killing.data_dir).record("once")
    assert INTERRUPTED in record["response"]["result"]["error"]
    assert killing.watch.started("once") == 1


def test_replay_never_not_started(tmp_path: Path) -> None:
    """`replay: never` is no word against the first start: accepted, its code not begun, it runs after the crash."""
    data_dir = tmp_path / "data"
    flags = ("--runtimes", bare_runtimes(tmp_path))
    with Watch() as watch:
        story = Story(watch)
        with Node(data_dir, *flags, environment={"REWHISK_FAILPOINT": "started:before"}) as node:
            node.wait_ready()
            node.put_action("once", "python:3", CODE["python:3"], annotations=[{"key": "replay", "value": "never"}])
            story.invoke(node, "once", "once", blocking=True, wanted=Submitted("", replay="never", expect={0}))
            story.ended(node.wait_dead(), -signal.SIGKILL)
        with Node(data_dir, *flags) as node:
            node.wait_ready().wait_quiet()
            story.ended(node.stop(), 0)
        story.check(data_dir)
        assert watch.started("once") == 1
        assert Stored.read(data_dir).record("once")["response"]["result"] == {"n": "once"}
