"""A node's sign of life, its lease, who is blocked, and a clock that steps."""

import pytest

from messages.cluster import Heartbeat, decode_heartbeat
from messages.wire import encode
from store.contract import StoredDoc
from store.errors import StoreUnavailable
from store.memory import MemoryStore
from transport.blocked import Blocked, blocked_in
from transport.heartbeat import Beating
from transport.pings import Pings
from transport.steady import SteadyClock


class Clock:
    now, wall = 100.0, 1_000_000.0

    def monotonic(self):
        return self.now

    def wall_ms(self):
        return round(self.wall * 1000)

    def pass_(self, seconds, step=0.0):
        self.now += seconds
        self.wall += seconds + step


def beating(store, writer="me", epoch=2):
    made = Clock(), []
    return (
        Beating(
            store.heartbeats, "invoker0", writer=writer, epoch=epoch, address="http://a:1", clock=made[0], every=3, lease=10,
            lost=lambda: made[1].append("lost"), changed=lambda: made[1].append("changed"),
        ),
        *made,
    )  # fmt: skip


async def read(store):
    return decode_heartbeat((await store.heartbeats.get("node:invoker0")).body)


async def test_each_beat_counts_and_holds_the_lease():
    store = MemoryStore()
    own, clock, _ = beating(store)
    assert own.held() is False
    assert await own.beat() is True
    assert await own.beat() is True
    assert await read(store) == Heartbeat("me", 2, 2, "http://a:1")
    clock.pass_(10)
    assert own.held() is True
    clock.pass_(0.1)
    assert own.held() is False


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_write_without_an_answer_does_not_hold_it(when):
    """Nor does it end anything: the next one does, also where the lost one was applied."""
    store = MemoryStore()
    own, clock, _ = beating(store)
    await own.beat()
    clock.pass_(11)
    store.faults.fail_next("heartbeats.put", when, StoreUnavailable("gone"))
    assert await own.beat() is False
    assert own.held() is False
    if when == "after":
        assert await own.beat() is False
    assert await own.beat() is True
    assert own.held() is True


async def test_an_older_owners_document_is_replaced_and_a_newer_ones_ends_this_one():
    store = MemoryStore()
    await store.heartbeats.put("node:invoker0", encode(Heartbeat("old", 9, 1)), None)
    own, _, told = beating(store)
    assert await own.beat() is False
    assert await own.beat() is True
    stored = await store.heartbeats.get("node:invoker0")
    await store.heartbeats.put("node:invoker0", encode(Heartbeat("new", 1, 3)), stored.rev)
    assert await own.beat() is None
    assert told == ["lost"]


async def test_the_last_one_says_stopped():
    store = MemoryStore()
    own, _, _ = beating(store)
    await own.stop(1)
    assert (await read(store)).stopped is True


def document(id, body):
    return StoredDoc(id, "1-a", encode(body))


def test_who_is_blocked():
    """All namespaces of a blocked subject, and those whose limits allow nothing."""
    documents = [
        document("bad", {"subject": "bad", "blocked": True, "namespaces": [{"name": "a"}, {"name": "b"}]}),
        document("good", {"subject": "good", "namespaces": [{"name": "c"}]}),
        document("d/limits", {"concurrentInvocations": 0}),
        document("e/limits", {"invocationsPerMinute": 0}),
        document("f/limits", {"concurrentInvocations": 1}),
        StoredDoc("g/limits", "1-a", b"nonsense"),
    ]
    assert blocked_in(documents) == {"a", "b", "d", "e"}


async def test_a_reading_that_fails_keeps_what_was_known():
    store = MemoryStore()
    await store.subjects.put("d/limits", encode({"concurrentInvocations": 0}), None)
    found = Blocked(store.subjects, 300)
    await found.read()
    store.faults.fail_next("subjects.list", "before", StoreUnavailable("gone"))
    await found.read()
    assert "d" in found
    assert "e" not in found


def test_a_step_of_the_clock_suspends_for_a_while():
    clock = Clock()
    steady = SteadyClock(clock, 600)
    clock.pass_(1000, step=4)
    assert steady.steady() is True
    clock.pass_(1, step=600)
    assert steady.steady() is False
    clock.pass_(599)
    assert steady.steady() is False
    clock.pass_(2)
    assert steady.steady() is True
    clock.pass_(1, step=-30)
    assert steady.steady() is False


def test_pings_end_with_one_word():
    """While it takes work, each second; then once that it doesn't, and nothing more until it does."""
    sent, usable = [], [True]

    class Producer:
        def send(self, topic, value, done):
            sent.append(b'"isEnabled":true' in value)

    pings = Pings(Producer(), "health", None, lambda: usable[0])
    for state in (False, True, True, False, False, True):
        usable[0] = state
        pings.tick()
    assert sent == [True, True, False, True]
