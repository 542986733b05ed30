"""The pool's values and its containers: what is decided, what state a container is in, and the sums the decisions rest on."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from messages.states import State as States

Key = tuple[str, str]
"""An action: its fully qualified name and its revision."""
Owner = tuple[str, Key]
"""Who shares a warm container: the calling namespace and the action. Anything else never does."""


NEVER = float("inf")


class PoolError(Exception):
    """The pool was told something that can't be: a fault of the caller, never of a user.

    PoolError
     +-- UnknownContainer  no container of that number (any more)
     +-- IllegalMove       the container is in no state in which that can happen
     +-- RefusedJob        queued already, or larger than the pool (ask `fits` before)
    """


class UnknownContainer(PoolError):
    """No container of that number."""


class IllegalMove(PoolError):
    """The event can't happen in the container's state."""


class RefusedJob(PoolError):
    """The job can't be queued."""


class Reactive(Struct, frozen=True):
    """How the number of stem cells follows demand, see `pool_cells`. `ttl` in seconds."""

    min_count: int
    max_count: int
    ttl: float
    threshold: int
    increment: int


class StemCell(Struct, frozen=True):
    """Keep `count` empty containers of a kind ready. `memory` in MB each; `concurrency`: runs that each can take at once."""

    kind: str
    image: str
    memory: int
    count: int
    concurrency: int = 1
    reactive: Reactive | None = None


class PoolSettings(Struct, frozen=True):
    """`memory`: budget in MB. `starting`: at most so many containers being created at once (twice the cores is a good value).

    `idle_timeout`: seconds after which an idle container goes (upstream's `idle-container`: 10 minutes); `keep_warm`: so many
    idle ones of each action's newest revision stay all the same, until their memory is wanted. `starvation`: seconds an
    action without any container waits before memory is kept for it; `few`: so many containers of an action whose runs are short
    work at the same time, unless a run would wait for long (twice the cores is a good value; 0: as many as there are).
    `prewarm_check`: seconds between looks at the demand for reactive stem cells (upstream's `prewarm-expiration-check-interval`).
    """

    memory: int
    starting: int = 4
    idle_timeout: float = 600.0
    starvation: float = 5.0
    few: int = 0
    prewarm_check: float = 600.0
    keep_warm: int = 0
    stem_cells: tuple[StemCell, ...] = ()


class Waiting(Struct, frozen=True):
    """A job that wants a container. `since` in monotonic seconds, `memory` in MB; `alone`: nothing may run beside it.

    `first`: it goes before what waits already.
    """

    id: str
    namespace: str
    key: Key
    kind: str
    image: str
    memory: int
    concurrency: int
    user_image: bool
    alone: bool
    since: float
    first: bool = False


class Assign(Struct, frozen=True):
    """Run job `id` in container `cid` now. `start`: warm, prewarmed (an empty one was there) or cold (it waited for one).

    `why` it waited, if it did.
    """

    cid: int
    id: str
    start: str
    why: str = ""


class Create(Struct, frozen=True):
    """Create a container; report `up`, or `lost` and then `gone`."""

    cid: int
    kind: str
    image: str
    memory: int
    concurrency: int
    user_image: bool
    prewarm: bool


class Destroy(Struct, frozen=True):
    """Remove a container nothing runs in; report `gone` when no process of it is left."""

    cid: int
    why: str


Decision = Assign | Create | Destroy


class Shape(NamedTuple):
    """What an empty container must have in common with a job.

    Memory too, exactly: a smaller limit breaks what the user was promised, a larger one holds memory that nobody asked for
    and hides that the action needs more than it may, and not every driver can change a limit later.
    """

    kind: str
    image: str
    memory: int
    user_image: bool

    @property
    def source(self) -> tuple[str, str]:
        """What decides how long a creation takes and whether it fails."""
        return self.kind, self.image


