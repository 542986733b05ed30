"""One container of the engine behind the contract of containers: its calls, its output, its end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from containers.client import ActionClient, Connect
from containers.contract import Answer, ContainerError, ContainerSpec, Failure, Output, Result
from containers.docker_cgroup import ContainerCgroup, locate
from containers.docker_engine import Engine, EngineError
from containers.docker_network import Network, Place
from containers.docker_stream import EngineStream, attach
from containers.docker_watch import EngineWatch

READY_STEP = 0.002
OOM_WAIT = 1.0
"""Seconds after a broken call in which the engine may still say that memory was the reason (it takes 76 to 114 ms)."""
END_WAIT = 1.0
"""Seconds after a broken call for the engine to tell of the container's end (it takes 100 ms); all of them if that lives on."""
OUTPUT_LIMIT = 1.0
"""Seconds for the last output to come after the end of the container is known."""
ENDED_GRACE = 0.05
"""Seconds for an answer to be read that a container gave just before it ended."""
RETRY_REMOVAL = (0.05, 0.2, 1.0, 5.0)
"""Pauses between attempts to remove, the last one for ever: what isn't removed still takes memory."""


class DockerContainer:
    """A container. `DockerDriver.create` makes, starts and awaits it."""

    def __init__(
        self,
        name: str,
        spec: ContainerSpec,
        engine: Engine,
        watch: EngineWatch,
        network: Network,
        output: Output,
        gone: Callable[[], None],
    ) -> None:
        self.id = name  # the engine takes names for ids, until it has given one
        self.pid = 0
        self.spec = spec
        self.stages: dict[str, float] = {}
        self.forget: Callable[[DockerContainer], None] = lambda container: None
        self.hit: Callable[[str, str], None] = lambda step, position: None  # failpoints of crash tests
        self._engine = engine
        self._watch = watch
        self._network = network
        self._place: Place | None = None
        self._output = output
        self._gone: Callable[[], None] | None = gone
        self._stream: EngineStream | None = None
        self._client: ActionClient | None = None
        self._connect: Connect | None = None
        self._started = 0.0
        self._cgroup: ContainerCgroup | None = None
        self._output_ended = asyncio.Event()
        self._died = asyncio.Event()
        self._signs = asyncio.Event()  # something happened that may tell of memory
        self._ooms = 0  # the engine's events
        self._signalled = False
        self._kills = 0  # the kernel's count as of the end of the latest call
        self._frozen = ""  # by `kernel` or by `engine`
        self._removal: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        state = "removed" if self._removal else "exited" if self._died.is_set() else "paused" if self._frozen else "running"
        return f"<DockerContainer {self.id[:12]} {self.spec.kind} pid {self.pid} {state}>"

    # Start ------------------------------------------------------------------------------------------------------

    async def start(self, config: dict[str, Any], place: Place) -> None:
        """Create, attach, start. Raises ContainerError; the caller then removes it."""
        self._place = place
        name, began = self.id, time.perf_counter()
        made = await self._engine.call(lambda client: client.create_container_from_config(config, name), "create")
        self.id = made["Id"]
        created = time.perf_counter()
        self.hit("start", "before")
        self._stream = await attach(self._engine.address, self.id, self._output, self._stream_ended)
        await self._engine.call(lambda client: client.start(self.id), "create")
        self.hit("start", "after")
        found = await self._engine.call(lambda client: client.inspect_container(self.id), "create")
        self.pid = found["State"]["Pid"]
        started = time.perf_counter()
        self._cgroup = locate(self.pid, self.id) if self.pid else None
        self._connect = await self._network.door(place, self.id, self.pid)
        self._client = ActionClient(self._connect, self.spec.concurrency)
        self.stages = {"create": (created - began) * 1000, "start": (started - created) * 1000, "ready": 0.0}
        self._started = started

    def silence(self) -> None:
        """It never ran: nobody hears of its output or end."""
        self._output = lambda stream, data: None
        self._gone = None

    def take(self, place: Place) -> None:
        """Its place, given back when it is removed."""
        self._place = place

    async def adopt(self, found: dict[str, Any], place: Place) -> None:
        """Go on with an earlier process's: thaw it, attach, ask whether it answers. Raises ContainerError, OSError."""
        began = time.perf_counter()
        self.pid = found["State"]["Pid"]
        self._cgroup = locate(self.pid, self.id) if self.pid else None
        if found["State"]["Paused"]:
            await self._engine.freeze(self.id, False)
        if self._cgroup is not None:
            if self._cgroup.writable:
                await asyncio.to_thread(self._cgroup.freeze, False)
            self._kills = self._cgroup.oom_kills() or 0
        self._stream = await attach(self._engine.address, self.id, self._output, self._stream_ended)
        self._connect = await self._network.door(place, self.id, self.pid)
        await self._answers(self._connect)
        self._client = ActionClient(self._connect, self.spec.concurrency)
        self.stages = {"adopt": (time.perf_counter() - began) * 1000}

    async def _answers(self, connect: Connect) -> None:
        """Raises ContainerError unless it says anything to a request that no runtime knows; who asks limits the time."""
        loop = asyncio.get_running_loop()
        with await connect() as sock:
            await loop.sock_sendall(sock, b"GET /rewhisk HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if not await loop.sock_recv(sock, 1):
                raise ContainerError(f"Container {self.id} does not answer.")

    async def listens(self, seconds: float) -> bool:
        """Wait until a connection can be made, or never will; false if neither is so after `seconds`."""
        assert self._connect is not None
        try:
            async with asyncio.timeout(seconds):
                while not self._died.is_set():
                    try:
                        (await self._connect()).close()
                    except OSError as error:
                        if isinstance(error, TimeoutError):
                            raise
                        await asyncio.sleep(READY_STEP)
                    else:
                        break
        except TimeoutError:
            return False
        finally:
            self.stages["ready"] = (time.perf_counter() - self._started) * 1000
        return True

    # What the engine tells --------------------------------------------------------------------------------------

    def oom(self) -> None:
        """The engine's event: a process of it was killed because of its memory."""
        self._ooms += 1
        self._signs.set()

    def signalled(self) -> None:
        """The engine's event: it has sent it a signal, as somebody outside told it to or as it ends itself."""
        self._signalled = True

    def died(self) -> None:
        """The engine's event: its first process has ended. Told once to whoever asked, after its last output."""
        if not self._died.is_set():
            self._died.set()
            self._signs.set()
            self._spawn(self._tell_gone())

    async def _tell_gone(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OUTPUT_LIMIT):
                await self._output_ended.wait()
        gone, self._gone = self._gone, None
        if gone is not None and self._removal is None:
            gone()

    def _stream_ended(self) -> None:
        if not self._output_ended.is_set():
            self._output_ended.set()
            self._output("stdout", b"")
            self._output("stderr", b"")
            if self._removal is None and self._stream is not None:
                self._spawn(self.look())

    async def look(self) -> None:
        """Ask the engine whether it runs: output may end before the container, and an engine may fall silent."""
        try:
            found = await self._engine.call(lambda client: client.inspect_container(self.id))
            alive = bool(found["State"]["Running"])
        except EngineError:
            alive = False  # whether it is gone or out of reach, nothing can be done with it
        if not alive:
            self.died()

    # Calls ------------------------------------------------------------------------------------------------------

    async def init(self, body: bytes, timeout: float, limit: int) -> Result:
        """POST /init; see the contract."""
        if self._client is None or self._removal is not None:
            return Failure.REFUSED
        outages, kills = self._watch.outages, self._kills
        call = asyncio.ensure_future(self._client.post("/init", body, timeout, limit, retry=True))
        end = asyncio.ensure_future(self._died.wait())
        try:
            await asyncio.wait((call, end), return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                await asyncio.wait((call,), timeout=ENDED_GRACE)
            result: Result = call.result() if call.done() else Failure.BROKEN
        finally:
            call.cancel()
            end.cancel()
        return await self._judge(result, outages, kills)

    async def run(self, body: bytes, timeout: float, limit: int) -> Result:
        """POST /run; see the contract."""
        if self._client is None or self._removal is not None:
            return Failure.REFUSED
        outages, kills = self._watch.outages, self._kills
        return await self._judge(await self._client.post("/run", body, timeout, limit), outages, kills)

    async def _judge(self, result: Result, outages: int, kills: int) -> Result:
        """The result, unless a process was killed because of its memory since the call before ended: that outweighs it.

        A request that reached nobody is told as such: another container may have it.
        """
        if result is Failure.REFUSED or self._removal is not None:
            return result
        self._kills = max(self._kills, (self._cgroup and self._cgroup.oom_kills()) or 0)
        if self._kills > kills:
            return Failure.MEMORY
        if result is Failure.BROKEN and await self._was_cut_off(outages):
            await self.remove()
            return Failure.LOST
        if result is Failure.BROKEN and (self._cgroup is None or self._cgroup.oom_kills() is None):
            return Failure.MEMORY if await self._killed_late() else result
        if self._cgroup is None and isinstance(result, Answer) and result.status != 200 and self._ooms:
            return Failure.MEMORY
        return result

    async def _was_cut_off(self, outages: int) -> bool:
        """Whether the engine ended it: it sent a signal, or was away, and stops what runs when it starts again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_WAIT):
                await self._died.wait()
        return self._watch.disturbed_since(outages) or (self._signalled and self._died.is_set())

    async def _killed_late(self) -> bool:
        """Wait for the engine's event, or for its note once the container has ended."""
        with contextlib.suppress(TimeoutError, EngineError):
            async with asyncio.timeout(OOM_WAIT):
                while not self._ooms:
                    self._signs.clear()
                    if self._died.is_set():
                        found = await self._engine.call(lambda client: client.inspect_container(self.id))
                        if found["State"]["OOMKilled"]:
                            return True
                        await asyncio.sleep(0.15)  # measured: the note comes up to 114 ms after the connection's end
                        return bool(self._ooms)
                    await self._signs.wait()
        return bool(self._ooms)

    # Life -------------------------------------------------------------------------------------------------------

    async def pause(self) -> None:
        """Freeze it. Raises ContainerError."""
        await self._freeze(True)

    async def resume(self) -> None:
        """Undo `pause`. Raises ContainerError."""
        await self._freeze(False)

    async def _freeze(self, frozen: bool) -> None:
        if self._died.is_set() or self._removal is not None:
            raise ContainerError(f"Container {self.id} has ended.")
        if bool(self._frozen) == frozen:
            return
        by_kernel = self._frozen != "engine" and self._cgroup is not None and self._cgroup.writable
        try:
            if by_kernel and self._cgroup is not None:
                if frozen:
                    await asyncio.to_thread(self._cgroup.freeze, True)  # a task in the kernel may take its time to stop
                else:
                    self._cgroup.freeze(False)
            else:
                await self._engine.freeze(self.id, frozen)
        except OSError as error:
            raise ContainerError(f"Container {self.id} could not be {'paused' if frozen else 'resumed'}: {error}") from error
        self._frozen = ("kernel" if by_kernel else "engine") if frozen else ""

    async def remove(self) -> None:
        """Kill and clean up; returns when no process of it is left."""
        if self._removal is None:
            self._removal = asyncio.ensure_future(self._remove())
        await asyncio.shield(self._removal)

    async def _remove(self) -> None:
        if self._frozen == "kernel" and self._cgroup is not None:
            with contextlib.suppress(OSError):
                self._cgroup.freeze(False)
        attempt = 0
        while True:
            try:
                await self._engine.remove_container(self.id)
                break
            except EngineError:
                await asyncio.sleep(RETRY_REMOVAL[min(attempt, len(RETRY_REMOVAL) - 1)])
                attempt += 1
        await self._dispose()

    async def _dispose(self) -> None:
        """Close every descriptor of the node's side, after the last output."""
        if self._stream is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OUTPUT_LIMIT):
                    await self._output_ended.wait()
            self._stream.close()
        if self._client is not None:
            self._client.close()
        if self._cgroup is not None:
            self._cgroup.close()
        if self._place is not None:
            await self._network.leave(self._place)
        for task in self._tasks:
            task.cancel()
        self.forget(self)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
