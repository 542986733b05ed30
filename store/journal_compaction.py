"""Deleting what no reading needs any more: documents below the newest snapshot, but for claims and those it names.

A deleted number could be created again by an owner that was paused since before it: that is why claims stay for ever (each
bars the way of all older owners) and why only the owner deletes.
"""

from __future__ import annotations

from messages.errors import UnknownEvent
from messages.events import Claimed, Snapshot
from store.contract import DocumentLog, JournalDocument
from store.errors import JournalDamaged
from store.fold import named
from store.journal_codec import events_of, unpack

BATCH = 32
"""Documents read and deleted at once: appends wait no longer than for that."""


class Compaction:
    """Where compaction of one stream stands."""

    def __init__(self, log: DocumentLog, stream: str) -> None:
        self._log = log
        self._stream = stream
        self._next = 1
        self._spared: set[int] = set()
        """Old enough, passed by because the snapshot of that time named them."""

    async def run(self, snapshot: int, base: Snapshot, before: int) -> int:
        """Delete what is older than `before` (epoch ms) below document `snapshot`, whose event is `base`; how many.

        A document is as old as its newest event, or as the snapshot if a clock had run ahead.
        """
        needed = named(base).keys()
        deleted = await self._delete([n for n in sorted(self._spared) if n not in needed])
        width = BATCH
        while self._next < snapshot:
            last = min(self._next + width - 1, snapshot - 1)
            documents = await self._log.range(self._stream, self._next, last)
            due, young = self._due(documents, base.at, before)
            self._spared.update(n for n in due if n in needed)
            deleted += await self._delete([n for n in due if n not in needed])
            self._next = last + 1 if young is None else young
            if young is not None:
                break
            width = BATCH if documents else width * 2
        return deleted

    def _due(self, documents: list[JournalDocument], superseded: int, before: int) -> tuple[list[int], int | None]:
        """Numbers of those that are old enough, and the first that is too young, if one is."""
        due: list[int] = []
        for document in documents:
            try:
                events = events_of(self._stream, document.n, unpack(self._stream, document))
            except (JournalDamaged, UnknownEvent):
                continue  # perhaps a claim
            if any(isinstance(event, Claimed) for event in events):
                continue
            if min(superseded, max((event.at for event in events), default=0)) > before:
                return due, document.n
            due.append(document.n)
        return due, None

    async def _delete(self, numbers: list[int]) -> int:
        if numbers:
            await self._log.delete(self._stream, numbers)
            self._spared.difference_update(numbers)
        return len(numbers)
