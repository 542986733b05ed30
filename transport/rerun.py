"""Work whose code may still be running with the owner before: it is taken up again when that can't be any more.

That is when the owner before has said that its containers are gone, or when its lease and the run's time limit have passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

import msgspec
import structlog

from actors.ports import Clock
from messages.action import decode_action
from messages.cluster import Heartbeat, decode_heartbeat
from messages.commands import Resume
from messages.wire import encode
from store.contract import EntityStore, HeartbeatStore
from store.errors import Conflict, StoreUnavailable
from store.ports import patiently

LOOK_EVERY = 1.0
"""Seconds between looks whether the owner before is known to be gone."""

log = structlog.get_logger("node")


def _doc_id(stream: str) -> str:
    return f"gone:{stream}"


async def tell_gone(store: HeartbeatStore, stream: str, writer: str, epoch: int) -> None:
    """Say that this owner's containers are gone, though the stream is another's. Gives up where the store doesn't answer."""
    for _ in range(3):
        try:
            found = await store.get(_doc_id(stream))
            if found is not None and decode_heartbeat(found.body).epoch > epoch:
                return
            body = encode(Heartbeat(writer, 0, epoch, stopped=True))
            await store.put(_doc_id(stream), body, None if found is None else found.rev)
        except Conflict:
            continue
        except StoreUnavailable as error:
            log.warning("that this owner is gone could not be told", stream=stream, error=str(error))
        return


async def run_limits(entities: EntityStore, held: Iterable[Resume], most: float) -> dict[str, float]:
    """Activation id → seconds that its code may run: /init and /run have its limit each. `most` where the action is gone."""
    limits: dict[str, float] = {}
    found = {}
    for command in held:
        name = command.message.action.fqn
        if name not in limits:
            stored = await patiently(partial(entities.get, name))
            try:
                limits[name] = most if stored is None else decode_action(stored.body).limits.timeout / 1000
            except (msgspec.DecodeError, UnicodeDecodeError):
                limits[name] = most
        found[command.activation_id] = 2 * limits[name]
    return found


class Held:
    """What waits. `epoch`: of the owner before; `since`: monotonic seconds when it was last known to live."""

    def __init__(self, heartbeats: HeartbeatStore, stream: str, epoch: int, since: float, lease: float, clock: Clock) -> None:
        self._heartbeats = heartbeats
        self._stream = stream
        self._epoch = epoch
        self._from = since + lease
        self._clock = clock
        self._waiting: dict[str, Resume] = {}

    def __repr__(self) -> str:
        return f"<Held {self._stream} {len(self._waiting)} waiting>"

    def __len__(self) -> int:
        return len(self._waiting)

    def hold(self, command: Resume) -> bool:
        """Keep it: its code may be running."""
        self._waiting[command.activation_id] = command
        return True

    async def run(self, entities: EntityStore, most: float, take_up: Callable[[Resume], None]) -> None:
        """Take up each when it can't run elsewhere any more; ends when all are."""
        if not self._waiting:
            return
        limits = await run_limits(entities, list(self._waiting.values()), most)
        log.info("work waits until its code can't run elsewhere any more", stream=self._stream, count=len(self._waiting))
        while self._waiting:
            gone, now = await self._gone(), self._clock.monotonic()
            due = [id for id in self._waiting if gone or now >= self._from + limits[id]]
            for activation_id in due:
                take_up(self._waiting.pop(activation_id))
            if self._waiting:
                await asyncio.sleep(LOOK_EVERY)

    async def _gone(self) -> bool:
        try:
            found = await self._heartbeats.get(_doc_id(self._stream))
            return found is not None and decode_heartbeat(found.body).epoch >= self._epoch
        except (StoreUnavailable, msgspec.DecodeError):
            return False
