"""What actors tell each other, and what I/O tells them.

Durations in ms unless said; `cid` numbers a container of this process.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from messages.action import Executable
from messages.events import Finished
from messages.wire import ActivationMessage, ActivationRecord


class Command(Struct, frozen=True):
    """Base of all commands."""


# --- to the ActivationRouter ------------------------------------------------------------------------------------------


class Invoke(Command, frozen=True):
    """New work from a transport, not yet accepted. `action` if the sender had read it already.

    `topic`, `offset`: where a controller's message comes from; by HTTP it has no offset. `posted`: epoch ms when the broker
    got it. `refusal`: it is accepted only to be ended with this text. `known`: it has a record already.
    `owed`: part of a composition that was accepted, so that a draining node takes it too.
    """

    message: ActivationMessage
    action: Executable | None = None
    topic: str | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    posted: int | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    known: bool = False
    owed: bool = False

    @property
    def activation_id(self) -> str:
        """For the failure log."""
        return self.message.activation_id


class Resume(Command, frozen=True):
    """Work of an earlier process, accepted then: through the same door, only not journaled again.

    `attempts` that count so far; `starts` in all; `alone`: nothing else may run beside it.
    """

    message: ActivationMessage
    attempts: int
    starts: int
    alone: bool
    posted: int | UnsetType = UNSET

    @property
    def activation_id(self) -> str:
        """For the failure log."""
        return self.message.activation_id


class AcceptedDurable(Command, frozen=True):
    """The `accepted` event of this activation is in the journal."""

    activation_id: str


class NotAccepted(Command, frozen=True):
    """The store will never take this activation's `accepted`: it is not live."""

    activation_id: str


class Fetched(Command, frozen=True):
    """The action that an activation runs, or why it can't be run (status code and text); and the caller's `authkey`."""

    activation_id: str
    action: Executable | None
    authkey: dict[str, Any] = {}
    status_code: int = 0
    error: str = ""


class Drain(Command, frozen=True):
    """Accept nothing more; tell when nothing runs or waits."""


# --- between ActivationRouter and ContainerProxy ----------------------------------------------------------------------


class Job(Command, frozen=True):
    """One activation to run. `since`: monotonic seconds when it was queued; `start` and `why` it waited: see pool_state.Assign."""

    message: ActivationMessage
    action: Executable
    attempt: int
    starts: int
    alone: bool
    since: float
    start: str = "warm"
    why: str = ""

    @property
    def activation_id(self) -> str:
        """The activation's id."""
        return self.message.activation_id


class Start(Command, frozen=True):
    """Create the container."""

    kind: str
    image: str
    memory: int
    concurrency: int
    user_image: bool


class Idle(Command, frozen=True):
    """A container that nothing runs in: its id, how it was made, whose it is (namespace, action name and revision) or nobody's."""

    container: str
    start: Start
    owner: tuple[str, tuple[str, str]] | None = None


class Adopt(Command, frozen=True):
    """To the router: idle containers that an earlier process left."""

    containers: list[Idle]


class Run(Command, frozen=True):
    """Run this job in the proxy's container. `ahead`: `started` need not be durable before the code runs."""

    job: Job
    ahead: bool

    @property
    def activation_id(self) -> str:
        """For the failure log."""
        return self.job.message.activation_id


class Remove(Command, frozen=True):
    """Destroy the container; it has no active run."""


class Abandon(Command, frozen=True):
    """Destroy the container whatever it does; its runs are forgotten, not ended."""


class Orphaned(Command, frozen=True):
    """The container of a proxy that failed is gone; these jobs were in it."""

    cid: int
    jobs: list[str]


class Up(Command, frozen=True):
    """The container is created and empty: its id, and stages in ms."""

    cid: int
    container: str
    stages: dict[str, float]


class Ready(Command, frozen=True):
    """The container is initialised: it may take as many runs at a time as its action allows."""

    cid: int


class StartFailed(Command, frozen=True):
    """The container could not be created; `permanent` if trying again can't help (kind or image not to be had).

    `waits`: none at all can be had just now, so nobody's tries are used up.
    """

    cid: int
    status_code: int
    error: str
    permanent: bool
    waits: bool = False


class Free(Command, frozen=True):
    """A run has ended and its logs are read: the container can take another. `run_ms` is the time in user code."""

    cid: int
    activation_id: str
    run_ms: float
    init_ms: float


class Released(Command, frozen=True):
    """A run has ended in a container that is lost."""

    cid: int
    activation_id: str


