"""Who waits at this controller for activations that run elsewhere: answered by acknowledgement, else by the record in the store."""

from __future__ import annotations

import asyncio
import contextlib

from msgspec import structs

from messages.wire import ActivationRecord
from store.contract import ActivationStore
from store.errors import StoreUnavailable

LOOK_EVERY = 15.0
"""Seconds between looks in the store while nothing is heard of an activation (upstream's)."""
LOOKS = (0.2, 0.5, 1.0, 3.0, 5.0, 7.0)
"""Seconds between looks once it is known to have ended: its result was too large for the topic, or is still on its way."""


class ClusterInvocation:
    """Implements Invocation."""

    __slots__ = ("_answers", "_ended", "_looks", "_over", "_record", "_waiter", "id", "namespace")

    def __init__(self, answers: ClusterAnswers, namespace: str, activation_id: str) -> None:
        self.id = activation_id
        self.namespace = namespace
        self._answers = answers
        self._record: ActivationRecord | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._over = False
        self._looks = 0

    async def result(self, timeout: float) -> ActivationRecord | None:
        """Invocation.result."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        look = loop.time() + self._pause()
        while self._record is None and not self._over and loop.time() < until:
            was = self._ended
            await self._woken(min(until, look) - loop.time())
            if self._ended and not was:
                look = loop.time() + self._pause()
            if self._record is None and loop.time() >= look:
                await self._look()
                look = loop.time() + self._pause()
        return self._record

    def forget(self) -> None:
        """Invocation.forget."""
        self._answers.drop(self)

    def deliver(self, record: ActivationRecord) -> None:
        """Its end."""
        if self._record is None:
            self._record = record
        self._wake()

    def ended(self) -> None:
        """It ended, and its record must be in the store, or soon will be."""
        self._ended = True
        self._wake()

    def end(self) -> None:
        """The controller ends: there will be no answer here."""
        self._over = True
        self._wake()

    def _pause(self) -> float:
        return LOOKS[self._looks] if self._ended and self._looks < len(LOOKS) else LOOK_EVERY

    async def _woken(self, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(max(0.0, timeout), self._wake)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    async def _look(self) -> None:
        self._looks += self._ended
        record = await self._answers.stored(self.namespace, self.id)
        if record is not None:
            self.deliver(record)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ClusterAnswers:
    """All who wait. `records` is the store that the nodes write to."""

    def __init__(self, records: ActivationStore) -> None:
        self._records = records
        self._waiting: dict[str, list[ClusterInvocation]] = {}

    def __repr__(self) -> str:
        return f"<ClusterAnswers {len(self._waiting)} waited for>"

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, namespace: str, activation_id: str) -> ClusterInvocation:
        """Wait for an activation from now on, until `forget`."""
        made = ClusterInvocation(self, namespace, activation_id)
        self._waiting.setdefault(activation_id, []).append(made)
        return made

    def drop(self, invocation: ClusterInvocation) -> None:
        """Nobody waits there any more."""
        waiting = self._waiting.get(invocation.id)
        if waiting is not None and invocation in waiting:
            waiting.remove(invocation)
            if not waiting:
                del self._waiting[invocation.id]

    def deliver(self, activation_id: str, record: ActivationRecord) -> None:
        """The record came; ids that nobody waits for are fine."""
        for invocation in self._waiting.get(activation_id, ()):
            invocation.deliver(record)

    def ended(self, activation_id: str) -> None:
        """It ended, and its record did not come along."""
        for invocation in self._waiting.get(activation_id, ()):
            invocation.ended()

    async def stored(self, namespace: str, activation_id: str) -> ActivationRecord | None:
        """The record as a caller gets it, without logs, if the store has it and answers."""
        with contextlib.suppress(StoreUnavailable):
            found = await self._records.get(namespace, activation_id)
            return None if found is None else structs.replace(found, logs=[])
        return None

    def abort(self) -> None:
        """The controller ends."""
        for invocations in self._waiting.values():
            for invocation in invocations:
                invocation.end()
        self._waiting.clear()
