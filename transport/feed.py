"""What a stream's topic brings: read as far as there is room, handed to the router in order, committed when it is durable.

Rules
- A message is settled when its `accepted` is durable, when its id is known already, or when nothing in it can be recorded.
  Only the offset after an unbroken row of settled ones is committed; where reading begins is the journal's business.
- What may have been accepted before this process can know is looked up among the records first, one request for a batch.
- No message is refused. What can't or may not be run is accepted, to be ended with a record that says why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog
from msgspec import UNSET, Struct, UnsetType, structs

from actors.admission import is_probe
from actors.ports import Clock, Instrument
from messages.commands import Invoke
from messages.posted import Unreadable, read_message
from store.contract import ActivationStore
from store.ports import patiently
from transport.kafka_consumer import Record
from transport.offsets import Offsets

WINDOW = 1000
"""Messages that are read and not yet settled, at most: as many as two journal documents hold."""

REFILL = 0.1
"""Seconds between looks whether there is room again."""

AGAIN = 1.0
"""Seconds until work that the node could not take just now is handed in again."""

MARGIN_MS = 60_000
"""How much a controller's clock may be behind ours for its messages still to be known as newer than this process."""

UNREADABLE = "The message could not be read: {reason}"
BLOCKED = "The action was not invoked due to a blacklisted namespace."

log = structlog.get_logger("kafka")


class Topic(Protocol):
    """The reading end: `transport.kafka_consumer.TopicConsumer`."""

    topic: str

    def want(self, count: int) -> None:
        """Take `count` more messages."""

    def hold(self, held: bool) -> None:
        """Read nothing until told otherwise."""

    def commit(self, offset: int) -> None:
        """The group goes on there."""


class FeedRules(Struct, frozen=True):
    """`remember`: seconds for which ids are known from memory; `live_bound`: unfinished activations of the stream, at most."""

    live_bound: int = 20_000
    remember: float = 600.0
    window: int = WINDOW


class Feed:
    """One stream's topic. `live()`: unfinished activations; `ready()`: whether anything may be taken; `blocked(namespace)`."""

    def __init__(
        self,
        topic: Topic,
        *,
        hand_in: Callable[[Invoke], None],
        records: ActivationStore,
        live: Callable[[], int],
        ready: Callable[[], bool],
        blocked: Callable[[str], bool],
        steady: Callable[[], bool],
        clock: Clock,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        instrument: Instrument,
        rules: FeedRules | None = None,
    ) -> None:
        self._topic = topic
        self._hand_in = hand_in
        self._records = records
        self._live = live
        self._ready = ready
        self._blocked = blocked
        self._steady = steady
        self._clock = clock
        self._spawn = spawn
        self._instrument = instrument
        self._rules = rules or FeedRules()
        self._began = clock.wall_ms()
        self._offsets = Offsets()
        self._waiting: dict[str, list[int]] = {}
        self._commands: dict[str, Invoke] = {}
        self._batches: deque[list[Record]] = deque()
        self._working = False
        self._granted = 0
        self._stopped = False

    def __repr__(self) -> str:
        return f"<Feed {self._topic.topic} {self._offsets!r} granted={self._granted}>"

    def start(self) -> None:
        """Begin to take messages, and go on until `stop`."""
        if self._stopped:
            return
        ready = self._ready()
        self._topic.hold(not ready)
        if ready:
            room = min(self._rules.window, self._rules.live_bound - self._live()) - self._granted - len(self._offsets)
            if room > 0:
                self._granted += room
                self._topic.want(room)
        self._clock.call_later(REFILL, self.start)

    def stop(self) -> None:
        """Take nothing more; what wasn't handed in stays the topic's."""
        self._stopped = True
        self._topic.hold(True)
        self._batches.clear()

    # What comes ---------------------------------------------------------------------------------------------------

    def deliver(self, records: list[Record]) -> None:
        """A batch, in order."""
        self._granted -= len(records)
        if self._stopped:
            return
        self._batches.append(records)
        if not self._working:
            self._working = True
            self._spawn(self._work())

    async def _work(self) -> None:
        try:
            while self._batches:
                await self._take(self._batches.popleft())
        finally:
            self._working = False

    async def _take(self, records: Sequence[Record]) -> None:
        commands = []
        for record in records:
            self._offsets.begin(record.offset)
            if (command := self._read(record)) is not None:
                commands.append((record.offset, command))
            else:
                self._settle(record.offset)
        known = await self._known([command for _, command in commands])
        for offset, command in commands:
            if self._stopped:
                return
            self._waiting.setdefault(command.activation_id, []).append(offset)
            self._commands[command.activation_id] = command
            self._hand_in(structs.replace(command, known=command.activation_id in known))
        self._instrument("posted", {"count": len(records)})

    def _read(self, record: Record) -> Invoke | None:
        refusal: str | UnsetType = UNSET
        try:
            message = read_message(record.value or b"", self._clock.wall_ms())
        except Unreadable as error:
            self._instrument("unreadable", {"topic": record.topic, "offset": record.offset})
            log.error("a message can't be read", topic=record.topic, offset=record.offset, reason=str(error)[:200])
            if error.rest is None:
                return None
            message, refusal = error.rest, UNREADABLE.format(reason=error)
        if refusal is UNSET and self._blocked(message.user.namespace.name):
            refusal = BLOCKED
        return Invoke(message, None, record.topic, record.offset, record.at, refusal)

    async def _known(self, commands: Sequence[Invoke]) -> set[str]:
        """Ids among these that have a record already."""
        remembered = max(self._began + MARGIN_MS, self._clock.wall_ms() - round(self._rules.remember * 1000))
        steady = self._steady()
        old = [
            (command.message.user.namespace.name, command.activation_id)
            for command in commands
            if (not steady or command.message.start < remembered) and not is_probe(command.message)
        ]
        return await patiently(lambda: self._records.exist(old)) if old else set()

    async def ended_before(self, command: Invoke) -> bool:
        """Whether a message that came another way has a record already, by the same rule."""
        return command.activation_id in await self._known([command])

    # How it fares -------------------------------------------------------------------------------------------------

    def accepted(self, activation_id: str) -> None:
        """It is durable, or known."""
        self._commands.pop(activation_id, None)
        for offset in self._waiting.pop(activation_id, ()):
            self._settle(offset)

    def refused(self, activation_id: str, reason: str, status: int) -> None:
        """The store won't have it: a smaller one, to be ended. Else it is tried again, unless the node has stopped taking."""
        command = self._commands.get(activation_id)
        if command is None or self._stopped:
            return
        if status in (400, 413):
            command = self._commands[activation_id] = structs.replace(command, refusal=reason)
        self._clock.call_later(AGAIN if status == 503 else 0, lambda: self._again(command))

    def _again(self, command: Invoke) -> None:
        if not self._stopped:
            self._hand_in(command)

    def _settle(self, offset: int) -> None:
        commit = self._offsets.settle(offset)
        if commit is not None:
            self._topic.commit(commit)
