"""Acknowledgements to controllers: which message when (upstream's table), sent until the broker has it. An AckPort.

One `Acks` per stream, since an acknowledgement names the invoker whose slot is free; streams of a process share the producer.
An activation that came by HTTP is answered there; the broker is told of it only if that answer did not get through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from msgspec import UNSET, Struct

from actors.ports import Clock, Instrument
from messages.cluster import Ack, InvokerId, combined, completion, result
from messages.events import Finished
from messages.user_events import activation_event
from messages.wire import ActivationMessage, ActivationRecord, encode
from transport.kafka import Access, ensure_topics, topic_name
from transport.kafka_producer import Outcome, Overflow, Sent, TopicProducer

PAUSE_FIRST, PAUSE_LAST = 0.1, 5.0
"""Seconds between attempts at an acknowledgement that the broker did not confirm."""

SMALLER = {"result": "shrunk result", "combined": "shrunk"}
"""Form → the same with the activation's id in place of its record."""

log = structlog.get_logger("kafka")


class Parts(Struct, frozen=True):
    """What a controller is told at once, and what when the logs are there. Of each, at most one of the forms."""

    now: tuple[str, ...]
    later: tuple[str, ...] = ()


def parts(*, blocking: bool, ran: bool, logs: bool) -> Parts:
    """Upstream's table (openwhisk-invoker.md 1.6). `ran`: in a container; `logs`: they are collected before the slot is free."""
    if not ran:
        return Parts(("combined" if blocking else "shrunk",))
    if not logs:
        return Parts(("combined" if blocking else "completion",))
    return Parts(("result",), ("completion",)) if blocking else Parts((), ("completion",))


class _Entry:
    """One activation whose controller doesn't know everything yet. `unsent`: messages that the broker has not confirmed."""

    __slots__ = ("delivered", "finished", "later", "message", "record", "unsent")

    def __init__(self, message: ActivationMessage, finished: Finished | None, record: ActivationRecord | None) -> None:
        self.message = message
        self.finished = finished
        self.record = record
        self.later: tuple[str, ...] = ()
        self.unsent = 0
        self.delivered = False


