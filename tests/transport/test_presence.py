"""Who counts as living, by heartbeats alone."""

from __future__ import annotations

import pytest

from messages.cluster import Heartbeat, decode_heartbeat
from messages.wire import encode
from store.contract import StoredDoc
from store.errors import StoreUnavailable
from store.memory import MemoryStore
from transport.presence import DEAD_AFTER, EVERY, Presence, Watched


def beat(counter: int, writer: str = "w", *, stopped: bool = False) -> StoredDoc:
    return StoredDoc("node:invoker0", "1-a", encode(Heartbeat(writer, counter, address="http://h:1", stopped=stopped)))


def test_a_node_lives_while_its_counter_moves() -> None:
    """One that is read for the first time has the same time as all others to show that it does."""
    watched = Watched()
    now = 0.0
    for counter in range(20):
        watched.read([beat(counter)], now)
        now += EVERY
        assert watched.alive()["node:invoker0"].counter == counter
    start = now
    while watched.alive():
        watched.read([beat(19)], now)
        now += EVERY
        assert now - start <= DEAD_AFTER + 2 * EVERY
    watched.read([beat(0, "restarted")], now)
    assert watched.alive()


def test_a_node_that_stopped_is_gone_at_once() -> None:
    watched = Watched()
    watched.read([beat(1)], 0.0)
    watched.read([beat(2, stopped=True)], EVERY)
    assert watched.alive() == {}


def test_an_outage_of_the_store_kills_nobody() -> None:
    """Time counts only between reads that succeed one after the other."""
    watched = Watched()
    watched.read([beat(1)], 0.0)
    watched.read([beat(1)], 3600.0)
    assert watched.alive()


def test_what_cannot_be_read_is_nobody() -> None:
    watched = Watched()
    watched.read([StoredDoc("node:invoker0", "1-a", b'{"counter":"x"}')], 0.0)
    assert watched.alive() == {}


class Cluster:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.now = 0.0
        self.rounds = 0

    def presence(self, name: str, writer: str = "w") -> Presence:
        return Presence(self.store.heartbeats, name, writer, lambda: self.now, self._changed)

    def _changed(self) -> None:
        self.rounds += 1


async def test_controllers_count_each_other_and_see_the_nodes() -> None:
    cluster = Cluster()
    await cluster.store.heartbeats.put("node:invoker3", beat(1).body, None)
    first, second = cluster.presence("0"), cluster.presence("1")
    assert first.controllers == 1
    for presence in (first, second, first):
        assert await presence.round()
    assert (first.controllers, second.controllers, cluster.rounds) == (2, 2, 3)
    assert first.nodes()["invoker3"].address == "http://h:1"
    await second.stop()
    await first.round()
    assert first.controllers == 1


async def test_a_restarted_controller_goes_on_with_its_document() -> None:
    cluster = Cluster()
    await cluster.presence("0", "before").round()
    presence = cluster.presence("0", "after")
    await presence.round()
    found = await cluster.store.heartbeats.get("controller:0")
    assert found is not None
    assert decode_heartbeat(found.body).writer == "after"
    assert presence.controllers == 1


@pytest.mark.parametrize("operation", ["heartbeats.put", "heartbeats.list"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_round_without_an_answer_changes_nothing(operation: str, when: str) -> None:
    """Not even one whose write was applied."""
    cluster = Cluster()
    presence = cluster.presence("0")
    assert await presence.round()
    confirmed, cluster.now = presence.confirmed, 5.0
    cluster.store.faults.fail_next(operation, "before" if operation.endswith("list") else when, StoreUnavailable("away"))
    assert not await presence.round()
    assert presence.confirmed == confirmed
    assert await presence.round()
    assert presence.confirmed == 5.0
