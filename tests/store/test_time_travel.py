"""A stream's past: states after any document, and a replay held against snapshots and records."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from messages.events import Accepted, Acked, AnyEvent, Claimed, Finished, LiveEntry, Recorded, Snapshot, Started
from messages.record import record_of
from messages.wire import decode_message, encode
from store.errors import NotFound
from store.journal_codec import encode_body, encode_event, pack
from store.memory import MemoryStore
from store.time_travel import check, state_at
from tests.support.actor_bench import message

A, B = "a" * 32, "b" * 32
STREAM = "invoker0"


def accepted(activation_id: str) -> Accepted:
    return Accepted(activation_id, Raw(encode(message(activation_id))), 1000)


def finished(activation_id: str) -> Finished:
    return Finished(activation_id, 2000, 0, 1500, 1990, Raw(b'{"x": 1.50}'), size=10, version="0.0.1", kind="python:3")


LIFE: list[AnyEvent] = [
    Claimed(900),
    accepted(A),
    Started(A, 1, "c1", 1400),
    accepted(B),
    Snapshot(1600, [LiveEntry(A, [2, 3], 1, 0, True), LiveEntry(B, [4])]),
    finished(A),
    Recorded(A, 2010),
    Acked(A, 2011),
    Snapshot(2100, [LiveEntry(B, [4])]),
    Claimed(3000),
]


async def stored(life: list[AnyEvent] = LIFE, without: tuple[int, ...] = (), **changed: Any) -> MemoryStore:
    store, snapshot = MemoryStore(), 0
    for n, event in enumerate(life, 1):
        snapshot = n if isinstance(event, Snapshot) else snapshot
        if n not in without:
            body = pack(1 + (n == len(life)), "w", snapshot, [encode_event(event)])
            await store.journal.create(STREAM, n, encode_body(body))
    record = record_of(decode_message(accepted(A).message), finished(A), ["a log line"])
    await store.activations.write([replace(record, **changed)])
    return store


@pytest.mark.parametrize("n", range(1, len(LIFE) + 1))
def test_the_state_after_each_document(n: int) -> None:
    """What was unfinished then, by snapshot or from the beginning."""

    async def look() -> None:
        epoch, fold = await state_at((await stored()).journal, STREAM, n)
        wanted = {A: "accepted"} if n >= 2 else {}
        wanted |= {A: "started"} if n >= 3 else {}
        wanted |= {B: "accepted"} if n >= 4 else {}
        wanted |= {A: "finished"} if n >= 6 else {}
        wanted |= {A: "recorded"} if n >= 7 else {}
        if n >= 8:
            del wanted[A]
        assert {id: live.stage.value for id, live in fold.live.items()} == wanted
        assert epoch == 1 + (n == len(LIFE))

    asyncio.run(look())


def test_what_compaction_took_is_said_to_be_gone() -> None:
    """Before the oldest whole part there is nothing to see; after it all is as ever."""

    async def look() -> None:
        store = await stored(without=(2, 3, 5, 6))
        with pytest.raises(NotFound, match="documents before 9 are deleted"):
            await state_at(store.journal, STREAM, 7)
        with pytest.raises(NotFound, match="no document 99"):
            await state_at(store.journal, STREAM, 99)
        assert list((await state_at(store.journal, STREAM, 10))[1].live) == [B]
        found = await check(store.journal, STREAM, store.activations)
        assert (found.first, found.last, found.divergences) == (9, 10, [])

    asyncio.run(look())


def test_a_true_journal_shows_no_divergence() -> None:
    """Both snapshots and the record are what the replay makes of the events."""

    async def look() -> None:
        store = await stored()
        found = await check(store.journal, STREAM, store.activations)
        assert (found.first, found.last, found.snapshots, found.records, found.gone) == (1, 10, 2, 1, 0)
        assert found.divergences == []

    asyncio.run(look())


def test_an_empty_stream_has_nothing_to_check() -> None:
    """And nothing to fail at."""

    async def look() -> None:
        store = MemoryStore()
        found = await check(store.journal, STREAM, store.activations)
        assert (found.last, found.divergences) == (0, [])

    asyncio.run(look())


WRONG = [
    (4, Snapshot(1600, [LiveEntry(A, [2, 3], 1, 0, True)]), f"snapshot 5 differs from the replay in {B}"),
    (4, Snapshot(1600, [LiveEntry(A, [2, 3], 1, 1, True), LiveEntry(B, [4])]), f"snapshot 5 differs from the replay in {A}"),
    (4, replace(LIFE[4], next_offsets={"invoker0": 7}), "snapshot 5: offsets {'invoker0': 7}, replayed {}"),
    (6, Acked(B, 2010), "document 7"),
]


@pytest.mark.parametrize(("at", "event", "text"), WRONG)
def test_a_wrong_document_is_found(at: int, event: AnyEvent, text: str) -> None:
    """A snapshot that lost or bent something, a step that the lifecycle has not."""

    async def look() -> None:
        store = await stored([*LIFE[:at], event, *LIFE[at + 1 :]])
        found = await check(store.journal, STREAM, store.activations)
        assert any(text in divergence for divergence in found.divergences), found.divergences

    asyncio.run(look())


def test_a_record_that_differs_is_found_and_one_that_is_gone_counted() -> None:
    """Logs are not journaled, so they are not compared."""

    async def look() -> None:
        store = await stored(end=5)
        found = await check(store.journal, STREAM, store.activations)
        assert found.divergences == [f"the record of {A} is not what follows from its events"]
        await store.activations.delete_older(10**15)
        found = await check(store.journal, STREAM, store.activations)
        assert (found.gone, found.records, found.divergences) == (1, 0, [])

    asyncio.run(look())