class Acks:
    """Tells controllers, and `known(activation id)` when one has been told everything.

    `by_http(id)`: somebody waits for the activation on a connection; then `delivered` or `undelivered` must follow.
    """

    def __init__(
        self,
        access: Access,
        producer: TopicProducer,
        instance: InvokerId,
        *,
        known: Callable[[str], None],
        by_http: Callable[[str], bool],
        clock: Clock,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        instrument: Instrument,
        events: bool = False,
    ) -> None:
        self._access = access
        self._producer = producer
        self._instance = instance
        self._known = known
        self._by_http = by_http
        self._clock = clock
        self._spawn = spawn
        self._instrument = instrument
        self._events = events
        self._open: dict[str, _Entry] = {}
        self._joined: set[str] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Acks invoker{self._instance.instance} {len(self._open)} open>"

    def __len__(self) -> int:
        return len(self._open)

    # AckPort ------------------------------------------------------------------------------------------------------

    def finished(self, message: ActivationMessage, finished: Finished, record: ActivationRecord, *, ran: bool, more: bool) -> None:
        """AckPort.finished."""
        activation_id = message.activation_id
        entry = self._open[activation_id] = _Entry(message, finished, record)
        self._tell_event(entry)
        if self._by_http(activation_id) and activation_id not in self._joined:
            entry.delivered = True
            return
        self._joined.discard(activation_id)
        logs = finished.limits is not UNSET and finished.limits.logs > 0
        found = parts(blocking=message.blocking, ran=ran, logs=logs)
        entry.later = found.later if more else ()
        for form in found.now if more else found.now + found.later:
            self._send(entry, form)
        self._settle(entry)

    def collected(self, activation_id: str) -> None:
        """AckPort.collected."""
        entry = self._open.get(activation_id)
        if entry is not None:
            later, entry.later = entry.later, ()
            for form in later:
                self._send(entry, form)

    def joined(self, activation_id: str) -> None:
        """AckPort.joined. One that finished already is being told; one that is told by HTTP is told twice."""
        entry = self._open.get(activation_id)
        if entry is None:
            self._joined.add(activation_id)
        elif entry.delivered:
            self.again(entry.message, entry.record)

    def again(self, message: ActivationMessage, record: ActivationRecord | None) -> None:
        """AckPort.again: all in one message; nothing waits for its arrival but whoever asked."""
        self._send(_Entry(message, None, record), "combined" if message.blocking else "completion")

    # Answers by HTTP ----------------------------------------------------------------------------------------------

    def delivered(self, activation_id: str) -> None:
        """Its controller has the answer by HTTP."""
        entry = self._open.get(activation_id)
        if entry is not None and entry.delivered:
            del self._open[activation_id]
            self._known(activation_id)

    def undelivered(self, activation_id: str) -> None:
        """The connection broke before: the broker tells."""
        entry = self._open.get(activation_id)
        if entry is not None and entry.delivered:
            entry.delivered = False
            self._send(entry, "combined" if entry.message.blocking else "completion")

    def body(self, message: ActivationMessage, record: ActivationRecord | None) -> bytes:
        """The whole acknowledgement as the body of an answer."""
        return self._text(_Entry(message, None, record), "combined" if message.blocking else "shrunk")

    def close(self) -> None:
        """Send nothing any more: the stream belongs to another process, or this one ends."""
        self._closed = True

    # Sending ------------------------------------------------------------------------------------------------------

    def _text(self, entry: _Entry, form: str) -> bytes:
        message, record = entry.message, entry.record
        system = record is not None and record.response.status_code == 3
        activation_id = message.activation_id
        ack: Ack
        if form in ("result", "shrunk result"):
            ack = result(message.transid, record if form == "result" and record is not None else activation_id)
        elif form == "completion":
            ack = completion(message.transid, activation_id, self._instance, system_error=system)
        else:
            whole = record if form == "combined" and record is not None else activation_id
            ack = combined(message.transid, whole, self._instance, system_error=system)
        return encode(ack)

    def _send(self, entry: _Entry, form: str) -> None:
        topic = self._access.topic("completed", entry.message.root_controller_index.as_string)
        entry.unsent += 1
        if not topic_name(topic):
            log.warning("an acknowledgement has nowhere to go", activation_id=entry.message.activation_id, topic=topic[:80])
            self._clock.call_later(0, lambda: self._confirmed(entry))
            return
        self._attempt(entry, form, topic, self._text(entry, form), PAUSE_FIRST)

    def _attempt(self, entry: _Entry, form: str, topic: str, text: bytes, pause: float) -> None:
        if self._closed:
            return

        def again() -> None:
            self._clock.call_later(pause, lambda: self._attempt(entry, form, topic, text, min(PAUSE_LAST, pause * 2)))

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Sent):
                self._confirmed(entry)
            elif outcome.too_large:
                self._shrink(entry, form, topic)
            elif outcome.no_topic:
                self._spawn(self._make_topic(topic, again))
            else:
                self._instrument("ack failed", {"topic": topic, "reason": outcome.reason})
                again()

        try:
            self._producer.send(topic, text, done)
        except Overflow:
            again()

    def _shrink(self, entry: _Entry, form: str, topic: str) -> None:
        """What upstream means to send when its first try is refused as too large: the id instead of the record."""
        activation_id = entry.message.activation_id
        smaller = SMALLER.get(form)
        if smaller is None:
            log.error("an acknowledgement is too large even without its result", activation_id=activation_id)
            self._confirmed(entry)
            return
        self._instrument("ack shrunk", {"activation_id": activation_id})
        self._attempt(entry, smaller, topic, self._text(entry, smaller), PAUSE_FIRST)

    async def _make_topic(self, topic: str, then: Callable[[], None]) -> None:
        """A controller makes its topic when it starts; one that is missing all the same would hold the node's work for ever."""
        try:
            await asyncio.to_thread(ensure_topics, self._access, {topic: "completed"})
        except Exception as error:  # noqa: BLE001 - a broker that is not there, whatever the client library says of it
            log.info("a controller's topic can't be made", topic=topic, error=repr(error))
        then()

    def _confirmed(self, entry: _Entry) -> None:
        entry.unsent -= 1
        self._settle(entry)

    def _settle(self, entry: _Entry) -> None:
        """Over when the broker has all of it."""
        activation_id = entry.message.activation_id
        if not entry.unsent and not entry.later and self._open.get(activation_id) is entry:
            del self._open[activation_id]
            self._known(activation_id)

    def _tell_event(self, entry: _Entry) -> None:
        if self._events and entry.finished is not None:
            source = f"invoker{self._instance.instance}"
            text = encode(activation_event(source, entry.message, entry.finished, self._clock.wall_ms()))
            try:
                self._producer.send(self._access.topic("events"), text, lambda outcome: None)
            except Overflow:
                self._instrument("event lost", {"activation_id": entry.message.activation_id})
