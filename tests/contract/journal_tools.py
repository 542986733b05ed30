"""What journal tests need: a clock driven by hand, a log that fails as told, an owner of a stream."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Sequence

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from messages.events import Accepted, Acked, AnyEvent, Finished, Recorded, Started
from store.contract import DocumentLog, JournalDocument
from store.errors import StoreError
from store.journal import Journal, JournalHooks
from store.journal_queue import JournalSettings

STREAM = "invoker0"


class Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.now = 100.0
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = 0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return int(self.now * 1000)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        self._count += 1
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now + seconds, self._count, timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, ringing what is due on the way."""
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            self.now, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
        self.now = until


class TroubledLog:
    """A DocumentLog around another: loses answers, refuses, hides and bends documents, stops on demand.

    `created` are all documents ever durably created; `offered` all that were handed over, in order.
    """

    def __init__(self, inner: DocumentLog) -> None:
        self.inner = inner
        self.created: dict[int, bytes] = {}
        self.offered: list[tuple[int, bytes]] = []
        self.before: list[StoreError | None] = []
        self.after: list[StoreError | None] = []
        self.refuses: Callable[[bytes], StoreError | None] = lambda body: None
        self.bent: dict[int, bytes | None] = {}
        self.hidden_reads = 0
        self.gate: asyncio.Event | None = None

    async def create(self, stream: str, n: int, body: bytes) -> None:
        self.offered.append((n, body))
        if self.gate is not None:
            await self.gate.wait()
        if self.before and (error := self.before.pop(0)):
            raise error
        if error := self.refuses(body):
            raise error
        await self.inner.create(stream, n, body)
        self.created[n] = body
        if self.after and (error := self.after.pop(0)):
            raise error

    async def read(self, stream: str, n: int) -> bytes | None:
        if self.hidden_reads:
            self.hidden_reads -= 1
            return None
        return self.bent[n] if n in self.bent else await self.inner.read(stream, n)

    async def last(self, stream: str) -> JournalDocument | None:
        found = await self.inner.last(stream)
        return self._bend([found])[0] if found else None

    async def range(self, stream: str, first: int, last: int) -> list[JournalDocument]:
        return self._bend(await self.inner.range(stream, first, last))

    async def numbers(self, stream: str, below: int) -> list[int]:
        return await self.inner.numbers(stream, below)

    async def delete(self, stream: str, numbers: Sequence[int]) -> None:
        await self.inner.delete(stream, numbers)

    async def streams(self) -> list[str]:
        return await self.inner.streams()

    def _bend(self, documents: Sequence[JournalDocument]) -> list[JournalDocument]:
        bent = ((document.n, self.bent.get(document.n, document.body)) for document in documents)
        return [JournalDocument(n, body) for n, body in bent if body is not None]


class Owner:
    """A process that owns the stream: its journal, and what the journal told it."""

    count = 0

    def __init__(
        self, log: DocumentLog, clock: ManualClock | None = None, loop: asyncio.AbstractEventLoop | None = None, **settings: float
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        Owner.count += 1
        self.clock = clock or ManualClock()
        self.told: list[str] = []
        self.trouble: list[object] = []
        self.points: list[tuple[str, str]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        hooks = JournalHooks(
            storable=storable,
            refused=lambda event: self.trouble.append(("refused", event.id)),
            fenced=lambda: self.trouble.append("fenced"),
            failed=lambda error: self.trouble.append(("failed", str(error))),
            failpoint=lambda event, position: self.points.append((event, position)),
        )
        self.journal = Journal(
            log, STREAM, writer=f"writer{Owner.count}", clock=self.clock, spawn=self.spawn, hooks=hooks,
            settings=msgspec.convert(settings, JournalSettings),
        )  # fmt: skip

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def append(self, event: AnyEvent, *, lazy: bool = False) -> None:
        """Append; `told` then says `<name> <id>` once it is durable."""
        label = f"{event.name} {getattr(event, 'id', '')}"
        self.journal.append(event, lambda: self.told.append(label), lazy=lazy)

    async def settle(self) -> None:
        """Until no write is under way; time stands still."""
        while self.tasks:
            await asyncio.gather(*self.tasks)

    async def flush(self) -> None:
        """Until all is durable or the journal ended; time passes."""
        for _ in range(10_000):
            if not self.journal.waiting:
                break
            await self.settle()
            self.clock.advance(1.0)
        else:
            raise AssertionError(f"stuck: {self.journal!r}")
        await self.settle()

    def die(self) -> None:
        """The process is gone: nothing of it goes on."""
        for task in self.tasks:
            task.cancel()


def storable(event: Finished) -> Finished:
    return replace(event, result=Raw(b'{"error":"not storable"}'), size=0)


def accepted(name: str, size: int = 0, at: int = 1) -> Accepted:
    return Accepted(name, Raw(b'{"x":"' + b"x" * size + b'"}'), at)


def started(name: str, attempt: int = 1, alone: bool = False) -> Started:
    return Started(name, attempt, f"c{attempt}", 2, alone=alone)


def finished(name: str, result: bytes = b"{}") -> Finished:
    return Finished(name, 3, 0, 1, 2, Raw(result))


def life(name: str) -> list[AnyEvent]:
    """A whole life."""
    return [accepted(name), started(name), finished(name), Recorded(name, 4), Acked(name, 5)]
