"""An activation's way through the router: the table, and what the router knows of each one on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from actors.admission import is_probe
from actors.base import step
from actors.pool_state import Waiting
from messages.action import Executable
from messages.errors import Undecryptable
from messages.states import State
from messages.wire import ActivationMessage


class Route(State):
    """Where an activation is on its way through the router."""

    ARRIVED = "arrived"
    ACCEPTING = "accepting"
    FETCHING = "fetching"
    QUEUED = "queued"
    PLACED = "placed"
    ENDING = "ending"
    OVER = "over"


ROUTE: dict[Route, dict[str, Route]] = {
    Route.ARRIVED: {"journal": Route.ACCEPTING, "resume": Route.FETCHING},
    Route.ACCEPTING: {"durable": Route.FETCHING},
    Route.FETCHING: {"fetched": Route.QUEUED, "fail": Route.ENDING, "completed": Route.OVER},
    Route.QUEUED: {"place": Route.PLACED, "fail": Route.ENDING, "completed": Route.OVER},
    Route.PLACED: {"return": Route.QUEUED, "fail": Route.ENDING, "completed": Route.OVER},
    Route.ENDING: {"completed": Route.OVER},
    Route.OVER: {},
}


class Routed:
    """One activation here. `attempts` count for the poison rule, `starts` are all, `returns` those whose code didn't run.

    `posted`: epoch ms when a broker got it; `refusal`: why it is not to be run.
    """

    __slots__ = ("action", "alone", "attempts", "message", "posted", "refusal", "returns", "since", "starts", "state", "tries")

    def __init__(self, message: ActivationMessage, action: Executable | None = None) -> None:
        self.message = message
        self.action = action
        self.attempts = 0
        self.starts = 0
        self.alone = False
        self.returns = 0
        self.tries = 0
        self.since = 0.0
        self.posted: int | UnsetType = UNSET
        self.refusal: str | UnsetType = UNSET
        self.state = Route.ARRIVED

    def unlock(self, unlock: Callable[[Raw, Mapping[str, str]], Raw]) -> str | None:
        """From here on the arguments are plain; the journal keeps them as they came. Why that can't be, if so."""
        message = self.message
        if not message.locked_args or isinstance(message.content, UnsetType):
            return None
        try:
            self.message = replace(message, content=unlock(message.content, message.locked_args), locked_args={})
        except Undecryptable as error:
            return str(error)
        return None

    def waiting(self, action: Executable) -> Waiting:
        """It as a job for the pool. Probes go first: a busy node is not a sick one."""
        return Waiting(
            id=self.message.activation_id,
            namespace=self.message.user.namespace.name,
            key=action.key,
            kind=action.kind,
            image=action.image,
            memory=action.limits.memory,
            concurrency=action.slots,
            user_image=action.user_image,
            alone=self.alone,
            since=self.since,
            first=is_probe(self.message),
        )

    def step(self, event: str) -> None:
        """Go on by the table. Raises IllegalTransition."""
        self.state = step(ROUTE, "activation", self.message.activation_id, self.state, event)
