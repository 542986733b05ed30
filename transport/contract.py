"""What the REST API needs of whoever runs activations: this node itself, or a controller's load balancer."""

from __future__ import annotations

from typing import Protocol

from messages.action import Executable
from messages.composition import Plan
from messages.wire import ActivationMessage, ActivationRecord


class Refused(Exception):
    """The invocation was not accepted, certainly: nothing of it is in the journal. `status` is the HTTP status (413, 429, 503)."""

    def __init__(self, reason: str, status: int = 503) -> None:
        super().__init__(reason)
        self.status = status


class Invocation(Protocol):
    """An accepted activation: its `accepted` event is durable."""

    id: str

    async def result(self, timeout: float) -> ActivationRecord | None:
        """The record without logs once its `finished` is durable, or None after `timeout` seconds. May be called again."""

    def forget(self) -> None:
        """Nobody waits any more: the answer, when it comes, goes nowhere. To be called once at the end, always."""


class Invoker(Protocol):
    """Accepts activations and brings each to its one record."""

    async def choose(self, message: ActivationMessage, action: Executable | None = None) -> str:
        """The node (its stream's name) that shall run it: a composition journals it before it sends. Raises Refused: none now."""

    async def invoke(self, message: ActivationMessage, action: Executable | None = None, node: str = "") -> Invocation:
        """Return once accepted. `action` spares the invoker reading it. Raises Refused before anything is journaled.

        `node`: part of a composition, for the node that was chosen and no other. It may be a repetition: an id that is live
        there is joined, one that has ended is answered by its record; it never runs twice.

        Raises ConnectionAbortedError if the node stops while the answer to that is unknown: the caller must then
        close the connection without an answer.
        """

    def pending(self, namespace: str, activation_id: str) -> dict[str, object] | None:
        """The state of an unfinished activation (`state`, `since` epoch ms, `attempt`), None if it is not live here."""

    def lines(self, namespace: str, activation_id: str) -> list[str]:
        """The log lines so far of an activation that runs; none if it doesn't, or not here."""

    def in_flight(self, namespace: str) -> int:
        """Unfinished activations of a namespace, by its name: those being accepted now too."""

    def ready(self) -> str | None:
        """None when the API may do whatever it is asked, else the reason for a 503."""

    def readable(self) -> str | None:
        """None when the API may at least show what is stored, else the reason for a 503."""


class Compositions(Protocol):
    """Accepts sequences, conductors and fired triggers, and brings each to its one record."""

    async def compose(self, message: ActivationMessage, plan: Plan, *, owed: bool = False) -> Invocation:
        """Return once accepted; raises as `Invoker.invoke`. `owed`: part of a composition that was accepted before."""

    def pending(self, namespace: str, activation_id: str) -> dict[str, object] | None:
        """As `Invoker.pending`."""
