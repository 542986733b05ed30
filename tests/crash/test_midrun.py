"""`kill -9` in the middle of user code: what a person does by hand after reading the README."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from containers.note import read_note
from tests.crash.node import Node, until
from tests.crash.runner import bare_runtimes
from tests.crash.story import Stored, Story, annotation
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted


@pytest.mark.nodejs
@pytest.mark.parametrize("kind", list(CODE))
def test_killed_while_code_runs(kind: str, tmp_path: Path) -> None:
    """It is finished under the id given, on its second attempt, which the record says; in between no process lives."""
    data_dir = tmp_path / "data"
    flags = ("--runtimes", bare_runtimes(tmp_path))
    with Watch() as watch:
        story = Story(watch)
        with Node(data_dir, *flags) as node:
            node.wait_ready()
            node.put_action("work", kind, CODE[kind])
            asked = story.invoke(node, "work", "work", blocking=False, wanted=Submitted("", expect={0}), sleep=1.5)
            assert asked.outcome == "accepted"
            until(lambda: watch.running("work"), 30, lambda: node.output)
            story.ended(node.kill(), -signal.SIGKILL)  # whatever it leaves for 2 s is a violation
            until(lambda: not watch.running("work"), 2, "the code of the killed node still runs")
            assert [each.activation_id for each in read_note(data_dir / "note-invoker0.map")] == [asked.id]
        with Node(data_dir, *flags) as node:
            node.wait_ready()
            assert "1 unfinished activation resumed" in node.output
            node.wait_quiet()
            answer = node.api("GET", f"activations/{asked.id}")
            assert answer.status == 200
            assert answer.body["response"]["result"] == {"n": "work"}
            assert answer.body["logs"], "its output is of the second run alone"
            story.ended(node.stop(), 0)
        story.check(data_dir)
    record = Stored.read(data_dir).record("work")
    assert annotation(record, "attempts") == 2
    assert watch.started("work") == 2


def test_run_ahead_is_noted(tmp_path: Path) -> None:
    """Killed before `started` was written while the code was already called: the note tells, the record says two attempts."""
    data_dir = tmp_path / "data"
    flags = ("--runtimes", bare_runtimes(tmp_path))
    with Watch() as watch:
        story = Story(watch)
        with Node(data_dir, *flags, environment={"REWHISK_FAILPOINT": "started:before"}) as node:
            node.wait_ready()
            node.put_action("work", "python:3", CODE["python:3"])
            caller = threading.Thread(target=story.invoke, args=(node, "work", "work"), kwargs={"blocking": True, "sleep": 1})
            caller.start()
            story.ended(node.wait_dead(), -signal.SIGKILL)
            caller.join()
            assert "started" not in Stored.read(data_dir).events("work")
            assert len(read_note(data_dir / "note-invoker0.map")) == 1
        for failpoint in ("claim:after", "started:before"):  # the evidence outlives processes that die while they start
            with Node(data_dir, *flags, environment={"REWHISK_FAILPOINT": failpoint}) as node:
                story.ended(node.wait_dead(), -signal.SIGKILL)
        with Node(data_dir, *flags, environment={"REWHISK_FAILPOINT": "finished:before"}) as node:
            story.ended(node.wait_dead(), -signal.SIGKILL)
        with Node(data_dir, *flags) as node:
            node.wait_ready().wait_quiet()
            story.ended(node.stop(), 0)
        story.check(data_dir)
    # The first run, which only the note knew, the one that died before its `finished`, and the last.
    assert annotation(Stored.read(data_dir).record("work"), "attempts") == 3
