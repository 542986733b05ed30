"""What the core needs from outside, as small interfaces: the node gives real ones, the simulation its own.

Ports never block and never call back before they return. A port that answers takes `reply` and calls it once, later, on
the loop, with a message for the actor that asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Raw

from messages.action import Executable
from messages.commands import Idle, Start
from messages.composing import Component, NoComponent
from messages.composition import Plan
from messages.events import AnyEvent, ChildAssigned, Finished
from messages.lifecycle import Stage
from messages.wire import ActivationMessage, ActivationRecord, Identity

Reply = Callable[[Any], None]


class Handle(Protocol):
    """A timer that can be called off."""

    def cancel(self) -> None:
        """Never call back; harmless if it already did."""


class Clock(Protocol):
    """Time. Time limits and leases use `monotonic` only; `wall_ms` is for people and records."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment, never going back."""

    def wall_ms(self) -> int:
        """Epoch milliseconds; may step."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Handle:
        """Call back once, on the loop."""


class Live(Protocol):
    """A live activation as the journal tells it: `counted` attempts, `starts` in all, `finished` once it has ended."""

    id: str
    message: Raw
    accepted_at: int
    stage: Stage
    starts: int
    counted: int
    died_alone: bool
    alone: bool
    replay: str
    topic: str | None
    refusal: str | None
    finished: Finished | None
    plan: Raw | None
    children: list[str]
    assigned: dict[str, ChildAssigned]


class JournalPort(Protocol):
    """This node's stream."""

    @property
    def live(self) -> Mapping[str, Live]:
        """What is accepted and not yet both recorded and acknowledged, in order of acceptance. Only durable events count."""

    def append(self, event: AnyEvent, done: Callable[[], None] | None = None, *, lazy: bool = False) -> None:
        """Journal an event; `done` is called when it is durable. `lazy`: losing it costs only a repeat."""

    def stage(self, activation_id: str) -> Stage:
        """How far the activation is with all that was appended, durable or not; UNKNOWN too once it is over."""

    def stalled(self) -> float:
        """Seconds for which the write under way has had no certain answer; 0 without one."""

    def prompt(self) -> bool:
        """Whether the last write was confirmed within the lease and nothing waits longer than that (run-ahead is allowed)."""


class ContainerPort(Protocol):
    """Containers by number (`cid`). Answers are commands of `messages.commands`: Created, NotCreated, Called, Removed."""

    def create(self, cid: int, what: Start, reply: Reply) -> None:
        """Created or NotCreated; its output goes to the log reader, its unexpected end is told as Died."""

    def adopt(self, cid: int, idle: Idle, reply: Reply) -> None:
        """The same for one that an earlier process left idle: Created if it still answers, else NotCreated, and it is gone."""

    def idle(self, cid: int, owner: tuple[str, tuple[str, str]]) -> None:
        """Nothing runs in it, and it is initialised for `owner`: the note says so until the next call."""

    def call(self, cid: int, path: str, run_id: str, body: bytes, timeout: float, reply: Reply) -> None:
        """POST /init or /run; Called. The note says from before the call on that `run_id` runs there, until `settled`."""

    def settled(self, cid: int, run_id: str) -> None:
        """The end of `run_id` is journaled: the note need not name it any more."""

    def pause(self, cid: int, reply: Reply) -> None:
        """Freeze it while nothing runs in it; Paused."""

    def resume(self, cid: int, reply: Reply) -> None:
        """Undo `pause`; Resumed."""

    def remove(self, cid: int, reply: Reply) -> None:
        """Removed, when no process of it is left."""


class RecordPort(Protocol):
    """The store of activation records."""

    def write(self, record: ActivationRecord, done: Callable[[], None]) -> None:
        """`done` when the record, or one of the same id before it, is durable. Outages are ridden out inside."""

    def lookup(self, namespace: str, activation_id: str, reply: Callable[[ActivationRecord | None], None]) -> None:
        """The stored record, if any."""


class ActionPort(Protocol):
    """The store of actions, seen from an invoker."""

    def fetch(self, message: ActivationMessage, reply: Reply) -> None:
        """Fetched: the runnable action that a message names, and its caller's key, which the journal never has."""


class ComponentPort(Protocol):
    """The entities, seen from a composer."""

    @property
    def most(self) -> int:
        """Actions that a composition may call: upstream's sequence length."""

    def resolve(
        self, user: Identity, name: str, content: Raw, reply: Callable[[Component | NoComponent], None], *, rule: bool
    ) -> None:
        """The action `name` as this user may call it, and its arguments with `content` merged over. `rule`: a rule calls it."""


class ChildPort(Protocol):
    """Whoever runs the children of compositions. Answers are commands of `messages.composing`."""

    def choose(self, parent: str, message: ActivationMessage, action: Executable | None, reply: Reply) -> None:
        """NodeChosen: the node that shall run it, empty if there is none now."""

    def send(
        self,
        parent: str,
        node: str,
        message: ActivationMessage,
        action: Executable | None,
        plan: Plan | None,
        reply: Reply,
        *,
        look: bool,
        wait: bool,
    ) -> None:
        """Have it run, once however often it is sent; `plan` if it is a composition itself.

        `look`: among the records first, it may have been sent before. `wait`: ChildEnded with its record, else ChildAccepted;
        ChildRefused if it was certainly not accepted.
        """


class AnswerPort(Protocol):
    """Who waits for activations; ids that nobody waits for are fine."""

    def accepted(self, activation_id: str) -> None:
        """Its `accepted` is durable: it may be answered for."""

    def refused(self, activation_id: str, reason: str, status: int) -> None:
        """It was not accepted, certainly."""

    def finished(self, activation_id: str, record: ActivationRecord) -> None:
        """Its `finished` is durable: the record without logs."""


class AckPort(Protocol):
    """The controllers that this node's activations come from. Each activation that has a topic is acknowledged here.

    `Acknowledged` tells the ResultWriter when its controller has been told everything.
    """

    def finished(self, message: ActivationMessage, finished: Finished, record: ActivationRecord, *, ran: bool, more: bool) -> None:
        """Its `finished` is durable: the result may leave. `ran`: in a container; `more`: logs are still to be collected."""

    def collected(self, activation_id: str) -> None:
        """Its logs are there: the slot is free."""

    def joined(self, activation_id: str) -> None:
        """An unfinished activation was delivered by the broker once more."""

    def again(self, message: ActivationMessage, record: ActivationRecord | None) -> None:
        """One that is over was delivered once more. `record` None: none is stored."""


Instrument = Callable[[str, Mapping[str, object]], None]
"""One hook for every step: name of the step and its facts. Metrics, log, console and tests subscribe to it."""
