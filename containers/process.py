"""The driver for machines without Docker: a container is a process.

As root on Linux every container has namespaces, a file tree, a uid and control groups of its own. Anywhere else the
actions run as the node's own user: then this driver is no security boundary, and `notes` says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from containers.cgroup import PIDS, Cgroups, Group, find, safe
from containers.contract import Container, ContainerError, ContainerSpec, CreateFailed, KindUnavailable, Output
from containers.process_container import ProcessContainer, Stream
from containers.template import ENVIRONMENT, Setup, Spawn, Template, TemplateError

RUNTIMES = Path(__file__).resolve().parent.parent / "runtimes"
READY_LIMIT = 30.0
"""Seconds for a forked child to isolate itself and serve."""
UIDS = 4096
"""Unprivileged user ids of one node: as many containers it can have at a time."""
FIRST_UID = 200_000
"""Above what systems give to people and services, and to most subordinate ranges' beginnings."""


class ProcessDriver:
    """Makes containers that are processes. `network` is `host` (default: actions have it) or `none` (loopback only)."""

    name = "process"

    def __init__(
        self,
        installation: str,
        stream: str,
        *,
        python: str | None = None,
        network: str = "host",
        isolate: bool = True,
        pids: int = PIDS,
        runtimes: Path = RUNTIMES,
        cgroup_root: Path = Path("/sys/fs/cgroup"),
    ) -> None:
        self._owner = safe(f"{installation}.{stream}")
        self._python = python or _own_python()
        self._node = shutil.which("node")
        self._node_version = ""
        self._network = network
        self._isolate = isolate and sys.platform == "linux" and os.geteuid() == 0
        self._pids = pids
        self._runtimes = runtimes
        self._cgroup_root = cgroup_root
        self._cgroups: Cgroups | None = None
        self._template: Template | None = None
        self._starting = asyncio.Lock()
        self._containers: set[ProcessContainer] = set()
        self._uids: list[int] = []
        self._notes: list[str] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"<ProcessDriver {self._owner} {len(self._containers)} containers, {self._template!r}>"

    # The driver -------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start the template; see the contract. Raises ContainerError."""
        first = FIRST_UID + zlib.crc32(self._owner.encode()) % 10_000 * UIDS
        self._uids = list(range(first + UIDS - 1, first - 1, -1))
        self._closed = False
        self._open_cgroups()
        self._template = await self._new_template()
        if self._node:
            self._node_version = await asyncio.to_thread(_version, self._node)

    def notes(self) -> list[str]:
        """What people should know about this driver on this machine, one sentence or two each; empty if all is well."""
        return list(self._notes)

    def versions(self) -> dict[str, str]:
        """The interpreters that run the kinds: family to version."""
        found = {"python": self._template.python} if self._template else {}
        return {**found, "nodejs": self._node_version} if self._node_version else found

    async def create(self, spec: ContainerSpec, output: Output, gone: Callable[[], None]) -> Container:
        """A started container; see the contract. Raises ContainerError."""
        argv = self._program(spec.kind)
        if not self._uids:
            raise CreateFailed(f"This node has {UIDS} containers, the most that the process driver can have.")
        began = time.perf_counter()
        template = await self._ready_template()
        identity = f"{safe(spec.name)[:150]}-{secrets.token_hex(4)}"
        uid = self._uids.pop()
        group = None
        try:
            group = self._cgroups.make(identity, spec.memory, self._pids) if self._cgroups else None
            return await self._start(template, identity, uid, spec, argv, group, output, gone, began)
        except BaseException:
            self._uids.append(uid)
            if group is not None:
                await asyncio.to_thread(group.remove)
            raise

    async def leftovers(self, kill: Callable[[str], bool]) -> list[str]:
        """Remove what earlier processes of this node left; nothing of theirs can be kept, so none is left."""
        if self._cgroups is not None:
            own = {container.id for container in self._containers}
            for name in self._cgroups.stale():
                if name not in own:
                    await asyncio.to_thread(self._cgroups.sweep, name)
        return []

    async def close(self) -> None:
        """Remove all containers and end the template."""
        self._closed = True
        await asyncio.gather(*(container.remove() for container in list(self._containers)))
        if self._template is not None:
            await self._template.close()
            self._template = None
        if self._cgroups is not None:
            self._cgroups.close()
            self._cgroups = None

    # Parts ------------------------------------------------------------------------------------------------------

    def _program(self, kind: str) -> list[str]:
        """The command of a kind, empty for the template's own Python. Raises KindUnavailable."""
        family = kind.split(":")[0]
        if family == "python":
            return []
        if family != "nodejs":
            raise KindUnavailable(
                f"Kind '{kind}' can't run here: without Docker only Python and Node.js actions run. "
                "Install Docker and start the node with --driver docker."
            )
        if self._node is None:
            raise KindUnavailable(
                f"Kind '{kind}' can't run here: there is no 'node' in PATH. Install Node.js (https://nodejs.org), "
                "or Docker, and start the node again."
            )
        return [str(Path(self._node).resolve()), str(self._runtimes / "nodejs" / "proxy.js"), "--fd", "{fd}"]

    def _open_cgroups(self) -> None:
        """Take the control groups, if there are any to be had."""
        bases = find(self._cgroup_root) if self._isolate else {}
        if bases:
            try:
                self._cgroups = Cgroups(bases, self._owner)
            except OSError as error:
                bases = {}
                self._notes.append(f"Control groups can't be used ({error}).")
        if not bases:
            self._notes.append(
                "Memory limits hold only roughly: Python actions get a MemoryError by an address space limit, Node.js "
                "actions are not limited. Run the node as root on Linux, or use Docker."
            )

    async def _new_template(self) -> Template:
        """Start a template, isolated if that can be had. Raises TemplateError."""
        proxy = str(self._runtimes / "python" / "proxy.py")
        if self._isolate:
            template = Template(self._python, Setup(proxy=proxy, isolate=True, show=self._shown()))
            try:
                await template.start()
            except TemplateError as error:
                self._isolate = False
                self._warn(f"namespaces can't be had: {error}")
            else:
                return template
        elif not self._notes or "boundary" not in self._notes[0]:
            self._warn("it needs root on Linux for namespaces")
        template = Template(self._python, Setup(proxy=proxy, isolate=False, show=[]))
        await template.start()
        return template

    def _warn(self, why: str) -> None:
        self._notes.insert(
            0,
            f"The process driver is no security boundary here: actions run as the node's own user and can read its "
            f"files and stop its processes ({why}). Run only code you trust, or use Docker.",
        )

    def _shown(self) -> list[str]:
        """What of the machine a container sees beside the system: interpreters and runtimes, at their own paths."""
        shown = [str(self._runtimes), *_prefixes(self._python)]
        if self._node:
            shown.append(_node_home(Path(self._node).resolve()))
        return shown

    async def _ready_template(self) -> Template:
        """The template, a new one if it has died. Raises ContainerError."""
        async with self._starting:
            if self._closed or self._template is None:
                raise CreateFailed("The process driver is not open.")
            if not self._template.alive:
                await self._template.close()
                self._template = await self._new_template()
            return self._template

    async def _start(
        self,
        template: Template,
        identity: str,
        uid: int,
        spec: ContainerSpec,
        argv: list[str],
        group: Group | None,
        output: Output,
        gone: Callable[[], None],
        began: float,
    ) -> ProcessContainer:
        """Make the descriptors, fork, wait until it serves. Raises ContainerError with all descriptors closed."""
        pairs = [socket.socketpair() for _ in range(max(1, spec.concurrency))]
        out, err, status = os.pipe(), os.pipe(), os.pipe()
        entrances = group.entrances() if group else []
        streams = [Stream("stdout", out[0], output), Stream("stderr", err[0], output)]
        container = ProcessContainer(identity, spec, streams, [ours for ours, _ in pairs], group)
        theirs = [status[1], out[1], err[1], *(their.fileno() for _, their in pairs), *entrances]
        created = time.perf_counter()
        try:
            number, pid = await template.spawn(
                Spawn(
                    name=identity,
                    memory=spec.memory,
                    address_space=0 if group or argv else spec.memory << 20,
                    uid=uid,
                    own_network=self._network == "none",
                    argv=argv,
                    env={**ENVIRONMENT, **spec.env},
                    sockets=len(pairs),
                ),
                theirs,
                container.ended,
            )
        except BaseException:
            container.dispose()
            os.close(status[0])
            raise
        finally:
            for descriptor in (status[1], out[1], err[1], *entrances):
                os.close(descriptor)
            for _, their in pairs:
                their.close()
        forked = time.perf_counter()
        container.started(template, number, pid, gone)
        complaint = await _read_all(status[0])
        if complaint:
            await container.remove()
            raise CreateFailed(f"The action's process could not be started: {complaint}")
        self._containers.add(container)
        container.forget = lambda gone_one: self._forget(gone_one, uid)
        ready = time.perf_counter()
        container.stages = {
            "create": (created - began) * 1000,
            "start": (forked - created) * 1000,
            "ready": (ready - forked) * 1000,
        }
        return container

    def _forget(self, container: ProcessContainer, uid: int) -> None:
        if container in self._containers:
            self._containers.discard(container)
            self._uids.append(uid)


