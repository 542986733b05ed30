"""The stores as the core sees them: writes that ride out outages, reads that answer with a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from actors.ports import Reply
from containers import outcome
from containers.logs import truncation_text
from messages.action import Executable, decode_action, executable
from messages.commands import Fetched
from messages.record import LOGS_LOST, fitting, without_logs, without_result
from messages.wire import ActivationMessage, ActivationRecord, Identity
from store.contract import ActivationStore, EntityStore, SubjectStore
from store.errors import StoreError, StoreFailed, StoreRefused, StoreUnavailable

LINGER = 0.01
"""Seconds. What a crash can cost in it is the logs of an activation; its record is written after the restart."""

BATCH = 500
"""Records in one write, as upstream's batcher."""

PAUSE_FIRST, PAUSE_LAST = 0.05, 1.0
"""Seconds between attempts at a store that gives no certain answer."""

MB = 1024 * 1024
Spawn = Callable[[Coroutine[Any, Any, None]], object]
CallLater = Callable[[float, Callable[[], None]], object]
T = TypeVar("T")


async def patiently(request: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The answer to `request`, made again for as long as the store gives no certain one. Raises the other StoreErrors."""
    pause = PAUSE_FIRST
    while True:
        try:
            return await request()
        except StoreUnavailable:
            await asyncio.sleep(pause)
            pause = min(PAUSE_LAST, pause * 2)


class Records:
    """A RecordPort. Nobody waits for a record, so it waits LINGER for company: few transactions instead of one for each."""

    def __init__(self, store: ActivationStore, spawn: Spawn, call_later: CallLater) -> None:
        self._store = store
        self._spawn = spawn
        self._call_later = call_later
        self._waiting: list[tuple[ActivationRecord, Callable[[], None]]] = []
        self._writing = False

    def __repr__(self) -> str:
        return f"<Records {len(self._waiting)} waiting>"

    def write(self, record: ActivationRecord, done: Callable[[], None]) -> None:
        """RecordPort.write."""
        self._waiting.append((fitting(record, truncation_text(_limit(record))), done))
        self._soon()

    def _soon(self) -> None:
        if self._waiting and not self._writing:
            self._writing = True
            self._call_later(LINGER, self._due)

    def _due(self) -> None:
        self._spawn(self._flush())

    async def _flush(self) -> None:
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        await self._write([record for record, _ in batch])
        for _, done in batch:
            done()
        self._writing = False
        self._soon()

    async def _write(self, records: list[ActivationRecord]) -> None:
        try:
            await patiently(lambda: self._store.write(records))
        except StoreRefused:
            await self._write_singly(records)

    async def _write_singly(self, records: list[ActivationRecord]) -> None:
        """One of them is refused: find it, and write what the store takes of it."""
        if len(records) > 1:
            for record in records:
                await self._write([record])
        elif records[0].logs not in (UNSET, [], [LOGS_LOST]):
            await self._write([without_logs(records[0])])
        else:
            await patiently(lambda: self._store.write([without_result(records[0])]))

    def lookup(self, namespace: str, activation_id: str, reply: Callable[[ActivationRecord | None], None]) -> None:
        """RecordPort.lookup."""

        async def look() -> None:
            reply(await patiently(lambda: self._store.get(namespace, activation_id)))

        self._spawn(look())


class Actions:
    """An ActionPort: reads the action and the caller's key, which no message of the journal has."""

    def __init__(self, entities: EntityStore, subjects: SubjectStore, spawn: Spawn) -> None:
        self._entities = entities
        self._subjects = subjects
        self._spawn = spawn

    def fetch(self, message: ActivationMessage, reply: Reply) -> None:
        """ActionPort.fetch."""
        self._spawn(self._fetch(message, reply))

    async def _fetch(self, message: ActivationMessage, reply: Reply) -> None:
        activation_id = message.activation_id
        try:
            found = await self._read(message)
            identity = None if message.user.authkey else await self._identity(message.user.namespace.name)
        except StoreFailed:
            raise  # the process ends, the activation waits for the next one
        except StoreError:
            reply(Fetched(activation_id, None, status_code=outcome.WHISK_ERROR, error=outcome.NOT_FETCHED))
            return
        if isinstance(found, Executable):
            reply(Fetched(activation_id, found, identity.authkey if identity is not None else {}))
        else:
            status_code, error = found
            reply(Fetched(activation_id, None, status_code=status_code, error=error))

    async def _identity(self, namespace: str) -> Identity | None:
        return await patiently(lambda: self._subjects.by_namespace(namespace))

    async def _read(self, message: ActivationMessage) -> Executable | tuple[int, str]:
        """Upstream's mapping of what can go wrong here (openwhisk-invoker.md 2.3), but that an outage is waited for."""
        stored = await patiently(lambda: self._entities.get(message.action.fqn))
        if stored is None:
            return outcome.APPLICATION_ERROR, outcome.NOT_FOUND
        try:
            return executable(decode_action(stored.body), stored.rev)
        except msgspec.DecodeError:
            return outcome.WHISK_ERROR, outcome.NOT_COMPATIBLE


def _limit(record: ActivationRecord) -> int:
    limits = next((pair.value for pair in record.annotations if pair.key == "limits"), None)
    return int(limits["logs"]) * MB if isinstance(limits, dict) else 10 * MB
