"""Network namespaces that wait for containers: each is held by a container of one tiny program that does nothing.

One container at a time has a namespace, so containers share nothing. A namespace serves again after its container is gone:
no process and no open socket of it is left then, and nobody inside may change addresses, routes or rules.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from containers.client import Connect
from containers.contract import ContainerError
from containers.docker_engine import Engine
from containers.docker_network import Bridge, Place, holder_of, namespace_address, namespace_of
from containers.images import PAUSE, Images

if TYPE_CHECKING:
    from docker import APIClient

KEPT = 2
"""Namespaces that wait for a container, ahead of demand: one for each start that a small machine does at a time."""
RETRY = 1.0
"""Seconds between attempts at what an engine that is away can't do."""
KEPT_AFTER_USE = 8
"""That many may wait when containers went; each holds 0.5 MB, the engine's helper process 5 MB more."""


class Sandbox:
    """One namespace and its holder."""

    __slots__ = ("id", "namespace", "pid")

    def __init__(self, identity: str, pid: int, namespace: int) -> None:
        self.id = identity
        self.pid = pid
        self.namespace = namespace


class Sandboxes:
    """Root: containers join a waiting namespace on the node's own bridge."""

    def __init__(
        self,
        engine: Engine,
        images: Images,
        bridge: Bridge,
        config: Callable[[], dict[str, Any]],
        own: Callable[[str], str],
    ) -> None:
        self._engine = engine
        self._images = images
        self._bridge = bridge
        self._config = config  # what every holder has: labels, DNS, limits
        self._name = own  # makes a unique container name
        self._waiting: deque[Sandbox] = deque()
        self._making: set[asyncio.Task[None]] = set()
        self._home = -1
        self._image = ""
        self._open = False

    def __repr__(self) -> str:
        return f"<Sandboxes {len(self._waiting)} waiting, {len(self._making)} being made or removed>"

    async def open(self) -> None:
        """See Network."""
        await self._bridge.open()
        self._image = await self._images.own(PAUSE)
        self._home = namespace_of(os.getpid())
        self._open = True
        self._refill()

    async def place(self) -> Place:
        """See Network."""
        sandbox = self._take() or await self._make()
        self._refill()
        place = Place({}, {"NetworkMode": f"container:{sandbox.id}"})
        place.holder = sandbox
        place.namespace = sandbox.namespace
        return place

    async def adopt(self, found: dict[str, Any]) -> Place:
        """See Network."""
        identity = holder_of(found)
        state = (await self._engine.call(lambda client: client.inspect_container(identity)))["State"]
        if not state["Running"]:
            await self._engine.remove_container(identity)
            raise ContainerError(f"The holder of its network, container {identity}, has ended.")
        place = Place({}, {"NetworkMode": f"container:{identity}"})
        place.holder = Sandbox(identity, state["Pid"], namespace_of(state["Pid"]))
        place.namespace = place.holder.namespace
        return place

    async def door(self, place: Place, container: str, pid: int) -> Connect:
        """See Network."""
        return namespace_address(place, self._home)

    async def leave(self, place: Place) -> None:
        """See Network."""
        sandbox, place.holder, place.namespace = place.holder, None, -1
        if not isinstance(sandbox, Sandbox):
            return
        if self._open and len(self._waiting) < KEPT_AFTER_USE and _alive(sandbox):
            self._waiting.append(sandbox)
        else:
            self._spawn(self._remove(sandbox))

    async def close(self) -> None:
        """See Network."""
        self._open = False
        while self._making:
            await asyncio.wait(self._making)
        await asyncio.gather(*(self._remove(sandbox) for sandbox in self._waiting))
        self._waiting.clear()
        await self._bridge.close()
        if self._home >= 0:
            os.close(self._home)
            self._home = -1

    def _take(self) -> Sandbox | None:
        """One that waits and whose holder still runs; what killed the others is not asked."""
        while self._waiting:
            sandbox = self._waiting.popleft()
            if _alive(sandbox):
                return sandbox
            self._spawn(self._remove(sandbox))
        return None

    def _refill(self) -> None:
        if self._open and len(self._waiting) + len(self._making) < KEPT:
            self._spawn(self._make_ahead())

    async def _make_ahead(self) -> None:
        try:
            self._waiting.append(await self._make())
        except ContainerError:  # who needs one makes one, and is told what is wrong
            await asyncio.sleep(RETRY)

    async def _make(self) -> Sandbox:
        """A new namespace. Raises EngineError; leaves nothing then."""
        config = self._config()
        config["Image"] = self._image
        config["HostConfig"] = {**config["HostConfig"], "NetworkMode": self._bridge.name}
        name = self._name("pause")

        def make(client: APIClient) -> Sandbox:
            identity = client.create_container_from_config(config, name)["Id"]
            client.start(identity)
            pid = client.inspect_container(identity)["State"]["Pid"]
            self._bridge.keep_apart()
            return Sandbox(identity, pid, namespace_of(pid))

        try:
            return await self._engine.call(make, "create")
        except BaseException:
            self._spawn(self._discard(name))
            raise

    async def _remove(self, sandbox: Sandbox) -> None:
        os.close(sandbox.namespace)
        await self._discard(sandbox.id)

    async def _discard(self, identity: str) -> None:
        """Remove a holder, or what may be there of one, by id or name. An engine that is away is waited for."""
        while True:
            try:
                return await self._engine.remove_container(identity)
            except ContainerError:
                await asyncio.sleep(RETRY)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._making.add(task)
        task.add_done_callback(self._made)

    def _made(self, task: asyncio.Task[None]) -> None:
        self._making.discard(task)
        self._refill()


def _alive(sandbox: Sandbox) -> bool:
    """Whether its holder runs: the descriptor would keep the namespace, but nobody could join it by the holder's name."""
    return Path(f"/proc/{sandbox.pid}").exists()
