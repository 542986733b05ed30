"""The journal of one stream: what is appended is durable, in order, by one owner (design, "Journal").

Rules
- One document is under way at a time. Until the store's answer is certain the same bytes are sent again, and nothing is added.
- What arrives meanwhile goes into the next document (group commit). When idle, an event that somebody waits for goes at once.
- The fold follows what is durable: first the fold, then `done`, event by event in order.
- Another owner's document where ours should be means fenced: from then on nothing is called back but `fenced`, once.
- Every wait for the store ends in a return of `_pump`; a timer of the injected clock starts it again. So the
  log's coroutines are the only places where it is suspended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from enum import Enum
from types import MappingProxyType

from msgspec import UNSET, Struct

from actors.ports import Clock
from messages.errors import IllegalTransition
from messages.events import Accepted, AnyEvent, Claimed, Finished, Snapshot
from messages.lifecycle import Stage, advance
from store.contract import DocumentLog, JournalDocument
from store.errors import Conflict, StoreError, StoreFailed, StoreRefused, StoreUnavailable
from store.fold import Fold, LiveActivation
from store.journal_claim import Claim
from store.journal_codec import Body, encode_body, encode_event, pack, unpack
from store.journal_compaction import Compaction
from store.journal_queue import Item, JournalSettings, Queue
from store.journal_reader import JournalReader

Failpoint = Callable[[str, str], None]


class Folded(Struct, frozen=True):
    """What `open` found: live activations in the order of their acceptance, and where the topics go on."""

    epoch: int
    n: int
    live: list[LiveActivation]
    next_offsets: dict[str, int]


class JournalHooks(Struct, frozen=True):
    """What the journal tells its node, on the loop.

    `storable` makes of a `finished` that the store refused one that it takes; `live[id].finished` then is that one.
    `refused` tells of an `accepted` that the store will never take. `fenced`: another owner has the stream. `failed`: the
    storage fails, the process must end. `failpoint(event, "before" | "written" | "after")` is called around each document.
    """

    storable: Callable[[Finished], Finished]
    refused: Callable[[Accepted], None]
    fenced: Callable[[], None]
    failed: Callable[[StoreError], None]
    failpoint: Failpoint | None = None


class _State(Enum):
    CLOSED = "closed"
    OPEN = "open"
    FENCED = "fenced"
    FAILED = "failed"


class _Verdict(Enum):
    DURABLE = "durable"
    REFUSED = "refused"
    FENCED = "fenced"
    AGAIN = "again"


class _Write(Struct):
    """The document under way. `uncertain`: it was handed over before and may be there.

    Monotonic seconds: `since` it was handed over first, `sent` when it was last.
    """

    n: int
    body: Body
    data: bytes
    items: list[Item]
    since: float
    sent: float = 0.0
    uncertain: bool = False


class Journal:
    """The owner's end of a stream: `open` once, then `append`.

    `writer` is random per process; `spawn` starts a coroutine as a task of the loop.
    """

    def __init__(
        self,
        log: DocumentLog,
        stream: str,
        *,
        writer: str,
        clock: Clock,
        spawn: Callable[[Coroutine[object, object, None]], object],
        hooks: JournalHooks,
        settings: JournalSettings | None = None,
    ) -> None:
        self.stream = stream
        self.epoch = 0
        self.n = 0
        """Number of the newest durable document."""
        self.commit_ms = 0.0
        """How long the newest one took, from handing it over to its certain answer."""
        self._log = log
        self._writer = writer
        self._clock = clock
        self._spawn = spawn
        self._hooks = hooks
        self._settings = settings or JournalSettings()
        self._state = _State.CLOSED
        self._fold = Fold()
        self._snapshot = 0
        self._next_snapshot = self._settings.snapshot_every
        self._ahead: dict[str, Stage] = {}  # Invariant: the stage of each id after all that is queued, under way or durable
        self._queue = Queue(self._settings.max_events, self._settings.max_bytes)
        self._under_way: _Write | None = None
        self._pumping = False
        self._lazy_armed = False
        self._lazy_due = False
        self._pause = self._settings.retry_first
        self._confirmed_at = float("-inf")
        self._idle: list[asyncio.Future[None]] = []
        self._compaction = Compaction(log, stream)

    def __repr__(self) -> str:
        waiting = len(self._queue) + (len(self._under_way.items) if self._under_way else 0)
        return (
            f"<Journal {self.stream} {self._state.value} epoch={self.epoch} n={self.n} "
            f"live={len(self._fold.live)} waiting={waiting}>"
        )

    # State

    @property
    def live(self) -> Mapping[str, LiveActivation]:
        """Activations that are durably accepted and not both recorded and acknowledged, oldest first."""
        return MappingProxyType(self._fold.live)

    @property
    def waiting(self) -> int:
        """Events appended and not yet durable."""
        return len(self._queue) + (len(self._under_way.items) if self._under_way else 0)

    def stage(self, activation_id: str) -> Stage:
        """How far the activation is with all that was appended, durable or not; UNKNOWN too once it is over."""
        return self._ahead.get(activation_id, Stage.UNKNOWN)

    def stalled(self) -> float:
        """Seconds for which the document under way has had no certain answer; 0 without one."""
        return self._clock.monotonic() - self._under_way.since if self._under_way else 0.0

    def prompt(self) -> bool:
        """Whether the last write was confirmed within the lease and nothing waits longer than that (run-ahead is allowed)."""
        lease = self._settings.lease
        return self._state is _State.OPEN and self._clock.monotonic() - self._confirmed_at <= lease and self.stalled() <= lease

    # Owning

    async def open(self, *, clean: bool = False, address: str | None = None) -> Folded:
        """Claim the stream and read it. Rides out StoreUnavailable.

        `clean`: the process before this one is known to have drained, so what it had started counts as no attempt.

        Raises JournalDamaged naming the document, UnknownEvent for a newer release's journal, StoreFailed.
        """
        event = Claimed(self._clock.wall_ms(), clean, address or UNSET)
        begun = self._clock.monotonic()
        claim = Claim(self._log, self.stream, self._writer, event, self._sleep)
        self.n, body = await claim.take(lambda: self._fail_at("before", event))
        self._fail_at("written", event)
        self.epoch, self._snapshot = body.epoch, body.snapshot
        self._fold = await self._read()
        self._next_snapshot = max(self._snapshot + self._settings.snapshot_every, self.n + 1)
        self._ahead = {activation_id: live.stage for activation_id, live in self._fold.live.items()}
        self._confirm(begun)
        self._state = _State.OPEN
        self._fail_at("after", event)
        return Folded(self.epoch, self.n, list(self._fold.live.values()), dict(self._fold.next_offsets))

    async def close(self) -> None:
        """Wait until all that was appended is durable (or the journal has ended), then take nothing more."""
        while self._state is _State.OPEN and (self._queue or self._under_way):
            self._lazy_due = True
            self._kick()
            drained = asyncio.get_running_loop().create_future()
            self._idle.append(drained)
            await drained
        if self._state is _State.OPEN:
            self._state = _State.CLOSED

    async def compact(self, now: int) -> int:
        """Delete documents that nothing needs and that are older than `keep_ms`; how many. `now` in epoch ms.

        Raises StoreUnavailable, StoreFailed.
        """
        if self._state is not _State.OPEN or self._fold.base is None:
            return 0
        return await self._compaction.run(self._snapshot, self._fold.base, now - self._settings.keep_ms)

    # Appending

    def append(self, event: AnyEvent, done: Callable[[], None] | None = None, *, lazy: bool = False) -> None:
        """Journal an event; `done`, which must not raise, is called on the loop when it is durable.

        `lazy`: losing it costs only a repeat (`recorded`, `acked`); it rides with the next commit, at the latest after 20 ms.
        The design has no timer when idle; this one saves a fsync of its own for each of the two events that end an
        activation, and nobody waits for them.
        Raises IllegalTransition if the activation's life does not allow the event, StoreRefused for an `accepted`
        whose message is not JSON (a `finished` is made storable instead). Does nothing once the journal ended.
        """
        if self._state is not _State.OPEN:
            return
        if isinstance(event, Claimed | Snapshot):
            raise IllegalTransition("journal", self.stream, self._state.value, event.name)
        item = self._item(event, done, lazy)
        stage = advance(self._ahead.get(event.id, Stage.UNKNOWN), event.name, event.id)
        if stage is Stage.DONE:
            del self._ahead[event.id]
        else:
            self._ahead[event.id] = stage
        self._queue.add(item)
        if not lazy:
            self._kick()
        elif not self._pumping:
            self._arm_lazy()

    def _item(self, event: AnyEvent, done: Callable[[], None] | None, lazy: bool) -> Item:
        try:
            return Item(event, encode_event(event), done, lazy)
        except StoreRefused:
            if not isinstance(event, Finished):
                raise
        smaller = self._hooks.storable(event)
        return Item(smaller, encode_event(smaller), done, lazy, replaced=True)

    def _kick(self) -> None:
        if not self._pumping and self._state is _State.OPEN:
            self._pumping = True
            self._spawn(self._pump())

    def _arm_lazy(self) -> None:
        if not self._lazy_armed:
            self._lazy_armed = True
            self._clock.call_later(self._settings.lazy, self._lazy_over)

    def _lazy_over(self) -> None:
        self._lazy_armed = False
        if self._queue:
            self._lazy_due = True
            self._kick()

    async def _pump(self) -> None:
        """Write documents until nothing is due; after an uncertain answer a timer starts it again."""
        while self._state is _State.OPEN:
            write = self._under_way or self._next_write()
            if write is None:
                break
            write.sent = self._clock.monotonic()
            try:
                verdict = await self._store(write)
            except StoreUnavailable:
                verdict = _Verdict.AGAIN
            except StoreError as error:
                self._end(_State.FAILED)
                self._hooks.failed(error)
                return
            if verdict is _Verdict.AGAIN:
                write.uncertain = True
                self._retry_later()
                return
            self._settle(write, verdict)
        self._pumping = False
        if self._queue:
            self._arm_lazy()
        else:
            self._tell_idle()

    def _next_write(self) -> _Write | None:
        """The next document: a snapshot if one is due, else what waits, if anybody waits for it or it waited long enough."""
        if not (self._queue.urgent or (self._queue and self._lazy_due)):
            return None
        if self.n >= self._next_snapshot:
            self._next_snapshot = self.n + self._settings.snapshot_every
            event = self._fold.snapshot(self._clock.wall_ms())
            return self._hand_over([Item(event, encode_event(event))], snapshot=self.n + 1)
        write = self._hand_over(self._queue.take(), snapshot=self._snapshot)
        self._lazy_due = self._lazy_due and bool(self._queue)
        return write

    def _hand_over(self, items: list[Item], snapshot: int) -> _Write:
        body = pack(self.epoch, self._writer, snapshot, [item.text for item in items])
        self._under_way = _Write(self.n + 1, body, encode_body(body), items, self._clock.monotonic())
        self._fail_in("before", items)
        return self._under_way

    async def _store(self, write: _Write) -> _Verdict:
        try:
            await self._log.create(self.stream, write.n, write.data)
        except Conflict:
            return await self._read_back(write)
        except StoreRefused:
            # An earlier try whose answer was lost may have been taken all the same.
            verdict = await self._read_back(write) if write.uncertain else _Verdict.AGAIN
            return _Verdict.REFUSED if verdict is _Verdict.AGAIN else verdict
        return _Verdict.DURABLE

    async def _read_back(self, write: _Write) -> _Verdict:
        """Whose document has our number: ours (an answer was lost), another owner's, or nobody's."""
        found = await self._log.read(self.stream, write.n)
        if found is None:
            return _Verdict.AGAIN
        body = unpack(self.stream, JournalDocument(write.n, found))
        write.sent = write.since  # no later try is known to be the one that was taken
        return _Verdict.DURABLE if body.is_from(write.body) else _Verdict.FENCED

    # What an answer means

    def _settle(self, write: _Write, verdict: _Verdict) -> None:
        if verdict is _Verdict.FENCED:
            self._end(_State.FENCED)
            self._hooks.fenced()
            return
        if verdict is _Verdict.DURABLE:
            self._durable(write)
            return
        self._under_way = None
        self._confirm(write.sent)
        if len(write.items) > 1:
            half = len(write.items) // 2
            self._queue.put_back(write.items[half:])
            self._hand_over(write.items[:half], snapshot=self._snapshot)
        else:
            self._refused(write.items[0])

    def _durable(self, write: _Write) -> None:
        self._fail_in("written", write.items)
        self._under_way = None
        self.n = write.n
        self.commit_ms = (self._clock.monotonic() - write.since) * 1000
        self._confirm(write.sent)
        for item in write.items:
            self._fold.apply(write.n, item.event)
            if isinstance(item.event, Snapshot):
                self._snapshot, self._fold.base = write.n, item.event
            if item.done is not None:
                item.done()
        self._fail_in("after", write.items)

    def _refused(self, item: Item) -> None:
        """An event that the store refused alone. Its activation ends in the way that is left; the rest goes on."""
        event = item.event
        if isinstance(event, Snapshot):
            return  # tried again when the next is due
        if isinstance(event, Accepted):
            self._ahead.pop(event.id, None)
            self._queue.drop(lambda other: not isinstance(other, Claimed | Snapshot) and other.id == event.id)
            self._hooks.refused(event)
        elif isinstance(event, Finished) and not item.replaced:
            smaller = self._hooks.storable(event)
            self._queue.put_back([Item(smaller, encode_event(smaller), item.done, item.lazy, replaced=True)])
        else:
            self._end(_State.FAILED)
            self._hooks.failed(
                StoreFailed(f"journal {self.stream}: the store refuses an event {event.name!r} of {len(item.text)} bytes")
            )

    def _end(self, state: _State) -> None:
        self._state = state
        self._pumping = False
        self._under_way = None
        self._queue.clear()
        self._tell_idle()

    def _tell_idle(self) -> None:
        waiters, self._idle = self._idle, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # Time

    def _confirm(self, sent: float) -> None:
        """The stream was ours when the store took what was `sent` then; the answer may have been read much later."""
        self._confirmed_at = sent
        self._pause = self._settings.retry_first

    def _retry_later(self) -> None:
        """Back off, with `_pumping` still set: nothing else may start the pump meanwhile."""
        pause, self._pause = self._pause, min(self._pause * 2, self._settings.retry_last)
        self._clock.call_later(pause, self._go_on)

    def _go_on(self) -> None:
        self._spawn(self._pump())

    async def _sleep(self) -> None:
        pause, self._pause = self._pause, min(self._pause * 2, self._settings.retry_last)
        woken = asyncio.get_running_loop().create_future()
        self._clock.call_later(pause, lambda: None if woken.done() else woken.set_result(None))
        await woken

    async def _read(self) -> Fold:
        while True:
            try:
                return await JournalReader(self._log, self.stream).folded(self._snapshot, self.n)
            except StoreUnavailable:
                await self._sleep()

    def _fail_at(self, position: str, event: AnyEvent) -> None:
        if self._hooks.failpoint is not None:
            self._hooks.failpoint(event.name, position)

    def _fail_in(self, position: str, items: list[Item]) -> None:
        if self._hooks.failpoint is not None:
            for item in items:
                self._hooks.failpoint(item.event.name, position)
