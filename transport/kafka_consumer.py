"""Reading one topic of one partition: a kafka-python consumer in a thread of its own, whose batches reach the loop in one call.

Rules
- Nothing is fetched beyond what `want` has asked for: backpressure is not polling. At most one batch is on its way to the loop.
- The position is the reader's, an offset is committed only when told.
- Whatever happens to the broker, reading begins anew, for ever. A topic that was made anew is read from its beginning; messages
  that are gone are counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import structlog
from msgspec import Struct

from actors.ports import Instrument
from transport.kafka import LARGEST, Access, connected

if TYPE_CHECKING:
    from kafka import KafkaConsumer

POLL = 200
"""Milliseconds of one poll without messages: how long a commit or the end may have to wait."""

BATCH = 500
FETCH = 4 * 1024 * 1024
"""Bytes that the client fetches ahead, at most, while nothing is wanted."""

PAUSE = 0.5
"""Seconds before reading begins anew."""

ASK = 10_000
"""Milliseconds for the answer to a question about offsets."""

LATEST = -1
"""A start: only what comes from now on."""

log = structlog.get_logger("kafka")


class Record(Struct, frozen=True):
    """A message of a topic. `at`: when it was produced (epoch ms). `value` None: the message is empty."""

    topic: str
    offset: int
    at: int
    value: bytes | None


class Position(Struct, frozen=True):
    """Where reading begins; `gone`: how many messages before it were deleted unread; `anew`: the topic was made anew."""

    offset: int
    gone: int = 0
    anew: bool = False


def begin_at(wanted: int | None, committed: int | None, first: int, end: int) -> Position:
    """Where to begin in a topic that holds `first` to `end` - 1: where wanted; else where committed; else at its beginning."""
    start = wanted if wanted is not None else committed
    if start == LATEST:
        return Position(end)
    if start is None:
        return Position(first)
    if start > end:
        return Position(first, anew=True)
    return Position(max(start, first), gone=max(0, first - start))


class TopicConsumer:
    """Reads `topic` as member `group`, whose commits it makes, and calls `deliver` on the loop with each batch.

    `window`: messages that are wanted at the start, None: all there are. `instrument` is told what happens: "kafka position"
    (offset, gone, anew), "kafka reading failed" (error).
    """

    def __init__(
        self,
        access: Access,
        topic: str,
        group: str,
        deliver: Callable[[list[Record]], None],
        *,
        instrument: Instrument,
        window: int | None = 0,
    ) -> None:
        self.topic = topic
        self._access = access
        self._group = group
        self._deliver = deliver
        self._instrument = instrument
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._window = window
        self._handed = 0
        """Batches on their way to the loop: 0 or 1."""
        self._next: int | None = None
        self._end = 0
        """The offset after the topic's last message, as the broker told with its last answer."""
        self._commit: int | None = None
        self._committed: int | None = None
        self._held = False
        self._over = False
        self._thread = threading.Thread(target=self._run, name=f"consume-{topic}", daemon=True)

    def __repr__(self) -> str:
        return f"<TopicConsumer {self.topic} next={self._next} window={self._window}>"

    # On the loop --------------------------------------------------------------------------------------------------

    def start(self, offset: int | None = None) -> None:
        """Begin at `offset` (LATEST: what comes from now on); None: where the group committed, else at the beginning."""
        self._next = offset
        self._thread.start()

    def want(self, count: int) -> None:
        """Take `count` more messages, in all and at most."""
        with self._changed:
            if self._window is not None:
                self._window += count
            self._changed.notify()

    def hold(self, held: bool) -> None:
        """Read nothing, whatever is wanted, until told otherwise."""
        if held is not self._held:
            with self._changed:
                self._held = held
                self._changed.notify()

    def commit(self, offset: int) -> None:
        """Let the group's next reading begin at `offset`; later, and not at all if the broker is gone."""
        with self._changed:
            self._commit = offset
            self._changed.notify()

    async def close(self) -> None:
        """Stop reading, commit what was told."""
        with self._changed:
            self._over = True
            self._changed.notify()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _arrived(self, records: list[Record]) -> None:
        with self._changed:
            self._handed = 0
            self._changed.notify()
        if not self._over:
            self._deliver(records)

    def _tell(self, step: str, facts: Mapping[str, object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._instrument, step, facts)

    # In the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over:
            try:
                self._read()
            except Exception as error:  # noqa: BLE001 - whatever the client library raises, reading begins anew
                log.warning("reading a topic begins anew", topic=self.topic, error=repr(error))
                self._tell("kafka reading failed", {"topic": self.topic, "error": repr(error)})
                with self._changed:
                    self._changed.wait_for(lambda: self._over, PAUSE)

    def _read(self) -> None:
        from kafka import KafkaConsumer, TopicPartition

        consumer = connected(
            KafkaConsumer,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=2 * LARGEST,
            fetch_max_bytes=FETCH,
            metrics_enabled=False,
            **self._access.options(f"consumer-{self.topic}"),
        )
        try:
            partition = TopicPartition(self.topic, 0)
            consumer.assign([partition])
            self._seek(consumer, partition)
            self._poll(consumer, partition)
            self._commit_now(consumer, partition)
        finally:
            consumer.close(autocommit=False, timeout_ms=1000)

    def _seek(self, consumer: KafkaConsumer, partition: Any) -> None:
        first = consumer.beginning_offsets([partition], timeout_ms=ASK)[partition]
        end = consumer.end_offsets([partition], timeout_ms=ASK)[partition]
        committed = consumer.committed(partition, timeout_ms=ASK) if self._next is None else None
        found = begin_at(self._next, committed, first, end)
        facts = {"topic": self.topic, "offset": found.offset, "gone": found.gone, "anew": found.anew}
        self._tell("kafka position", facts)
        if found.gone or found.anew:
            log.warning("messages of a topic are gone", **facts)
        consumer.seek(partition, found.offset)
        self._next = found.offset

    def _poll(self, consumer: KafkaConsumer, partition: Any) -> None:
        from kafka.errors import LogTruncationError, OffsetOutOfRangeError

        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or self._pending_commit() or self._may_take(), PAUSE)
                if self._over:
                    return
                room = self._may_take()
                commit = self._commit if self._pending_commit() else None
            if commit is not None:
                self._commit_soon(consumer, partition, commit)
            if room:
                try:
                    found = consumer.poll(timeout_ms=POLL, max_records=room)
                except (OffsetOutOfRangeError, LogTruncationError):
                    self._seek(consumer, partition)
                    continue
                self._end = consumer.highwater(partition) or 0
                self._hand_over(found.get(partition, []))

    def lag(self) -> int:
        """Messages of the topic that are still to be read, as far as the broker has told."""
        return max(0, self._end - self._next) if self._next is not None else 0

    def _may_take(self) -> int:
        if self._handed or self._held:
            return 0
        return BATCH if self._window is None else min(BATCH, self._window)

    def _hand_over(self, found: list[Any]) -> None:
        if not found:
            return
        records = [Record(self.topic, each.offset, each.timestamp, each.value) for each in found]
        with self._changed:
            self._handed = 1
            if self._window is not None:
                self._window -= len(records)
        self._next = records[-1].offset + 1
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._arrived, records)

    # Commits ------------------------------------------------------------------------------------------------------

    def _pending_commit(self) -> bool:
        return self._commit is not None and self._commit != self._committed

    def _commit_soon(self, consumer: KafkaConsumer, partition: Any, offset: int) -> None:
        def answered(_: object, response: object) -> None:
            if isinstance(response, Exception):
                log.info("an offset was not committed", topic=self.topic, offset=offset, error=repr(response))

        self._committed = offset
        consumer.commit_async(self._offsets(partition, offset), answered)

    def _commit_now(self, consumer: KafkaConsumer, partition: Any) -> None:
        if self._commit is not None:
            consumer.commit(self._offsets(partition, self._commit), timeout_ms=2000)

    @staticmethod
    def _offsets(partition: Any, offset: int) -> dict[Any, Any]:
        from kafka.structs import OffsetAndMetadata

        return {partition: OffsetAndMetadata(offset, "", -1)}
