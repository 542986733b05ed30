"""A disk that is full, and then isn't any more."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from tests.crash.node import Node, request, until
from tests.crash.story import Stored, Story
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted
from tests.system.machine import MB, disk, fill, needs_root

GOOD = Submitted("", expect={0})
SIZE = 24
NO_RESERVE = {"REWHISK_LOW_DISK": "1k", "REWHISK_LEASE": "1s"}
"""The disk may run full to the last bytes, and a store that does not answer is told of soon."""


def ready(node: Node) -> tuple[int, str]:
    answer = request(node.url, "GET", "/ready")
    return answer.status, str(answer.body)


@needs_root
def test_almost_full(tmp_path: Path) -> None:
    """Readiness goes off before writes fail: new work is refused with the reason, and taken again when there is space."""
    with Watch() as watch, disk(tmp_path / "disk", SIZE) as place:
        story = Story(watch)
        with Node(place / "data", environment={"REWHISK_LOW_DISK": "4m"}, logs=tmp_path) as node:
            node.wait_ready()
            node.put_action("work", "python:3", CODE["python:3"])
            assert story.invoke(node, "work", "before", blocking=True, wanted=GOOD).outcome == "answer"
            ballast = fill(place, leave=2 * MB)
            until(lambda: ready(node)[0] == 503, 10, "still ready with a disk almost full")
            assert "almost full" in ready(node)[1]
            assert story.invoke(node, "work", "meanwhile", blocking=True).outcome == "refused"
            for path in ("actions/work", "activations?limit=1"):
                assert node.api("GET", path).status == 200
            ballast.unlink()
            until(lambda: ready(node)[0] == 200, 10, "not ready again with space on the disk")
            assert story.invoke(node, "work", "after", blocking=True, wanted=GOOD).outcome == "answer"
            story.ended(node.stop(), 0)
        story.check(place / "data")


@needs_root
def test_full(tmp_path: Path) -> None:
    """Writes fail in the middle of work: nobody is told anything untrue, and with space everything goes on by itself."""
    with Watch() as watch, disk(tmp_path / "disk", SIZE) as place:
        story = Story(watch)
        with Node(place / "data", environment=NO_RESERVE, logs=tmp_path) as node:
            node.wait_ready()
            node.put_action("work", "python:3", CODE["python:3"])
            callers = [start(story, node, f"running{i}", sleep=2) for i in range(3)]
            until(lambda: len(watch.runs) == 3, 30, lambda: node.output)
            ballast = fill(place)
            # What the store still takes goes into space that it has already: fill that too.
            callers += [start(story, node, f"large{i}", blob="x" * 400_000) for i in range(8)]
            until(lambda: ready(node)[0] == 503, 30, lambda: f"still ready with a full disk: {node.status()}")
            assert "store has not answered" in ready(node)[1] or "almost full" in ready(node)[1]
            assert node.alive()
            assert story.invoke(node, "work", "meanwhile", blocking=False).outcome == "refused"
            ballast.unlink()
            until(lambda: ready(node)[0] == 200, 20, lambda: node.output)
            node.wait_quiet()
            for caller in callers:
                caller.join()
            assert story.invoke(node, "work", "after", blocking=True, wanted=GOOD).outcome == "answer"
            story.ended(node.stop(), 0)
            assert "Traceback" not in node.output
        story.check(place / "data")
        assert {story.asked[f"running{i}"].outcome for i in range(3)} == {"answer"}


@needs_root
def test_killed_and_started_on_a_full_disk(tmp_path: Path) -> None:
    """It can't be started there, or waits and says why; with space again everything accepted is finished."""
    with Watch() as watch, disk(tmp_path / "disk", SIZE) as place:
        story = Story(watch)
        data_dir = place / "data"
        with Node(data_dir, environment=NO_RESERVE, logs=tmp_path) as node:
            node.wait_ready()
            node.put_action("work", "python:3", CODE["python:3"])
            caller = start(story, node, "running", sleep=1)
            until(lambda: watch.started("running") > 0, 30, lambda: node.output)
            story.ended(node.kill(), -signal.SIGKILL)
            caller.join()
        ballast = fill(place)
        with Node(data_dir, environment=NO_RESERVE, logs=tmp_path) as node:
            until(lambda: not node.alive() or "API host" in node.output, 30, lambda: node.output)
            if node.alive():
                node.wait_listening()
                assert ready(node)[0] == 503
                ballast.unlink()
                node.wait_ready().wait_quiet()
                story.ended(node.stop(), 0)
            else:
                assert node.wait_dead().code != 0
                assert "full" in node.output or "No space left" in node.output
                ballast.unlink()
            assert "Traceback" not in node.output
        with Node(data_dir, environment=NO_RESERVE, logs=tmp_path) as node:
            node.wait_ready().wait_quiet()
            story.ended(node.stop(), 0)
        story.check(data_dir)
        assert Stored.read(data_dir).record("running")["response"]["result"] == {"n": "running"}


def start(story: Story, node: Node, n: str, **arguments: object) -> threading.Thread:
    caller = threading.Thread(
        target=story.invoke, args=(node, "work", n), kwargs={"blocking": True, "wanted": GOOD, **arguments}
    )
    caller.start()
    return caller
