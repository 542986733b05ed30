"""A node that stays dead: another goes on with its work, and gives it back when it returns."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from services.kafka import Kafka
from store.sqlite_schema import FILE_NAME
from tests.cluster.test_node_wire import Alone
from tests.cluster.wire import Wire, kinds
from tests.crash.node import Node, until

pytestmark = pytest.mark.kafka

QUICK = {"takeover_after": "5s", "heartbeat_every": "500ms", "lease": "3s"}
"""Far enough from each other that a busy machine makes nobody dead."""
CODE = "def main(args):\n    import time\n    time.sleep(args.get('sleep', 0))\n    return {'n': args.get('n')}\n"


class Pair(Alone):
    """Several nodes on one store."""

    def node(self, number: int, **more: str) -> Node:
        """Start the node of this id."""
        return self.start(number=number, **QUICK, **more)


@pytest.fixture
def pair(broker: Kafka, tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(broker.address, tmp_path, stack)


def taken(node: Node) -> list[str]:
    return list(node.status().get("taken", []))


def runs(node: Node) -> bool:
    """Its code runs, and the journal says so."""
    status = node.status()
    return status["running"] == 1 and status["journal"]["waiting"] == 0


def put(node: Node) -> None:
    node.put_action("hello", "python:3", CODE, limits={"timeout": 1000})


def all_said(wire: Wire, ids: list[str], number: int = 0) -> None:
    """Each slot of this invoker is free."""
    wire.freed(*ids)
    for id in ids:
        assert {ack["instance"]["instance"] for ack in wire.acks(id) if "instance" in ack} == {number}


def test_a_dead_nodes_work_is_finished_by_another_and_given_back(pair: Pair) -> None:
    """What ran, what waited and what came to its topic afterwards; under its own number; attempts are told; then it returns."""
    first, second = pair.node(0), pair.node(1)
    put(first)
    wire = pair.wire
    ran = wire.invoke(content={"sleep": 0.95, "n": 1})
    until(lambda: runs(first), 30, lambda: first.output)
    first.kill()
    later = [wire.invoke() for _ in range(3)]
    until(lambda: taken(second) == ["invoker0"], 30, lambda: second.output)
    all_said(wire, [ran, *later])
    assert {"key": "attempts", "value": 2} in pair.record(second, ran)["annotations"]
    assert kinds(wire.acks(later[0])) == ["result", "completion"]
    assert all(ping["name"]["instance"] == 1 for ping in wire.heard["health"][-3:])
    back = pair.node(0)
    until(lambda: taken(second) == [], 30, lambda: second.output)
    assert "its owner is back" in second.output
    again = [wire.invoke() for _ in range(3)]
    all_said(wire, again)
    back.wait_quiet()


def stop_between_writes(node: Node) -> None:
    """SIGSTOP it, but not while it holds the lock of the file that all nodes here share: then nobody could write."""
    while True:
        node.signal(signal.SIGSTOP)
        with closing(sqlite3.connect(node.data_dir / FILE_NAME, timeout=1.0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                node.signal(signal.SIGCONT)
                time.sleep(0.02)
                continue
            connection.execute("ROLLBACK")
            return


def test_one_that_was_only_stopped_is_fenced_and_says_so(pair: Pair) -> None:
    """SIGSTOP across the takeover: on waking it tells nobody anything, kills its containers and ends; no id is told twice."""
    first, second = pair.node(0), pair.node(1)
    put(first)
    wire = pair.wire
    ran = wire.invoke(content={"sleep": 0.95, "n": 1})
    until(lambda: runs(first), 30, lambda: first.output)
    stop_between_writes(first)
    until(lambda: taken(second) == ["invoker0"], 30, lambda: second.output)
    later = wire.invoke()
    first.signal(signal.SIGCONT)
    ended = first.wait_dead(30)
    assert (ended.code, ended.left) == (1, [])
    assert "Another process owns this node's journal" in first.output
    all_said(wire, [ran, later])
    time.sleep(0.5)
    assert kinds(wire.acks(ran)) == ["result", "completion"]


def test_a_drained_nodes_topic_is_read_on(pair: Pair) -> None:
    """Stopped in good order it is no different, but that nothing needs to be waited for; two that watch take it once."""
    first = pair.node(0)
    others = [pair.node(1), pair.node(2)]
    put(first)
    assert first.stop().code == 0
    ids = [pair.wire.invoke() for _ in range(3)]
    all_said(pair.wire, ids)
    assert sorted(taken(others[0]) + taken(others[1])) == ["invoker0"]
