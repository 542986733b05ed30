"""Taking a stream: the document that fences older owners (design, "Owning")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from messages.events import Claimed
from store.contract import DocumentLog, JournalDocument
from store.errors import Conflict, StoreUnavailable
from store.journal_codec import Body, encode_body, encode_event, pack, unpack
from store.journal_reader import JournalReader

Pause = Callable[[], Awaitable[None]]


class Claim:
    """One attempt of one process to own a stream."""

    def __init__(self, log: DocumentLog, stream: str, writer: str, event: Claimed, pause: Pause) -> None:
        self._log = log
        self._stream = stream
        self._writer = writer
        self._texts = [encode_event(event)]
        self._pause = pause

    async def take(self, handing_over: Callable[[], None]) -> tuple[int, Body]:
        """Create the claim as the next number, however often others come first; (number, body).

        `handing_over` is called before each claim is handed to the log. Rides out StoreUnavailable, pausing between tries.
        Raises JournalDamaged if the newest document can't be read, StoreFailed.
        """
        reader = JournalReader(self._log, self._stream)
        while True:
            try:
                newest = await reader.last()
            except StoreUnavailable:
                await self._pause()
                continue
            n, epoch, snapshot = (newest[0], newest[1].epoch, newest[1].snapshot) if newest else (0, 0, 0)
            body = pack(epoch + 1, self._writer, snapshot, self._texts)
            handing_over()
            if await self._create(n + 1, body):
                return n + 1, body

    async def _create(self, n: int, body: Body) -> bool:
        """Whether the claim stands as document `n`; False if another process's document does."""
        data = encode_body(body)
        while True:
            try:
                await self._log.create(self._stream, n, data)
            except StoreUnavailable:
                await self._pause()
            except Conflict:
                found = await self._found(n)
                if found is not None:
                    return unpack(self._stream, JournalDocument(n, found)).is_from(body)
            else:
                return True

    async def _found(self, n: int) -> bytes | None:
        while True:
            try:
                return await self._log.read(self._stream, n)
            except StoreUnavailable:
                await self._pause()
