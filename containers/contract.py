"""What every container driver promises; each passes the same suite in `tests/contract/`.

A container is anything that speaks upstream's action interface (`POST /init` once, then `POST /run`) and has two output
streams. Drivers do no policy: they create, call, and remove.

ContainerError
 +-- CreateFailed       the platform could not provide it (system's fault: activation status 3)
 |    +-- Unavailable   it can provide none at all just now: who waits for one goes on waiting
 +-- ImageMissing       the user's image can't be had (developer's fault: status 2); names the image
 +-- KindUnavailable    this machine can't run the kind; names what is missing and the fix
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Protocol

from msgspec import Struct

Output = Callable[[str, bytes], None]
"""Called on the loop with `stdout` or `stderr` and the bytes as they come, and with b"" when that stream has ended."""


class ContainerError(Exception):
    """Base of what goes wrong with containers."""


class CreateFailed(ContainerError):
    """The platform could not create the container."""


class Unavailable(CreateFailed):
    """The platform can't create any container just now, and `Driver.problem` says so; it tries again by itself."""


class ImageMissing(ContainerError):
    """The user's image can't be pulled or found."""


class KindUnavailable(ContainerError):
    """The kind can't run on this machine; the text names what is missing and how to have it."""


class ContainerSpec(Struct, frozen=True):
    """What to create. `memory` in MB; `name` is unique and carries node and number; `labels` say whose it is."""

    kind: str
    memory: int
    name: str
    image: str = ""
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    concurrency: int = 1
    user_image: bool = False


class Failure(Enum):
    """Why a call brought no usable response."""

    REFUSED = "refused"
    """Not connected: the request certainly never reached user code."""
    BROKEN = "broken"
    """The connection ended or brought no valid HTTP (garbage, no length): user code may have run."""
    TIMEOUT = "timeout"
    """Nothing within the time limit."""
    LOST = "lost"
    """The platform ended the container meanwhile: user code may have run, and no process of it is left."""
    MEMORY = "memory"
    """The memory limit was hit; found out however the driver can."""


class Answer(Struct, frozen=True):
    """An HTTP response of the runtime. `body` is cut at the limit; `length` is what the runtime announced, in bytes."""

    status: int
    body: bytes
    length: int

    @property
    def truncated(self) -> bool:
        """Whether the body was longer than was allowed."""
        return self.length > len(self.body)


Result = Answer | Failure


class Container(Protocol):
    """One running container. Calls never raise for what the runtime does: every way to fail is a Failure."""

    id: str
    """The engine's id, or the driver's own: unique on this machine, shown to people."""
    pid: int
    """Process id of its first process, 0 if there is none."""
    spec: ContainerSpec
    stages: dict[str, float]
    """Milliseconds that creating took by stage (create, start, ready)."""

    async def init(self, body: bytes, timeout: float, limit: int) -> Result:
        """POST /init; waits for the runtime to listen, within `timeout` seconds. At most `limit` bytes of body are kept."""

    async def run(self, body: bytes, timeout: float, limit: int) -> Result:
        """POST /run. Up to `spec.concurrency` at a time."""

    async def pause(self) -> None:
        """Freeze it. Raises ContainerError."""

    async def resume(self) -> None:
        """Undo `pause`. Raises ContainerError."""

    async def remove(self) -> None:
        """Kill and clean up; returns when no process of it is left. Works in any state, twice too, and never raises."""


class Driver(Protocol):
    """Makes containers."""

    name: str

    async def open(self) -> None:
        """Get ready (templates, networks). Raises ContainerError with the fix if the driver can't work here."""

    def notes(self) -> list[str]:
        """What people should know about this driver on this machine, after `open`; empty if all is well."""

    def problem(self) -> str | None:
        """Why no container could be made now, or None."""

    async def prepare(self, spec: ContainerSpec) -> None:
        """Get what `create` needs and what may take minutes, an image. Raises ContainerError."""

    async def create(self, spec: ContainerSpec, output: Output, gone: Callable[[], None]) -> Container:
        """A started container. `gone` is called once if it ends by itself. Raises ContainerError; leaves nothing behind then."""

    async def adopt(self, identity: str, spec: ContainerSpec, output: Output, gone: Callable[[], None]) -> Container:
        """One that an earlier process made by the same `spec`, initialised or not: running and answering, its output from now on.

        Raises ContainerError if it is not so; leaves nothing behind then.
        """

    async def leftovers(self, kill: Callable[[str], bool]) -> list[str]:
        """Remove this node's containers of earlier processes for whose id `kill` is true; returns the ids of those left."""

    async def close(self) -> None:
        """Remove everything of this driver; afterwards no process is left."""


Prober = Callable[[], Awaitable[str | None]]
"""Says what is wrong with a part of the node, or None."""