async def _read_all(descriptor: int) -> str:
    """What comes through the pipe until its end, which must come within READY_LIMIT; closes it."""
    loop = asyncio.get_running_loop()
    os.set_blocking(descriptor, False)
    done: asyncio.Future[None] = loop.create_future()
    parts: list[bytes] = []

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(descriptor, 4096)
            parts.append(data)
            if not data and not done.done():
                done.set_result(None)

    loop.add_reader(descriptor, readable)
    try:
        async with asyncio.timeout(READY_LIMIT):
            await done
    except TimeoutError:
        parts.append(f"not ready within {READY_LIMIT:.0f} s".encode())
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return b"".join(parts).decode(errors="replace")


def _own_python() -> str:
    """The interpreter that runs the node, outside its virtual environment: the node's libraries are not the actions'."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable) or sys.executable)


def _prefixes(python: str) -> list[str]:
    """Directories that the interpreter needs. Raises ContainerError if it can't be run."""
    code = "import sys; print(sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, sep='\\n')"
    try:
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ContainerError(f"The Python {python} can't be run: {error}. Name another one with --python.") from error
    return [path for path in done.stdout.split("\n") if path not in ("", "/")]


def _node_home(node: Path) -> str:
    """The directory tree of a Node.js installation, or the file alone where it lies among other things."""
    home = node.parent.parent
    return str(home) if (home / "include" / "node").is_dir() and home != Path.home() else str(node)


def _version(program: str) -> str:
    """What `program --version` prints, empty if it can't be run."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().removeprefix("v")
