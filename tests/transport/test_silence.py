"""Who is dead: only an unbroken row of this process's own readings tells. And when what ran elsewhere may run again."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.cluster import Heartbeat
from messages.commands import Resume
from messages.wire import ActionName, ActivationMessage, ControllerId, Identity, Namespace, encode
from store.contract import StoredDoc
from store.errors import StoreUnavailable
from store.memory import MemoryStore
from transport.membership import elsewhere
from transport.rerun import Held, tell_gone
from transport.silence import Silence

AFTER, EVERY, GAP = 60.0, 3.0, 7.0


def beat(stream, counter, **more):
    return StoredDoc(f"node:{stream}", f"{counter}-x", encode(Heartbeat("w", counter, **more)))


def watch(silence, begin, end, *documents):
    """Readings every EVERY seconds; the last one's time."""
    now = begin
    while now <= end:
        silence.read(documents, now)
        now += EVERY
    return now - EVERY


def test_a_counter_that_stands_still_for_long_enough():
    silence = Silence(GAP)
    last = watch(silence, 0, 60, beat("invoker0", 7), beat("invoker1", 9))
    (first, _) = silence.dead(AFTER)
    assert (first.stream, first.since, first.rev) == ("invoker0", 0, "7-x")
    silence.read([beat("invoker0", 8), beat("invoker1", 9)], last + EVERY)
    assert [each.stream for each in silence.dead(AFTER)] == ["invoker1"]


def test_an_outage_of_the_store_kills_nobody():
    """Nor does its first moment after it: they need time to be heard again."""
    silence = Silence(GAP)
    watch(silence, 0, 57, beat("invoker0", 7))
    silence.failed()
    assert silence.dead(AFTER) == []
    watch(silence, 600, 657, beat("invoker0", 7))
    assert silence.dead(AFTER) == []
    watch(silence, 660, 660, beat("invoker0", 7))
    assert len(silence.dead(AFTER)) == 1


def test_a_watcher_that_was_itself_stopped_begins_anew():
    silence = Silence(GAP)
    watch(silence, 0, 57, beat("invoker0", 7))
    silence.read([beat("invoker0", 7)], 1000)
    assert silence.dead(AFTER) == []


@given(st.lists(st.tuples(st.sampled_from(["read", "fail", "beat"]), st.floats(0.1, 20)), max_size=60))
def test_nobody_who_beats_in_time_is_ever_dead(steps):
    """Whatever happens to the watcher: whose counter grew since the row of readings began less than AFTER ago lives."""
    silence, now, counter, changed = Silence(GAP), 0.0, 0, 0.0
    for what, passed in steps:
        now += passed
        if what == "beat":
            counter, changed = counter + 1, now
        elif what == "fail":
            silence.failed()
        else:
            silence.read([beat("invoker0", counter)], now)
            if silence.dead(AFTER):
                assert now - changed >= AFTER - GAP


@pytest.mark.parametrize(
    ("before", "died_here", "remote"),
    [
        (Heartbeat("w", 1, address="http://a:1"), True, False),
        (Heartbeat("w", 1, address="http://a:1", stopped=True), False, False),
        (Heartbeat("w", 1, address="http://a:1"), False, True),
        (Heartbeat("w", 1), True, True),
        (Heartbeat("w", 1, stopped=True), False, True),
    ],
)
def test_whose_the_stream_was(before, died_here, remote):
    assert elsewhere(before, died_here) is remote


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


def resume(number, name="hello"):
    message = ActivationMessage(
        ["t", 1], ActionName("guest", name), None, Identity("guest-subject", Namespace("guest", "u")),
        f"{number:032x}", ControllerId("0"), False,
    )  # fmt: skip
    return Resume(message, 0, 1, False)


async def held(store, clock, monkeypatch):
    monkeypatch.setattr("transport.rerun.LOOK_EVERY", 0.005)
    made, taken = Held(store.heartbeats, "invoker0", 4, 100.0, 10.0, clock), []
    assert made.hold(resume(1)) is True
    task = asyncio.ensure_future(made.run(store.entities, 5.0, taken.append))
    await asyncio.sleep(0.05)
    return made, taken, task


async def test_what_may_run_elsewhere_waits_for_lease_and_limit(monkeypatch):
    """An action that is gone has the longest limit; an outage meanwhile changes nothing."""
    store, clock = MemoryStore(), Clock()
    made, taken, task = await held(store, clock, monkeypatch)
    store.faults.fail_next("heartbeats.get", "before", StoreUnavailable("gone"), 3)
    clock.now = 119.9
    await asyncio.sleep(0.05)
    assert taken == []
    clock.now = 120.0
    await asyncio.wait_for(task, 10)
    assert [each.activation_id for each in taken] == [f"{1:032x}"]
    assert len(made) == 0


async def test_or_until_the_owner_before_says_that_it_is_gone(monkeypatch):
    store, clock = MemoryStore(), Clock()
    await tell_gone(store.heartbeats, "invoker0", "older", 3)
    _, taken, task = await held(store, clock, monkeypatch)
    assert taken == []
    await tell_gone(store.heartbeats, "invoker0", "before", 4)
    await tell_gone(store.heartbeats, "invoker0", "older", 3)
    await asyncio.wait_for(task, 10)
    assert len(taken) == 1