class Alarm:
    """The earliest moment at which time alone may change what somebody gets. May be early, never late."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = NEVER

    def by(self, at: float) -> None:
        """Go off then, if not earlier."""
        self.at = min(self.at, at)


class State(States):
    """Where a container is in its life."""

    STARTING = "starting"
    EMPTY = "prewarm"
    BUSY = "busy"
    IDLE = "idle"
    REMOVING = "removing"


MOVES: dict[State, dict[str, State]] = {
    State.STARTING: {"up": State.EMPTY, "adopted": State.IDLE, "remove": State.REMOVING},
    State.EMPTY: {"assign": State.BUSY, "remove": State.REMOVING},
    State.BUSY: {"assign": State.BUSY, "free": State.IDLE, "remove": State.REMOVING},
    State.IDLE: {"assign": State.BUSY, "remove": State.REMOVING},
    State.REMOVING: {},
}
"""State -> what happens -> state. `free` is the end of the last run in it. From REMOVING nothing leads but being gone."""


class Container:
    """One container. `limit` is how many runs it takes at once when it is initialised; before that, one."""

    __slots__ = (
        "active", "adopted", "cid", "concurrency", "created", "limit", "made_for", "owner", "ready", "shape", "since", "state",
    )  # fmt: skip

    def __init__(self, cid: int, shape: Shape, concurrency: int, made_for: Owner | None, now: float) -> None:
        self.cid = cid
        self.shape = shape
        self.concurrency = concurrency
        self.made_for = made_for  # None: a stem cell
        self.owner: Owner | None = None
        self.adopted = False  # made by an earlier process; `made_for` whoever it is initialised for
        self.state = State.STARTING
        self.active: set[str] = set()  # Invariant: at most `limit`, at most one while not `ready`
        self.limit = 1
        self.ready = False
        self.created = now
        self.since = now  # when it came up or was last used

    @property
    def has_room(self) -> bool:
        """Whether it takes one more run now."""
        return len(self.active) < (self.limit if self.ready else 1)


class Containers:
    """All containers and the sums over them; `move` is the only way to another state."""

    def __init__(self, last: int = 0) -> None:
        self.all: dict[int, Container] = {}
        self.idle: dict[int, Container] = {}  # least recently used first
        self.empty: dict[Shape, dict[int, Container]] = {}  # oldest first
        self.used = 0  # MB of all of them. Invariant: at most the budget, whatever their state
        self.evictable = 0  # MB of the idle and the empty
        self.removing = 0  # MB that will be free
        self.starting = 0
        self.active = 0  # runs in them, those in removed ones too until they are released
        self._last = last

    def get(self, cid: int) -> Container:
        """The container. Raises UnknownContainer."""
        try:
            return self.all[cid]
        except KeyError:
            raise UnknownContainer(f"there is no container {cid}") from None

    def create(self, shape: Shape, concurrency: int, made_for: Owner | None, now: float) -> Container:
        """A new one, being created from `now` on."""
        self._last += 1
        container = Container(self._last, shape, concurrency, made_for, now)
        self.all[container.cid] = container
        self.used += shape.memory
        self.starting += 1
        return container

    def move(self, container: Container, event: str) -> None:
        """Do what `event` does to its state. Raises IllegalMove."""
        old = container.state
        try:
            new = MOVES[old][event]
        except KeyError:
            raise IllegalMove(f"container {container.cid} is {old.value}: no {event!r} there") from None
        if new is not old:
            self._leave(container, old)
            container.state = new
            self._enter(container, new)

    def forget(self, container: Container) -> None:
        """It is gone: its memory is free, and whatever ran in it runs no more."""
        self._leave(container, container.state)
        self.active -= len(container.active)
        container.active.clear()
        self.used -= container.shape.memory
        del self.all[container.cid]

    def count(self, state: State) -> int:
        """How many are in that state."""
        return sum(container.state is state for container in self.all.values())

    def memory(self, state: State) -> int:
        """MB of those in that state."""
        return sum(container.shape.memory for container in self.all.values() if container.state is state)

    def _enter(self, container: Container, state: State) -> None:
        if state is State.IDLE:
            self.idle[container.cid] = container
            self.evictable += container.shape.memory
        elif state is State.EMPTY:
            self.empty.setdefault(container.shape, {})[container.cid] = container
            self.evictable += container.shape.memory
        elif state is State.REMOVING:
            self.removing += container.shape.memory

    def _leave(self, container: Container, state: State) -> None:
        if state is State.IDLE:
            del self.idle[container.cid]
            self.evictable -= container.shape.memory
        elif state is State.EMPTY:
            cells = self.empty[container.shape]
            del cells[container.cid]
            if not cells:
                del self.empty[container.shape]
            self.evictable -= container.shape.memory
        elif state is State.STARTING:
            self.starting -= 1
        elif state is State.REMOVING:
            self.removing -= container.shape.memory
