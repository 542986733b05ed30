"""Ctrl-C and SIGTERM: new work is refused, what runs is finished or stays in the journal, nothing is left behind."""

from __future__ import annotations

import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.node import ROOT, NoAnswer, Node, request, until
from tests.crash.story import Stored, Story, annotation
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted

BROKEN_LAUNCHER = ROOT / "tests" / "crash" / "broken.py"
GOOD = Submitted("", expect={0})


def begin(story: Story, node: Node, n: str, sleep: float, *, blocking: bool = True) -> threading.Thread:
    """An invocation whose code runs when this returns."""
    node.wait_ready()
    node.put_action("work", "python:3", CODE["python:3"])
    caller = threading.Thread(
        target=story.invoke, args=(node, "work", n), kwargs={"blocking": blocking, "wanted": GOOD, "sleep": sleep}
    )
    caller.start()
    until(lambda: story.watch.started(n) > 0, 30, lambda: node.output)
    return caller


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_work_is_finished(number: int, tmp_path: Path) -> None:
    """The waiting caller gets its answer, new work 503, then the node ends with 0."""
    data_dir = tmp_path / "data"
    with Watch() as watch, Node(data_dir) as node:
        story = Story(watch)
        caller = begin(story, node, "running", 1.5)
        node.signal(number)
        until(lambda: "draining: 1 running" in node.output, 10, lambda: node.output)
        refused = story.invoke(node, "work", "late", blocking=True)
        assert refused.outcome == "refused"
        ended = node.wait_dead()
        story.ended(ended, 0)
        caller.join()
        assert story.asked["running"].outcome == "answer"
        assert "stopped, nothing left behind" in node.output
        assert ended.left == []
        story.check(data_dir)


def test_drained_over_http(tmp_path: Path) -> None:
    """`POST /admin/drain`, however often, is one drain: not ready, reads go on, running work is finished, exit 0."""
    data_dir = tmp_path / "data"
    with Watch() as watch, Node(data_dir) as node:
        story = Story(watch)
        caller = begin(story, node, "running", 2)
        admin = {"Authorization": "Bearer " + (data_dir / "admin.key").read_text().strip()}
        for _ in range(3):
            assert request(node.url, "POST", "/admin/drain", headers=admin).status == 202
        until(lambda: "draining: 1 running" in node.output, 10, lambda: node.output)
        assert request(node.url, "POST", "/admin/drain", headers=admin).status == 202
        refused = request(node.url, "GET", "/ready")
        assert refused.status == 503
        assert "draining" in refused.body["error"]
        assert request(node.url, "GET", "/live").status == 200
        assert node.api("GET", "activations").status == 200
        story.ended(node.wait_dead(), 0)
        caller.join()
        assert story.asked["running"].outcome == "answer"
        story.check(data_dir)


def test_what_does_not_finish_stays(tmp_path: Path) -> None:
    """After the drain timeout the rest is journaled; the next start finishes it, and the first run is no failed attempt."""
    data_dir = tmp_path / "data"
    with Watch() as watch:
        story = Story(watch)
        with Node(data_dir, "--drain-timeout", "300ms") as node:
            caller = begin(story, node, "long", 1.5, blocking=False)
            caller.join()
            story.ended(node.stop(), 0)
            assert "stopped, 1 unfinished in the journal for the next start" in node.output
        until(lambda: not watch.running("long"), 2, "the code of the drained node still runs")
        with Node(data_dir) as node:
            node.wait_ready().wait_quiet()
            story.ended(node.stop(), 0)
        story.check(data_dir)
    stored = Stored.read(data_dir)
    started = [event for _, event in stored.journal if event.name == "started"]
    assert [event.attempt for event in started] == [1, 1]
    assert annotation(stored.record("long"), "attempts") == 2  # its code did run twice


