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
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from containers.cgroup import PIDS, Cgroups, find, safe
from containers.contract import Container, ContainerError, ContainerSpec, CreateFailed, KindUnavailable, Output
from containers.interpreters import ask_python, node_home, own_python, version
from containers.process_container import ProcessContainer
from containers.template import ENVIRONMENT, Setup, Spawn, Template, TemplateError

RUNTIMES = Path(__file__).resolve().parent.parent / "runtimes"
READY_LIMIT = 30.0
"""Seconds for a forked child to isolate itself and serve."""
CONNECTIONS = 200
"""To one Node.js process, each for one run at a time: 253 descriptors can be passed at once. More runs wait their turn."""
UIDS = 4096
"""Unprivileged user ids of one node: as many containers it can have at a time."""
OWNERS = 10_000
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
        self.owner = safe(f"{installation}.{stream}")
        self._directory = Path(tempfile.gettempdir()) / f"rewhisk-{self.owner}"
        self._python = python or own_python()
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
        self._shared = "" if self._isolate else "it needs root on Linux for namespaces"
        self._unlimited = ""
        self._shown: list[str] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"<ProcessDriver {self.owner} {len(self._containers)} containers, {self._template!r}>"

    # The driver -------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start the template; see the contract. Raises ContainerError."""
        first = _first_uid(self.owner, _uid_map())
        self._uids = list(range(first + UIDS - 1, first - 1, -1))
        self._closed = False
        await asyncio.to_thread(self._look_around)
        self._open_cgroups()
        self._template = await self._new_template()
        if self._isolate:
            await self._rehearse()

    def notes(self) -> list[str]:
        """What people should know about this driver on this machine, after `open`; empty if all is well."""
        notes = []
        if self._shared:
            notes.append(
                "The process driver is no security boundary here: actions run as the node's own user and can read its "
                f"files and stop its processes ({self._shared}). Run only code you trust, or use Docker."
            )
        if self._unlimited:
            notes.append(
                "Memory limits hold only roughly: each Python process of an action is limited by address space, Node.js "
                f"actions are not limited ({self._unlimited})."
            )
        return notes

    def versions(self) -> dict[str, str]:
        """The interpreters that run the kinds: family to version."""
        found = {"python": self._template.python} if self._template else {}
        return {**found, "nodejs": self._node_version} if self._node_version else found

    def template_pid(self) -> int:
        """Process id of the template, 0 if there is none."""
        return self._template.pid if self._template else 0

    def problem(self) -> str | None:
        """Nothing that lasts: a template that dies is replaced."""
        return None

    async def prepare(self, spec: ContainerSpec) -> None:
        """Nothing to get: the interpreters are there or not, as `create` says."""

    async def create(self, spec: ContainerSpec, output: Output, gone: Callable[[], None]) -> Container:
        """A started container; see the contract. Raises ContainerError."""
        argv = self._program(spec.kind)
        template = await self._ready_template()
        began = time.perf_counter()
        container = self._make(spec, output, min(spec.concurrency, CONNECTIONS) if argv else 1)
        try:
            await self._start(container, template, argv, gone, began)
        except BaseException:
            await container.remove()
            raise
        return container

    async def adopt(self, identity: str, spec: ContainerSpec, output: Output, gone: Callable[[], None]) -> Container:
        """See the contract. Raises ContainerError: processes end with their node."""
        raise ContainerError(f"Process {identity} ended with its node.")

    async def leftovers(self, kill: Callable[[str], bool]) -> list[str]:
        """Remove what earlier processes of this node left; nothing of theirs can be kept, so none is left."""
        if self._cgroups is not None:
            own = {container.id for container in self._containers}
            for name in self._cgroups.stale():
                if name not in own:
                    await asyncio.to_thread(self._cgroups.sweep, name)
        if not self._containers:
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
        return []

    async def close(self) -> None:
        """Remove all containers and end the template."""
        self._closed = True
        await asyncio.gather(*(container.remove() for container in list(self._containers)))
        if self._template is not None:
            await self._template.close()
            self._template = None
        with contextlib.suppress(OSError):
            self._directory.rmdir()
        if self._cgroups is not None:
            self._cgroups.close()
            self._cgroups = None

    # Parts ------------------------------------------------------------------------------------------------------

    def _program(self, kind: str) -> list[str]:
        """The command of a kind, empty for the template's own Python. Raises KindUnavailable."""
        family = kind.partition(":")[0]
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
        self._unlimited = "" if bases else "there are no control groups for memory and processes to be had"
        if bases:
            try:
                self._cgroups = Cgroups(bases, self.owner)
            except OSError as error:
                self._unlimited = f"control groups can't be used: {error}"

    async def _rehearse(self) -> None:
        """Make a container and remove it: what the machine refuses only inside one is found before the first real one.

        Then the driver goes on with less: without control groups, at last without namespaces. Raises TemplateError.
        """
        while self._isolate:
            try:
                spec = ContainerSpec(kind="python:3", memory=64, name="rehearsal")
                container = await self.create(spec, lambda *_: None, lambda: None)
            except CreateFailed as error:
                await self._do_without(str(error))
            else:
                await container.remove()
                return

    async def _do_without(self, why: str) -> None:
        """Give up control groups, or namespaces if those are given up already."""
        if self._cgroups is not None:
            self._cgroups.close()
            self._cgroups = None
            self._unlimited = why
            return
        self._isolate = False
        self._shared = f"namespaces can't be had: {why}"
        if self._template is not None:
            await self._template.close()
        self._template = await self._new_template()

    async def _new_template(self) -> Template:
        """Start a template, isolated if that can be had. Raises TemplateError."""
        proxy = str(self._runtimes / "python" / "proxy.py")
        if self._isolate:
            template = Template(self._python, Setup(proxy=proxy, isolate=True, show=self._shown))
            try:
                await template.start()
            except TemplateError as error:
                self._isolate = False
                self._shared = f"namespaces can't be had: {error}"
            else:
                return template
        template = Template(self._python, Setup(proxy=proxy, isolate=False, show=[]))
        await template.start()
        return template

    def _look_around(self) -> None:
        """Find what of the machine a container sees beside the system: interpreters and runtimes, at their own paths.

        Blocks. Raises ContainerError if the Python can't be run.
        """
        self._python, prefixes = ask_python(self._python)
        self._shown = [str(self._runtimes), *prefixes]
        if self._node:
            self._shown.append(node_home(Path(self._node).resolve()))
            self._node_version = version(self._node)

    async def _ready_template(self) -> Template:
        """The template, a new one if it has died. Raises ContainerError."""
        async with self._starting:
            if self._closed or self._template is None:
                raise CreateFailed("The process driver is not open.")
            if not self._template.alive:
                await self._template.close()
                self._template = await self._new_template()
            return self._template

    def _make(self, spec: ContainerSpec, output: Output, connections: int) -> ProcessContainer:
        """A container with its limits set up, without a process yet. Raises CreateFailed."""
        if not self._uids:
            raise CreateFailed(f"This node has {UIDS} containers, the most that the process driver can have.")
        identity = f"{safe(spec.name)[:150]}-{secrets.token_hex(4)}"
        group = self._cgroups.make(identity, spec.memory, self._pids) if self._cgroups else None
        directory = None if self._isolate else self._directory / identity
        if directory is not None:
            directory.mkdir(parents=True, mode=0o700)
        container = ProcessContainer(identity, spec, self._uids.pop(), group, directory, connections, output)
        self._containers.add(container)
        container.forget = self._forget
        return container

    async def _start(
        self, container: ProcessContainer, template: Template, argv: list[str], gone: Callable[[], None], began: float
    ) -> None:
        """Fork and wait until it serves. Raises ContainerError."""
        spec, group, place = container.spec, container.group, str(container.directory or "/tmp")
        spawn = Spawn(
            name=container.id,
            memory=spec.memory,
            address_space=0 if group or argv else spec.memory << 20,
            processes=0 if group or not self._isolate else self._pids,
            uid=container.uid,
            own_network=self._network == "none",
            directory=place,
            argv=argv,
            env={**ENVIRONMENT, "HOME": place, **spec.env},
            sockets=container.connections,
        )
        theirs = container.hand_out()
        created = time.perf_counter()
        try:
            await container.start(template, spawn, theirs, gone)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        forked = time.perf_counter()
        complaint = await container.ready(READY_LIMIT)
        if complaint:
            raise CreateFailed(f"The action's process could not be started: {complaint}")
        times = (began, created, forked, time.perf_counter())
        parts = zip(("create", "start", "ready"), times, times[1:], strict=False)
        container.stages = {name: (after - before) * 1000 for name, before, after in parts}

    def _forget(self, container: ProcessContainer) -> None:
        if container in self._containers:
            self._containers.discard(container)
            self._uids.append(container.uid)


def _uid_map() -> str:
    """Which user ids this process may use; empty where there are no user namespaces."""
    try:
        return Path("/proc/self/uid_map").read_text()
    except OSError:
        return ""


def _first_uid(owner: str, uid_map: str) -> int:
    """The first of the UIDS user ids of `owner`: spread, so that nodes beside each other hardly ever share any.

    Inside a user namespace only few ids exist (65,536 as a rule): there, below those of `nobody`.
    """
    available = max((int(line.split()[0]) + int(line.split()[2]) for line in uid_map.splitlines()), default=1 << 32)
    if available >= FIRST_UID + OWNERS * UIDS:
        return FIRST_UID + zlib.crc32(owner.encode()) % OWNERS * UIDS
    return max(1, min(available, 65_000) - UIDS)
