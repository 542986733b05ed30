"""Who lives in the cluster, by the heartbeat documents in the store: this controller's own, the nodes', other controllers'.

A document that is not replaced any more is a process that died; whether time has passed is measured with this process's own
clock, and only over reads that succeeded, so that an outage of the store kills nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog
from msgspec import DecodeError, Struct

from messages.cluster import Heartbeat, decode_heartbeat
from messages.wire import encode
from store.contract import HeartbeatStore, StoredDoc
from store.errors import Conflict, StoreUnavailable

EVERY = 3.0
"""Seconds between two heartbeats."""
DEAD_AFTER = 15.0
"""Seconds without a new heartbeat after which a controller's share is given to the others, and a node's address is not used."""

NODE, CONTROLLER = "node", "controller"
log = structlog.get_logger("presence")


class _Seen(Struct):
    """The newest heartbeat of one process, and when its counter was first seen (seconds of reading time)."""

    beat: Heartbeat
    since: float


class Watched:
    """What the heartbeats of one kind told. Pure: `time` counts only while reads succeed."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._time = 0.0
        self._read_at: float | None = None

    def read(self, documents: list[StoredDoc], now: float) -> None:
        """All documents of the kind, read just now (monotonic seconds)."""
        if self._read_at is not None:
            self._time += min(now - self._read_at, 2 * EVERY)
        self._read_at = now
        for document in documents:
            try:
                beat = decode_heartbeat(document.body)
            except DecodeError:
                continue
            known = self._seen.get(document.id)
            if known is None or (known.beat.writer, known.beat.counter) != (beat.writer, beat.counter):
                self._seen[document.id] = _Seen(beat, self._time)

    def alive(self) -> dict[str, Heartbeat]:
        """Document id → heartbeat of everyone who neither stopped nor fell silent."""
        return {
            doc_id: seen.beat
            for doc_id, seen in self._seen.items()
            if not seen.beat.stopped and self._time - seen.since < DEAD_AFTER
        }


class Presence:
    """`run` writes and reads until cancelled; `changed` is called after each reading."""

    def __init__(
        self, store: HeartbeatStore, name: str, writer: str, monotonic: Callable[[], float], changed: Callable[[], None]
    ) -> None:
        self._store = store
        self._doc_id = f"{CONTROLLER}:{name}"
        self._writer = writer
        self._monotonic = monotonic
        self._changed = changed
        self._counter = 0
        self._rev: str | None = None
        self._nodes = Watched()
        self._controllers = Watched()
        self.confirmed: float | None = None
        """When the store last answered a whole round (monotonic)."""

    async def run(self) -> None:
        """A round every EVERY seconds, for ever."""
        while True:
            await self.round()
            await asyncio.sleep(EVERY)

    async def round(self) -> bool:
        """Write this controller's heartbeat and read the others'; whether the store answered."""
        try:
            await self._write(stopped=False)
            self._nodes.read(await self._store.list(NODE), self._monotonic())
            self._controllers.read(await self._store.list(CONTROLLER), self._monotonic())
        except StoreUnavailable as error:
            log.warning("the store does not answer", error=str(error))
            return False
        self.confirmed = self._monotonic()
        self._changed()
        return True

    async def stop(self, timeout: float = 2.0) -> None:
        """Say that this controller leaves, if the store answers in time."""
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(timeout):
                await self._write(stopped=True)

    def nodes(self) -> dict[str, Heartbeat]:
        """Stream → heartbeat of the living nodes of this installation."""
        return {doc_id.removeprefix(f"{NODE}:"): beat for doc_id, beat in self._nodes.alive().items()}

    @property
    def controllers(self) -> int:
        """How many controllers live, this one included."""
        return len(self._controllers.alive().keys() | {self._doc_id})

    async def _write(self, *, stopped: bool) -> None:
        self._counter += 1
        body = encode(Heartbeat(self._writer, self._counter, stopped=stopped))
        try:
            self._rev = await self._store.put(self._doc_id, body, self._rev)
        except Conflict:
            # An earlier process's document, this one's from a write whose answer was lost, or a second process's with this id.
            found = await self._store.get(self._doc_id)
            self._rev = None if found is None else found.rev
            with contextlib.suppress(Conflict):
                self._rev = await self._store.put(self._doc_id, body, self._rev)
