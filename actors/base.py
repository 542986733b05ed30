"""What all actors of the node share: dispatch by a table, and the services that they are given.

An actor is synchronous: one message in, state changed, messages and events out. `HANDLERS` maps a message's type to the
method that takes it; `supervision` says what follows a bug in it (`restart`: a new instance under the same address, told
`Restarted`; `stop`: the actor ends and its parent is told).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, ClassVar, TypeVar

from msgspec import Raw
from thespian.actors import Actor, ActorAddress, ActorExitRequest

from actors.pool import Pool, PoolSettings
from actors.ports import AckPort, ActionPort, AnswerPort, Clock, ContainerPort, Instrument, JournalPort, RecordPort
from messages.errors import IllegalTransition
from messages.events import ChildAssigned
from messages.wire import ActivationMessage


@dataclass(slots=True)
class Progress:
    """What anybody may know of an unfinished activation: queued, starting, running; since when (epoch ms), which attempt."""

    namespace: str
    state: str
    since: int
    attempt: int


@dataclass(slots=True)
class Rules:
    """Settings of the core. Seconds unless said; the numbers are judgement, short in tests."""

    live_bound: int = 20_000
    """Accepted and unfinished activations, above which new ones are refused with 503."""
    largest: int = 6_000_000
    """Bytes of a message, above which it is refused at the border: a store's document has to hold it."""
    remember: float = 600.0
    """How long an ended activation is known from memory, to recognise a duplicate."""
    result_limit: int = 1_048_576
    """Bytes of a result; upstream's `whisk.activation.payload`."""
    stall: float = 10.0
    """Seconds that a journal write may be without a certain answer before new work is refused: the lease."""
    log_wait: float = 2.0
    """How long the log reader waits for the next line before it gives up on the sentinels; upstream's 2 s."""
    pause_grace: float | None = 10.0
    """How long a container is idle before it is frozen; upstream's 10 s. None: never."""
    create_tries: int = 3
    """Failed creations, after which a job ends with an error record."""
    run_tries: int = 5
    """Containers that may be lost before a job's code ran, after which it ends with an error record."""
    alone_from: int = 3
    """The attempt from which on an activation runs alone on the node."""
    max_age: float | None = None
    """Work older than this when it would start is ended with a record that says so."""
    blocking_wait: float = 60.0
    """How long a blocking caller waits for its answer, at most."""
    stale_grace: float = 60.0
    """How much older than its caller's wait a controller's blocking message may be and still be run."""


@dataclass(slots=True)
class Directory:
    """Addresses of the actors that there is one of; they outlive restarts."""

    router: ActorAddress | None = None
    writer: ActorAddress | None = None
    reader: ActorAddress | None = None


@dataclass(slots=True, kw_only=True)
class StreamServices:
    """What the actors of any stream get from outside."""

    clock: Clock
    journal: JournalPort
    records: RecordPort
    answers: AnswerPort
    tell: Callable[[ActorAddress, object], None]
    instrument: Instrument
    rules: Rules
    acks: AckPort | None = None
    """Where activations with a topic are acknowledged; None where none has one."""
    steady: Callable[[], bool] = lambda: True
    """Whether the wall clock can be trusted to tell how old something is."""
    may_start: Callable[[], bool] = lambda: True
    """Whether user code may begin: not while the lease is lost."""
    make_pool: Callable[[PoolSettings, int], Pool] = Pool
    """The policy; the second argument is the highest container number given out so far."""
    unfit: Callable[[], str | None] = lambda: None
    """Why the node may take no new work (a disk that is almost full), or None."""
    unlock: Callable[[Raw, Mapping[str, str]], Raw] = lambda content, locked: content
    """Arguments with those opened that are encrypted, by their keys' names. Raises Undecryptable."""
    settled: Callable[[int, str], None] = lambda cid, activation_id: None
    """The end of a run in container `cid` is journaled."""
    held: Callable[[ActivationMessage], bool] = lambda message: False
    """Whether who waits for an activation journals by itself that it was answered."""
    directory: Directory = field(default_factory=Directory)
    board: dict[str, Progress] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    """Activations that ended here not long ago, to know a duplicate by, and when (monotonic seconds)."""
    under_way: dict[str, ChildAssigned] = field(default_factory=dict)
    """Children of compositions, by id, whose assignment is appended, durable or not, and whose end is not known."""
    draining: bool = False
    """Nothing more is accepted."""


@dataclass(slots=True, kw_only=True)
class Services(StreamServices):
    """What the actors of an invoker's stream get beside that."""

    containers: ContainerPort
    actions: ActionPort
    run_ahead_from: float = 0.0
    """Monotonic seconds before which every `started` is a barrier: the minute after an unclean start."""
    orphans: set[int] = field(default_factory=set)
    """Containers whose proxies failed, until they are gone."""
    last_cid: int = 0
    """Highest container number given out in this process."""
    pool_view: Callable[[], dict[str, object]] = dict
    """The pool's overview, set by the router: for status and metrics."""
    lines: Callable[[str], list[str]] = lambda activation_id: []
    """What a run has printed so far, set by the log reader."""


class NodeActor(Actor):  # type: ignore[misc]
    """Base of the node's actors."""

    supervision: ClassVar[str] = "restart"
    HANDLERS: ClassVar[dict[type, Callable[..., None]]] = {}

    services: StreamServices

    def __init__(self, services: StreamServices) -> None:
        super().__init__()
        self.services = services

    def receiveMessage(self, message: object, sender: ActorAddress) -> None:  # noqa: N802 - Thespian's name
        """Look the handler up and call it. Raises IllegalTransition for a message this actor doesn't know."""
        handler = self.HANDLERS.get(type(message))
        if handler is not None:
            handler(self, message)
        elif not isinstance(message, ActorExitRequest):
            raise IllegalTransition("actor", type(self).__name__, "any", type(message).__name__)

    def send(self, targetAddr: ActorAddress, msg: object) -> None:  # noqa: N803 - Thespian's names
        """Thespian's, without its check of the address: the system's own does."""
        self._myRef.actor_send(targetAddr, msg)

    def reply(self, message: object) -> None:
        """Tell this actor, from I/O."""
        self.services.tell(self.myAddress, message)

    def told(self, message: object) -> Callable[[], None]:
        """A callback that tells this actor `message`."""
        return partial(self.services.tell, self.myAddress, message)


S = TypeVar("S", bound=Enum)


def step(table: dict[S, dict[str, S]], machine: str, who: Any, state: S, event: str) -> S:
    """The next state by a transition table. Raises IllegalTransition."""
    try:
        return table[state][event]
    except KeyError:
        raise IllegalTransition(machine, str(who), state.value, event) from None
