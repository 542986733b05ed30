"""The node's side of a template process: starts it, asks it for containers, hears when they end.

Protocol and other side: `template_main.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from containers.contract import CreateFailed

MAIN = Path(__file__).with_name("template_main.py")
CHUNK = 65_536
START_LIMIT = 30.0
"""Seconds for the interpreter to start and set up; 0.1 is usual, a slow disk on first use has taken seconds."""
ANSWER_LIMIT = 10.0
"""Seconds for the answer to a fork."""
END_LIMIT = 5.0
"""Seconds for the template to kill its children and end before it is killed itself."""

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}


class TemplateError(CreateFailed):
    """The template process can't work; the text says why."""


class Setup(TypedDict):
    """What a template is told at its start."""

    proxy: str
    isolate: bool
    show: list[str]


class Spawn(TypedDict):
    """What one container is made of.

    `memory` in MB, `address_space` in bytes, `processes` a number (the last two 0: no limit); `argv` empty: the Python
    proxy; `directory` is where it works and keeps its files.
    """

    name: str
    memory: int
    address_space: int
    processes: int
    uid: int
    own_network: bool
    directory: str
    argv: list[str]
    env: dict[str, str]
    sockets: int


class _Report(TypedDict):
    """`started` (with `pid`) or `exited` (with `status`) of the container `id`."""

    op: str
    id: int
    pid: int
    status: int


class Template:
    """One template process. Single use: when `alive` is false make another."""

    def __init__(self, executable: str, setup: Setup) -> None:
        self._executable = executable
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._sending = asyncio.Lock()
        self._unread = b""
        self._numbers = 0
        self._starts: dict[int, asyncio.Future[int]] = {}
        self._ended: dict[int, Callable[[int], None]] = {}
        self._down = asyncio.Event()
        self.isolated = False
        self.python = ""

    def __repr__(self) -> str:
        state = "isolated" if self.isolated else "plain"
        return f"<Template {self.pid} {state if self.alive else 'down'}, {len(self._ended)} children>"

    @property
    def pid(self) -> int:
        """Its process id, 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """Whether it takes work."""
        return self._control is not None and not self._down.is_set()

    async def start(self) -> None:
        """Start the process and wait until it is ready. Raises TemplateError.

        It starts in the calling thread, as the parent-death signal follows the thread that started the process.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._process = subprocess.Popen(  # noqa: ASYNC220
                [self._executable, "-I", str(MAIN), str(theirs.fileno())],
                env=ENVIRONMENT,
                cwd="/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise TemplateError(f"{self._executable} could not be started: {error}") from error
        finally:
            theirs.close()
        ours.setblocking(False)
        self._control = ours
        try:
            await self._handshake(ours)
        except BaseException:
            await self.close()
            raise
        asyncio.get_running_loop().add_reader(ours.fileno(), self._readable)

    async def _handshake(self, control: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        answer = b""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(START_LIMIT):
                await self._send({"op": "setup", "node": os.getpid(), **self._setup}, [])
                while not answer.endswith(b"\n") and (data := await loop.sock_recv(control, CHUNK)):
                    answer += data
        if not answer.endswith(b"\n"):
            raise TemplateError(f"{self._executable}: {self._complaint()}")
        packet = json.loads(answer)
        if packet["op"] != "ready":
            raise TemplateError(f"{self._executable}: {packet['text']}")
        self.isolated = packet["isolated"]
        self.python = packet["python"]

    def _complaint(self) -> str:
        """What the process wrote to its standard error, or that it said nothing."""
        assert self._process is not None
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        said = self._process.stderr.read() or b""
        return said.decode(errors="replace").strip()[-2000:] or f"did not start within {START_LIMIT:.0f} s"

    async def spawn(self, spawn: Spawn, descriptors: list[int], ended: Callable[[int], None]) -> tuple[int, int]:
        """Fork a container with these descriptors; its number here and its process id.

        `ended` is called once with the wait status when its processes are gone, -1 if the template went down with it.
        Raises TemplateError; `ended` is not called then.
        """
        if not self.alive:
            raise TemplateError("The template process has ended.")
        self._numbers += 1
        number = self._numbers
        self._starts[number] = asyncio.get_running_loop().create_future()
        self._ended[number] = ended
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                await self._send({"op": "spawn", "id": number, "descriptors": len(descriptors), **spawn}, descriptors)
                return number, await self._starts[number]
        except (OSError, TimeoutError) as error:
            await self._abandon(number)
            raise TemplateError(f"The template process does not answer: {error!r}") from error
        except asyncio.CancelledError:
            await self._abandon(number)
            raise
        finally:
            self._starts.pop(number, None)

    async def _abandon(self, number: int) -> None:
        """Kill a container whose maker gave up; packets keep their order, so this one finds it forked."""
        await self.kill(number)
        self._ended.pop(number, None)

    async def kill(self, number: int) -> None:
        """End a container, if it still lives."""
        if self.alive and number in self._ended:
            with contextlib.suppress(OSError):
                await self._send({"op": "kill", "id": number}, [])

    async def _send(self, packet: dict[str, object], descriptors: list[int]) -> None:
        """Send one packet, waiting while the socket's buffer is full. Raises OSError."""
        data = json.dumps(packet).encode() + b"\n"
        async with self._sending:
            while data:
                if self._control is None:
                    raise ConnectionResetError("closed")
                try:
                    data = data[socket.send_fds(self._control, [data], descriptors) :]
                    descriptors = []
                except BlockingIOError:
                    await asyncio.sleep(0.001)

    def _readable(self) -> None:
        """Handle what has arrived, a bounded number of bytes a turn."""
        assert self._control is not None
        try:
            data = self._control.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._handle(json.loads(line))

    def _handle(self, packet: _Report) -> None:
        if packet["op"] == "failed":
            return  # its end follows
        number = packet["id"]
        if packet["op"] == "exited":
            ended = self._ended.pop(number, None)
            if ended is not None:
                ended(packet["status"])
        elif number in self._starts and not self._starts[number].done():
            self._starts[number].set_result(packet["pid"])

    def _lost(self) -> None:
        """The template is gone, and with it all its containers."""
        if self._down.is_set():
            return
        self._down.set()
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        for start in self._starts.values():
            if not start.done():
                start.set_exception(ConnectionResetError("ended"))
        children, self._ended = list(self._ended.values()), {}
        for ended in children:
            ended(-1)

    async def close(self) -> None:
        """Have it kill its children and end; returns when it is gone."""
        self._lost()
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(_finish, process)


def _finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for the process, kill it if it takes too long, and reap it."""
    deadline = time.monotonic() + END_LIMIT
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.send_signal(signal.SIGKILL)
            process.wait()
        time.sleep(0.002)
    if process.stderr is not None:
        process.stderr.close()
