"""One action process behind the contract of containers: its calls, its output, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from containers.cgroup import GONE_WITHIN, Group
from containers.client import ActionClient
from containers.contract import ContainerError, ContainerSpec, CreateFailed, Failure, Output, Result
from containers.guard import tell_below
from containers.template import Spawn, Template

CHUNK = 65_536
"""Bytes read of one stream a turn of the loop, so that endless printing starves nobody. Also what a pipe holds."""
DRAIN_LIMIT = 1.0
"""Seconds for the streams to end once all processes are gone; a descriptor passed elsewhere may keep one open."""


class Stream:
    """The reading end of one output pipe, read on the loop."""

    def __init__(self, name: str, descriptor: int, output: Output) -> None:
        self._name = name
        self._descriptor = descriptor
        self._output = output
        self._loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._output(self._name, data)
        else:
            self.close()

    def close(self) -> None:
        """Stop reading and say that the stream has ended; once."""
        if not self.ended.is_set():
            self.ended.set()
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._output(self._name, b"")


class ProcessContainer:
    """A container that is a process. `ProcessDriver.create` makes, starts and awaits it."""

    def __init__(
        self,
        identity: str,
        spec: ContainerSpec,
        uid: int,
        group: Group | None,
        directory: Path | None,
        connections: int,
        output: Output,
    ) -> None:
        self.id = identity
        self.pid = 0
        self.spec = spec
        self.stages: dict[str, float] = {}
        self.uid = uid
        self.group = group
        self.directory = directory  # its files; None where it has a /tmp of its own
        self.connections = connections
        self.forget: Callable[[ProcessContainer], None] = lambda container: None
        self._output = output
        self._streams: list[Stream] = []
        self._sockets: list[socket.socket] = []
        self._clients: list[ActionClient] = []
        self._loads: dict[ActionClient, int] = {}  # connections that work, and how many calls each has
        self._complaint: list[bytes] = []
        self._template: Template | None = None
        self._number = 0
        self._gone: Callable[[], None] | None = None
        self._exited = asyncio.Event()
        self._removal: asyncio.Task[None] | None = None
        self._kills = 0  # OOM kills as of the end of the latest call

    def __repr__(self) -> str:
        state = "removed" if self._removal else "exited" if self._exited.is_set() else "running"
        return f"<ProcessContainer {self.id} {self.spec.kind} pid {self.pid} {state}>"

    # Start ------------------------------------------------------------------------------------------------------

    def hand_out(self) -> list[int]:
        """Make pipes and sockets and keep this side; the other side's in the order of `spawn`, the caller's to close.

        Raises CreateFailed if no descriptors are to be had.
        """
        theirs: list[int] = []
        try:
            for name, output in (("status", self._keep_complaint), ("stdout", self._output), ("stderr", self._output)):
                reading, writing = os.pipe()
                theirs.append(writing)
                self._streams.append(Stream(name, reading, output))
            for _ in range(self.connections):
                ours, their = socket.socketpair()
                theirs.append(their.detach())
                self._clients.append(ActionClient.over_socket(ours))
                self._loads[self._clients[-1]] = 0
                self._sockets.append(ours.dup())
            return theirs + (self.group.entrances() if self.group else [])
        except OSError as error:
            for descriptor in theirs:
                os.close(descriptor)
            raise CreateFailed(f"No descriptors for a container: {error}") from error

    async def start(self, template: Template, spawn: Spawn, theirs: list[int], gone: Callable[[], None]) -> None:
        """Fork. Raises TemplateError."""
        self._number, self.pid = await template.spawn(spawn, theirs, self._ended)
        self._template, self._gone = template, gone
        if self._exited.is_set():
            self._tell_gone()

    async def ready(self, timeout: float) -> str:
        """Wait until it serves; what went wrong, or nothing."""
        try:
            async with asyncio.timeout(timeout):
                await self._streams[0].ended.wait()
        except TimeoutError:
            return f"not ready within {timeout:.0f} s"
        return b"".join(self._complaint).decode(errors="replace")

    def _keep_complaint(self, _: str, data: bytes) -> None:
        self._complaint.append(data)

    def _ended(self, _: int) -> None:
        """Its processes are gone. What still waits for an answer learns it by the end of the connection."""
        self._exited.set()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._tell_gone()

    def _tell_gone(self) -> None:
        gone, self._gone = self._gone, None
        if gone is not None and self._removal is None:
            gone()

    # Calls ------------------------------------------------------------------------------------------------------

    async def init(self, body: bytes, timeout: float, limit: int) -> Result:
        """POST /init; see the contract."""
        return await self._post("/init", body, timeout, limit)

    async def run(self, body: bytes, timeout: float, limit: int) -> Result:
        """POST /run; see the contract."""
        return await self._post("/run", body, timeout, limit)

    async def _post(self, path: str, body: bytes, timeout: float, limit: int) -> Result:
        """Call over the least busy connection.

        An OOM kill since the call before ended outweighs whatever came back, unless the request reached nobody: then
        another container may have it.
        """
        client = min(self._loads, key=self._loads.__getitem__, default=None)
        if client is None:
            return Failure.REFUSED
        self._loads[client] += 1
        before = self._kills
        result: Result | None = None
        try:
            result = await client.post(path, body, timeout, limit)
        finally:
            if result is None or isinstance(result, Failure):
                self._loads.pop(client, None)  # its connection has ended
            elif client in self._loads:
                self._loads[client] -= 1
        if self.group is not None and result is not Failure.REFUSED:
            self._kills = max(self._kills, self.group.oom_kills())
            if self._kills > before:
                return Failure.MEMORY
        return result

    # Life -------------------------------------------------------------------------------------------------------

    async def pause(self) -> None:
        """Freeze all its processes. Raises ContainerError."""
        await self._freeze(True)

    async def resume(self) -> None:
        """Undo `pause`. Raises ContainerError."""
        await self._freeze(False)

    async def _freeze(self, frozen: bool) -> None:
        if self._exited.is_set() or self._removal is not None or self._template is None:
            raise ContainerError(f"Container {self.id} has ended.")
        if self.group is None:
            guarded = self.directory is not None  # then the first process is the guard, which must go on
            await asyncio.to_thread(tell_below, self.pid, signal.SIGSTOP if frozen else signal.SIGCONT, not guarded)
            return
        try:
            self.group.freeze(frozen)
        except OSError as error:
            raise ContainerError(f"Container {self.id} could not be {'paused' if frozen else 'resumed'}: {error}") from error

    async def remove(self) -> None:
        """Kill and clean up; returns when no process of it is left."""
        if self._removal is None:
            self._removal = asyncio.ensure_future(self._remove())
        await asyncio.shield(self._removal)

    async def _remove(self) -> None:
        if self._template is not None and not self._exited.is_set():
            await self._template.kill(self._number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GONE_WITHIN):
                    await self._exited.wait()
        if self.group is not None:
            await asyncio.to_thread(self.group.remove)
        if self.directory is not None:
            await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_LIMIT):
                for stream in self._streams:
                    await stream.ended.wait()
        self._dispose()

    def _dispose(self) -> None:
        """Close every descriptor of the node's side."""
        for stream in self._streams:
            stream.close()
        for client in self._clients:
            client.close()
        for sock in self._sockets:
            sock.close()
        self.forget(self)