def test_drained_often_is_no_poison(tmp_path: Path) -> None:
    """Work that outlives any number of drains is never given up, and never made to run alone."""
    data_dir = tmp_path / "data"
    with Watch() as watch:
        story = Story(watch)
        with Node(data_dir, "--drain-timeout", "0s") as node:
            begin(story, node, "long", 1, blocking=False).join()
            story.ended(node.stop(), 0)
        for start in range(2, 4):
            with Node(data_dir, "--drain-timeout", "0s") as node:
                node.wait_ready()
                until(lambda start=start: watch.started("long") == start, 20, lambda node=node: node.output)
                story.ended(node.stop(), 0)
        with Node(data_dir) as node:
            node.wait_ready().wait_quiet()
            story.ended(node.stop(), 0)
        story.check(data_dir)
    assert not any(getattr(event, "alone", False) for _, event in Stored.read(data_dir).journal)


def test_second_signal_ends_the_wait(tmp_path: Path) -> None:
    """Ctrl-C twice: no waiting for what runs; it is in the journal."""
    data_dir = tmp_path / "data"
    with Watch() as watch:
        story = Story(watch)
        with Node(data_dir) as node:
            begin(story, node, "long", 1.5, blocking=False).join()
            node.signal(signal.SIGINT)
            until(lambda: "draining" in node.output, 10, lambda: node.output)
            node.signal(signal.SIGINT)
            ended = node.wait_dead(8)
            assert ended.left == []
            assert "1 unfinished in the journal" in node.output
        with Node(data_dir) as node:
            node.wait_ready().wait_quiet()
            story.ended(node.stop(), 0)
        story.check(data_dir)


def test_drain_under_load(tmp_path: Path) -> None:
    """Callers that come and go while it drains: each is refused, answered, or its work is in the journal."""
    data_dir = tmp_path / "data"
    with Watch() as watch, Node(data_dir) as node:
        story = Story(watch)
        begin(story, node, "first", 0).join()
        stop = threading.Event()

        def client(name: str) -> None:
            for i in range(10_000):
                if stop.is_set():
                    return
                asked = story.invoke(node, "work", f"{name}-{i}", blocking=i % 2 == 0, wanted=GOOD, sleep=0.02)
                if asked.outcome in {"refused", "unsent", "nothing"}:
                    return

        with ThreadPoolExecutor(6) as pool:
            clients = [pool.submit(client, f"c{i}") for i in range(6)]
            until(lambda: len(watch.runs) > 30, 30, lambda: node.output)
            story.ended(node.stop(), 0)
            stop.set()
            for each in clients:
                each.result()
        story.check(data_dir)
        assert {asked.outcome for asked in story.asked.values()} <= {"answer", "accepted", "refused", "unsent", "nothing"}


def test_idle_node_ends_at_once(tmp_path: Path) -> None:
    """Nothing runs: no part of the drain timeout is waited; afterwards nobody listens."""
    with Node(tmp_path / "data") as node:
        node.wait_ready()
        assert node.stop(10).code == 0
        with pytest.raises(NoAnswer):
            node.api("GET", "actions")


def test_stopped_while_it_starts(tmp_path: Path) -> None:
    """The store does not answer the claim: the port says so, and a signal ends the node all the same."""
    unanswered = {"BROKEN_NODE": "store without an answer"}
    with Node(tmp_path / "data", environment=unanswered, launcher=BROKEN_LAUNCHER) as node:
        node.wait_listening()
        assert request(node.url, "GET", "/live").status == 200
        assert request(node.url, "GET", "/ready").status == 503
        ended = node.stop(15)
        assert ended.left == []
        assert ended.code == 0


@pytest.mark.parametrize("dead", [False, True])
def test_failed_start_leaves_the_verdict(dead: bool, tmp_path: Path) -> None:
    """A start that comes to nothing in between does not turn a drain into a death, nor a death into a drain."""
    data_dir = tmp_path / "data"
    with Watch() as watch:
        story = Story(watch)
        with Node(data_dir, "--drain-timeout", "0s") as node:
            begin(story, node, "long", 1, blocking=False).join()
            story.ended(node.kill() if dead else node.stop(), -signal.SIGKILL if dead else 0)
        with socket.create_server(("127.0.0.1", 0)) as taken, Node(data_dir, port=str(taken.getsockname()[1])) as node:
            assert node.wait_dead().code == 2
        with Node(data_dir) as node:
            node.wait_ready().wait_quiet()
            story.ended(node.stop(), 0)
        story.check(data_dir)
    claims = [event for _, event in Stored.read(data_dir).journal if event.name == "claim"]
    assert [claim.clean for claim in claims] == [True, not dead]
