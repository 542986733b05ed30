"""Reading a stream without owning it: for recovery, and for `trace` and `journal`.

Documents are read in pieces of at most CHUNK, so that a long journal never stands in memory as a whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from messages.errors import IllegalTransition
from messages.events import Accepted, AnyEvent, ChildAssigned, Claimed, Finished, Snapshot
from store.contract import DocumentLog, JournalDocument
from store.errors import JournalDamaged
from store.fold import Fold, named
from store.journal_codec import Body, events_of, unpack

CHUNK = 64
"""Documents read at once; each has at most 1 MB but for single large events."""

TRIES = 3
"""How often a reading that misses a number starts again: the owner may just have compacted (design, "Reading")."""


async def accepted(log: DocumentLog, activation_id: str) -> Accepted | None:
    """What an activation was accepted with, in whichever stream, as long as a journal holds it."""
    for stream in await log.streams():
        for _, _, event in await JournalReader(log, stream).history(activation_id):
            if isinstance(event, Accepted):
                return event
    return None


class Missing(Exception):
    """A number that should be there is not: compacted meanwhile, or damage."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self.n = n


class JournalReader:
    """Answers questions about one stream."""

    def __init__(self, log: DocumentLog, stream: str) -> None:
        self._log = log
        self._stream = stream

    async def events(self, first: int = 1, last: int | None = None) -> AsyncIterator[tuple[int, int, AnyEvent]]:
        """(number, epoch, event) from document `first` to `last`, in order; what compaction removed is not there.

        Raises JournalDamaged and UnknownEvent.
        """
        async for document in self._documents(first, last):
            body = unpack(self._stream, document)
            for event in events_of(self._stream, document.n, body):
                yield document.n, body.epoch, event

    async def history(self, activation_id: str) -> list[tuple[int, int, AnyEvent]]:
        """All that the journal still holds about one activation, with the claims between: a claim is a new process."""
        needle = activation_id.encode()
        found: list[tuple[int, int, AnyEvent]] = []
        async for document in self._documents(1, None):
            if needle not in document.body and b"claim" not in document.body:
                continue
            body = unpack(self._stream, document)
            found += [
                (document.n, body.epoch, event)
                for event in events_of(self._stream, document.n, body)
                if isinstance(event, Claimed) or (not isinstance(event, Snapshot) and event.id == activation_id)
            ]
        return _without_outer_claims(found)

    async def parent(self, activation_id: str) -> str | None:
        """The composition here that assigned this activation, as far as the journal still holds it."""
        needle = activation_id.encode()
        async for document in self._documents(1, None):
            if needle in document.body and b"child_assigned" in document.body:
                for event in events_of(self._stream, document.n, unpack(self._stream, document)):
                    if isinstance(event, ChildAssigned) and event.child == activation_id:
                        return event.id
        return None

    async def last(self) -> tuple[int, Body] | None:
        """The newest document, or None for a new stream."""
        document = await self._log.last(self._stream)
        return (document.n, unpack(self._stream, document)) if document else None

    async def body(self, n: int) -> Body | None:
        """Document `n`, or None."""
        found = await self._log.read(self._stream, n)
        return None if found is None else unpack(self._stream, JournalDocument(n, found))

    async def first_whole(self) -> int:
        """The oldest document from which on the state can be replayed: the first, or the oldest snapshot with nothing missing
        after it. Compaction leaves claims, and what snapshots name, before it.
        """
        newest = await self._log.last(self._stream)
        numbers = [*await self._log.numbers(self._stream, newest.n), newest.n] if newest else []
        first = next((number for i, number in enumerate(numbers) if numbers[-1] - number == len(numbers) - 1 - i), 1)
        if first == 1 or newest is None:
            return 1
        async for document in self._documents(first, newest.n):
            if unpack(self._stream, document).snapshot == document.n:
                return document.n
        return newest.n + 1

    async def folded(self, snapshot: int, last: int) -> Fold:
        """The state after document `last`, whose newest snapshot is `snapshot` (0: none).

        Raises JournalDamaged naming the number that is still missing at the third try, or that is wrong; UnknownEvent.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return await self._fold(snapshot, last)
            except Missing as missing:
                if attempt == TRIES:
                    raise JournalDamaged(f"journal {self._stream}: document {missing.n} is missing") from None
        raise AssertionError("the loop above returns or raises")

    async def _fold(self, snapshot: int, last: int) -> Fold:
        fold = Fold()
        expected = max(snapshot, 1)
        async for document in self._documents(expected, last):
            if document.n != expected:
                raise Missing(expected)
            for event in self._read(document):
                if isinstance(event, Snapshot) and document.n == snapshot:
                    await self._restore(fold, event)
                else:
                    self._apply(fold, document.n, [event], None)
            expected += 1
        if expected <= last:
            raise Missing(expected)
        return fold

    async def _restore(self, fold: Fold, snapshot: Snapshot) -> None:
        for n, ids in named(snapshot).items():
            body = await self._log.read(self._stream, n)
            if body is None:
                raise Missing(n)
            self._apply(fold, n, self._read(JournalDocument(n, body)), ids)
        try:
            fold.resume(snapshot)
        except KeyError as error:
            raise JournalDamaged(f"journal {self._stream}: no document that the snapshot names tells of {error}") from None

    def _apply(self, fold: Fold, n: int, events: list[AnyEvent], ids: set[str] | None) -> None:
        owned = [_own(event) for event in events]
        try:
            if ids is None:
                for event in owned:
                    fold.apply(n, event)
            else:
                fold.recall(n, owned, ids)
        except IllegalTransition as error:
            raise JournalDamaged(f"journal {self._stream}: document {n} does not follow from those before it: {error}") from None

    async def _documents(self, first: int, last: int | None) -> AsyncIterator[JournalDocument]:
        """Documents in order, in chunks; over gaps that compaction left in steps that double."""
        if last is None:
            newest = await self._log.last(self._stream)
            last = newest.n if newest else 0
        width = CHUNK
        while first <= last:
            found = await self._log.range(self._stream, first, min(first + width - 1, last))
            for document in found:
                yield document
            first += width
            width = CHUNK if found else width * 2

    def _read(self, document: JournalDocument) -> list[AnyEvent]:
        return events_of(self._stream, document.n, unpack(self._stream, document))


def _without_outer_claims(found: list[tuple[int, int, AnyEvent]]) -> list[tuple[int, int, AnyEvent]]:
    """Claims before the first and after the last event of the activation say nothing about it."""
    own = [i for i, (_, _, event) in enumerate(found) if not isinstance(event, Claimed)]
    return found[own[0] : own[-1] + 1] if own else []


def _own(event: AnyEvent) -> AnyEvent:
    """The event without a hold on the text of the whole document, which decoded `Raw` values keep."""
    if isinstance(event, Accepted):
        return replace(event, message=event.message.copy(), plan=_copied(event.plan))
    if isinstance(event, ChildAssigned):
        tally = replace(event.tally, state=_copied(event.tally.state))
        return replace(event, message=event.message.copy(), plan=_copied(event.plan), tally=tally)
    if isinstance(event, Finished) and event.result is not UNSET:
        return replace(event, result=event.result.copy())
    return event


def _copied(raw: Raw | UnsetType) -> Raw | UnsetType:
    return raw if isinstance(raw, UnsetType) else raw.copy()
