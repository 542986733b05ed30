"""The crash tests see what they have to: real nodes that are broken on purpose, each in one place, are caught."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.crash.node import RUN, Node, until
from tests.crash.runner import bare_runtimes
from tests.crash.story import Story
from tests.crash.watch import CODE, Watch
from tests.oracle import Broken, Submitted

LAUNCHER = Path(__file__).with_name("broken.py")


class Bench:
    """One action and one caller of a node that is broken as `how` says, or of an honest one."""

    def __init__(self, directory: Path, watch: Watch, how: str | None) -> None:
        self.data_dir = directory / "data"
        self.flags = ("--runtimes", bare_runtimes(directory))
        self.environment = {"BROKEN_NODE": how} if how else {}
        self.launcher = LAUNCHER if how else RUN
        self.story = Story(watch)

    def node(self, failpoint: str = "") -> Node:
        more = {"REWHISK_FAILPOINT": failpoint} if failpoint else {}
        return Node(self.data_dir, *self.flags, environment={**self.environment, **more}, launcher=self.launcher)

    def ask(self, node: Node, *, blocking: bool) -> None:
        node.wait_ready()
        once = [{"key": "replay", "value": "never"}]  # without run-ahead: `started` comes after `accepted` is durable
        node.put_action("work", "python:3", CODE["python:3"], annotations=once)
        self.story.invoke(node, "work", "work", blocking=blocking, wanted=Submitted("", expect={0}))

    def killed_at(self, failpoint: str) -> None:
        with self.node(failpoint) as node:
            self.ask(node, blocking=False)
            self.story.ended(node.wait_dead(), -signal.SIGKILL)
        with self.node() as node:
            node.wait_ready().wait_quiet()
            self.story.ended(node.stop(), 0)
        self.story.check(self.data_dir)


@pytest.mark.parametrize("how", ["record before accepted", None])
def test_record_before_accepted(how: str | None, tmp_path: Path) -> None:
    """Told, run and recorded, then killed before `accepted` is written: the record of something that nobody accepted."""
    with Watch() as watch:
        bench = Bench(tmp_path, watch, how)
        if how is None:
            bench.killed_at("accepted:before")
            return
        with pytest.raises(Broken, match="has a record and was never accepted"):
            bench.killed_at("accepted:before")


@pytest.mark.parametrize("how", ["replay skips the last document", None])
def test_replay_skips_the_last_document(how: str | None, tmp_path: Path) -> None:
    """Killed when `accepted` was the newest document: what it tells is forgotten."""
    with Watch() as watch:
        bench = Bench(tmp_path, watch, how)
        if how is None:
            bench.killed_at("started:before")
            return
        with pytest.raises(Broken, match="has no record"):
            bench.killed_at("started:before")


@pytest.mark.parametrize("how", ["duplicate enqueue", None])
def test_duplicate_enqueue(how: str | None, tmp_path: Path) -> None:
    """Code that ran once more than its record says."""
    with Watch() as watch:
        bench = Bench(tmp_path, watch, how)
        with bench.node() as node:
            bench.ask(node, blocking=True)
            until(lambda: watch.started("work") == (2 if how else 1), 20, lambda: node.output)
            node.wait_quiet()
            bench.story.ended(node.stop(), 0)
        if how is None:
            bench.story.check(bench.data_dir)
            return
        with pytest.raises(Broken, match="ran 2 times, and its record hides it"):
            bench.story.check(bench.data_dir)
