"""A node's sign of life in the store, and the lease that hangs on it: no confirmed write for that long, no user code.

The document tells liveness and address; it fences nothing. But a newer epoch in it is another process's, which has the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog
from msgspec import DecodeError

from actors.ports import Clock
from messages.cluster import Heartbeat, decode_heartbeat
from messages.wire import encode
from store.contract import HeartbeatStore, StoredDoc
from store.errors import Conflict, StoreUnavailable

RETRY = 0.5
"""Seconds until a write that failed is tried again."""

log = structlog.get_logger("node")


class Beating:
    """Writes `node:<stream>` every `every` seconds. `lost()`: a newer owner was found. `changed()`: the lease came or went."""

    def __init__(
        self,
        store: HeartbeatStore,
        stream: str,
        *,
        writer: str,
        epoch: int,
        address: str,
        clock: Clock,
        every: float,
        lease: float,
        lost: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._store = store
        self._doc_id = f"node:{stream}"
        self._writer = writer
        self._epoch = epoch
        self._address = address
        self._clock = clock
        self._every = every
        self._lease = lease
        self._lost = lost
        self._changed = changed
        self._counter = 0
        self._rev: str | None = None
        self._confirmed = float("-inf")
        self._had = False

    def __repr__(self) -> str:
        return f"<Beating {self._doc_id} epoch={self._epoch} counter={self._counter} held={self.held()}>"

    def held(self) -> bool:
        """Whether the last confirmed write is within the lease."""
        return self._clock.monotonic() - self._confirmed <= self._lease

    async def run(self) -> None:
        """Beat for ever; ends when a newer owner was found."""
        while True:
            written = await self.beat()
            if written is None:
                return
            self._look()
            await asyncio.sleep(self._every if written else RETRY)

    def _look(self) -> None:
        held = self.held()
        if held is not self._had:
            self._had = held
            log.info("the lease is held" if held else "the lease is lost: no user code is started", document=self._doc_id)
            self._changed()

    async def beat(self, *, stopped: bool = False) -> bool | None:
        """One write: whether the store confirmed it, None if the stream has a newer owner."""
        self._counter += 1
        begun = self._clock.monotonic()
        body = encode(Heartbeat(self._writer, self._counter, self._epoch, self._address, stopped))
        try:
            async with asyncio.timeout(self._lease):
                self._rev = await self._store.put(self._doc_id, body, self._rev)
        except Conflict:
            return await self._conflict()
        except (StoreUnavailable, TimeoutError) as error:
            log.debug("a sign of life was not written", document=self._doc_id, error=str(error))
            self._look()
            return False
        self._confirmed = begun
        return True

    async def _conflict(self) -> bool | None:
        """An earlier owner's document, this one's own whose answer was lost, or a newer owner's."""
        try:
            found = await self._store.get(self._doc_id)
        except StoreUnavailable:
            return False
        theirs = _read(found)
        if theirs is not None and theirs.writer != self._writer and theirs.epoch > self._epoch:
            self._lost()
            return None
        self._rev = None if found is None else found.rev
        return False

    async def stop(self, timeout: float) -> None:
        """Say that this owner is gone and its containers with it, if the store answers in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while await self.beat(stopped=True) is False:  # noqa: ASYNC110 - the store has no event
                    await asyncio.sleep(RETRY / 10)


def _read(found: StoredDoc | None) -> Heartbeat | None:
    try:
        return None if found is None else decode_heartbeat(found.body)
    except DecodeError:
        return None
