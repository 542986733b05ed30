"""Writing to topics: a kafka-python producer in a thread of its own; how each message fared reaches the loop in batches.

The library's own buffer has no bound and its `send` may block, so messages wait here, as many as `bound`, and a message
to a topic that isn't there holds up the others once.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from msgspec import Struct

from transport.kafka import LARGEST, RECONNECT, Access, connected, topic_name

if TYPE_CHECKING:
    from kafka import KafkaProducer

BLOCK = 2000
"""Milliseconds that a topic's first message may wait for the broker to say where the topic is."""

MISSING_FOR = 1.0
"""Seconds after which a topic that wasn't there is looked for again."""

BATCH_BYTES = 128 * 1024
OVERHEAD = 256
"""Bytes of a record around its value, at most, as the client counts them."""

log = structlog.get_logger("kafka")


class Overflow(Exception):
    """As many messages wait for the broker as may."""


class Sent(Struct, frozen=True):
    """The broker has it, on as many disks as it was told to."""

    offset: int


class Unsent(Struct, frozen=True):
    """The broker may have it or not (`certain` False), or has not. `too_large`, `no_topic`: trying again can't help for now."""

    reason: str
    certain: bool = False
    too_large: bool = False
    no_topic: bool = False


Outcome = Sent | Unsent
Done = Callable[[Outcome], None]


class _Message(Struct):
    topic: str
    value: bytes
    done: Done
    since: float


class TopicProducer:
    """Sends messages with `acks=all`. A message that isn't confirmed within `patience` seconds is told as Unsent."""

    def __init__(self, access: Access, client_id: str, *, bound: int = 10_000, patience: float = 30.0) -> None:
        self._access = access
        self._client_id = client_id
        self._bound = bound
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._queue: deque[_Message] = deque()
        self._outcomes: list[tuple[Done, Outcome]] = []
        self._open = 0
        self._missing: dict[str, float] = {}
        self._over = False
        self._broken = False
        """The client got an error after which it may refuse everything: another one is made."""
        self._thread = threading.Thread(target=self._run, name=f"produce-{client_id}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<TopicProducer {self._client_id} {self._open} open>"

    # On the loop --------------------------------------------------------------------------------------------------

    @property
    def open(self) -> int:
        """Messages whose outcome isn't known yet."""
        return self._open

    def send(self, topic: str, value: bytes, done: Done) -> None:
        """Send; `done` is called once, on the loop, with how it fared. In order per topic. Raises Overflow."""
        if self._open >= self._bound:
            raise Overflow(f"{self._open} messages wait for the broker")
        self._open += 1
        message = _Message(topic, value, done, time.monotonic())
        with self._changed:
            self._queue.append(message)
            self._changed.notify()

    async def close(self, timeout: float = 5.0) -> None:
        """Send what waits, for at most `timeout` seconds."""
        until = time.monotonic() + timeout
        while self._open and time.monotonic() < until:  # noqa: ASYNC110 - it ends, and needs no event of its own
            await asyncio.sleep(0.01)
        with self._changed:
            self._over = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    def _arrived(self) -> None:
        with self._changed:
            outcomes, self._outcomes = self._outcomes, []
        self._open -= len(outcomes)
        for done, outcome in outcomes:
            done(outcome)

    # In threads ---------------------------------------------------------------------------------------------------

    def _settle(self, message: _Message, outcome: Outcome) -> None:
        """One call to the loop for all that became known before it looks."""
        with self._changed:
            self._outcomes.append((message.done, outcome))
            first = len(self._outcomes) == 1
        if first:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                self._loop.call_soon_threadsafe(self._arrived)

    def _run(self) -> None:
        producer: KafkaProducer | None = None
        while not self._over:
            try:
                producer = producer or self._connect()
                self._drain(producer)
                if self._broken:
                    self._broken = False
                    producer.close(timeout=1)
                    producer = None
            except Exception as error:  # noqa: BLE001 - whatever the client library raises, another client is made
                log.warning("no connection to the broker", client=self._client_id, error=repr(error))
                self._give_up_old(repr(error))
                with self._changed:
                    self._changed.wait_for(lambda: self._over, RECONNECT / 1000)
        if producer is not None:
            producer.close(timeout=1)

    def _connect(self) -> KafkaProducer:
        from kafka import KafkaProducer

        return connected(
            KafkaProducer,
            acks="all",
            # Idempotent, this client gives up for good, and with it all that waits, when the broker refuses one large message.
            # One request at a time keeps the order; what a lost answer doubles is known by its activation's id.
            enable_idempotence=False,
            max_in_flight_requests_per_connection=1,
            allow_auto_create_topics=False,
            batch_size=BATCH_BYTES,
            max_block_ms=BLOCK,
            delivery_timeout_ms=round(self._patience * 1000),
            request_timeout_ms=min(30_000, round(self._patience * 1000)),
            max_request_size=LARGEST + OVERHEAD,
            metrics_enabled=False,
            **self._access.options(self._client_id),
        )

    def _drain(self, producer: KafkaProducer) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or self._queue or self._broken)
                if self._over or self._broken:
                    return
                messages, self._queue = list(self._queue), deque()
            self._send(producer, messages)

    def _send(self, producer: KafkaProducer, messages: Sequence[_Message]) -> None:
        from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

        for message in messages:
            if refused := self._hopeless(message):
                self._settle(message, refused)
                continue
            try:
                future = producer.send(message.topic, message.value)
            except MessageSizeTooLargeError as error:
                self._settle(message, Unsent(str(error), certain=True, too_large=True))
            except KafkaTimeoutError as error:
                self._missing[message.topic] = time.monotonic() + MISSING_FOR
                self._settle(message, Unsent(str(error), certain=True, no_topic=True))
            except (KafkaError, ValueError) as error:
                self._settle(message, Unsent(repr(error), certain=True))
                self._broken = isinstance(error, KafkaError)
            else:
                self._watch(future, message)

    def _hopeless(self, message: _Message) -> Unsent | None:
        if not topic_name(message.topic):
            return Unsent(f"{message.topic[:80]!r} is no name of a topic", certain=True, no_topic=True)
        if self._missing.get(message.topic, 0) > time.monotonic():
            return Unsent(f"the broker has no topic {message.topic}", certain=True, no_topic=True)
        self._missing.pop(message.topic, None)
        return None

    def _watch(self, future: Any, message: _Message) -> None:
        future.add_callback(lambda metadata: self._settle(message, Sent(metadata.offset)))
        future.add_errback(lambda error: self._failed(message, error))

    def _failed(self, message: _Message, error: BaseException) -> None:
        outcome = _unsent(error)
        if not outcome.certain:
            with self._changed:
                self._broken = True
                self._changed.notify()
        self._settle(message, outcome)

    def _give_up_old(self, reason: str) -> None:
        old = time.monotonic() - self._patience
        with self._changed:
            late = [message for message in self._queue if message.since < old]
            self._queue = deque(message for message in self._queue if message.since >= old)
        for message in late:
            self._settle(message, Unsent(reason, certain=True))


def _unsent(error: BaseException) -> Unsent:
    from kafka.errors import MessageSizeTooLargeError, RecordListTooLargeError, UnknownTopicOrPartitionError

    large = isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError)
    missing = isinstance(error, UnknownTopicOrPartitionError)
    return Unsent(repr(error), certain=large or missing, too_large=large, no_topic=missing)