class Returned(Command, frozen=True):
    """A job whose code certainly did not run comes back; its container is lost.

    `interrupted`: its code may have run until the platform ended the container, of which no process is left.
    """

    cid: int
    job: Job
    interrupted: bool = False

    @property
    def activation_id(self) -> str:
        """For the failure log."""
        return self.job.message.activation_id


class Lost(Command, frozen=True):
    """The container is being destroyed and takes no more work; its memory counts until Gone."""

    cid: int


class Gone(Command, frozen=True):
    """No process of the container is left."""

    cid: int


# --- I/O to the ContainerProxy ----------------------------------------------------------------------------------------


class Created(Command, frozen=True):
    """The driver made the container. `container` is its id, shown to people."""

    container: str
    stages: dict[str, float]


class NotCreated(Command, frozen=True):
    """The driver failed: status code and text for the record; `permanent` and `waits` as for StartFailed."""

    status_code: int
    error: str
    permanent: bool
    waits: bool = False


class Called(Command, frozen=True):
    """/init or /run came to an end: a `containers.contract.Result`, after `ms` milliseconds, begun at `start` (epoch ms)."""

    path: str
    activation_id: str
    result: Any
    ms: float
    start: int


class Paused(Command, frozen=True):
    """The container was frozen within `ms`, or could not be (`done` False)."""

    done: bool
    ms: float


class Resumed(Command, frozen=True):
    """The container goes on after `ms`, or could not be resumed (`done` False)."""

    done: bool
    ms: float


class Died(Command, frozen=True):
    """The container ended by itself."""


class Removed(Command, frozen=True):
    """The driver removed the container."""


class StartedDurable(Command, frozen=True):
    """The `started` event is in the journal: the code may run."""

    activation_id: str


# --- LogReader --------------------------------------------------------------------------------------------------------


class LogChunk(Command, frozen=True):
    """Output of a container as it comes; empty data: that stream has ended. `at`: epoch ns."""

    cid: int
    stream: str
    data: bytes
    at: int


class LogsBegin(Command, frozen=True):
    """From here on output belongs to this activation. `limit` in bytes."""

    cid: int
    activation_id: str
    limit: int


class LogsEnd(Command, frozen=True):
    """The run has been answered: collect until both sentinels, bounded; `wait` False: take what is there.

    `failed`: it ended as a developer error. `proxy`: who is told when the collection ends, beside the ResultWriter.
    """

    cid: int
    activation_id: str
    wait: bool
    failed: bool
    proxy: Any


class LogsForget(Command, frozen=True):
    """The container is gone."""

    cid: int


class Logs(Command, frozen=True):
    """An activation's log lines, complete or with a last line that says what is missing."""

    cid: int
    activation_id: str
    lines: list[str]
    intact: bool


class LogsReset(Command, frozen=True):
    """The log reader was restarted and knows nothing of what it was collecting."""


# --- ResultWriter -----------------------------------------------------------------------------------------------------


class Ended(Command, frozen=True):
    """How an activation ended, not yet journaled. `logs` None: they come in a Logs command of their own."""

    message: ActivationMessage
    finished: Finished
    logs: list[str] | None
    cid: int = -1

    @property
    def activation_id(self) -> str:
        """For the failure log."""
        return self.finished.id


class Repeated(Command, frozen=True):
    """An activation that has ended here was handed in once more: who waits this time gets the answer of then.

    `posted`: by the broker, so that its controller is told once more.
    """

    message: ActivationMessage
    posted: bool = False

    @property
    def activation_id(self) -> str:
        """For the failure log."""
        return self.message.activation_id


class LookedUp(Command, frozen=True):
    """What the store has of an activation that was asked for again."""

    activation_id: str
    record: ActivationRecord | None
    asked: Repeated


class Acknowledged(Command, frozen=True):
    """The controller that an activation came from knows how it ended."""

    activation_id: str


class Redo(Command, frozen=True):
    """An activation that had finished before a crash, whose record or acknowledgement may be missing."""

    message: ActivationMessage
    finished: Finished
    recorded: bool
    acked: bool

    @property
    def activation_id(self) -> str:
        """For the failure log."""
        return self.finished.id


class FinishedDurable(Command, frozen=True):
    """The `finished` event is in the journal: the result may leave the node."""

    activation_id: str


class RecordWritten(Command, frozen=True):
    """The record is in the store."""

    activation_id: str


class Completed(Command, frozen=True):
    """To the router: the activation is over but for what is lazily journaled."""

    activation_id: str
