"""The driver for a Docker engine: real isolation, started as quickly as the engine can.

Every container drops all capabilities, gains no privileges, has the engine's seccomp profile, limits of memory (without swap),
processes and files, and no log on disk: its output comes over the attached stream. Labels say whose it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from containers import outcome
from containers.contract import (
    Container,
    ContainerError,
    ContainerSpec,
    CreateFailed,
    ImageMissing,
    KindUnavailable,
    Output,
    Unavailable,
)
from containers.docker_cgroup import locate
from containers.docker_config import CONFIG, DockerOptions, container_config, holder_config
from containers.docker_container import DockerContainer
from containers.docker_engine import Engine, EngineError
from containers.docker_firewall import Firewall, FirewallError
from containers.docker_network import Bridge, Bridged, Mismatch, Network, NoNetwork, Place, holder_of
from containers.docker_sandbox import Sandboxes
from containers.docker_shared import Shared, is_apart, own_network
from containers.docker_watch import EngineWatch
from containers.images import OWN, PAUSE, Images, Say

if TYPE_CHECKING:
    from docker import APIClient

INSTALLATION, STREAM, PROCESS, ROLE = "rewhisk.installation", "rewhisk.stream", "rewhisk.process", "rewhisk.role"
BOOT_LIMIT = 1.0
"""Seconds that a start keeps its turn while its runtime boots; one that takes longer must not hold up the others."""
READY_LIMIT = 10.0
"""Seconds that creating waits for the runtime to listen; later it is the wait of /init, whose time limit then runs."""
ENGINE_FAILED = 500
"""HTTP status from which on the fault is the engine's: seen about once in 500 starts, "cannot start a stopped process"."""
REMOVALS = 4
ADOPT_LIMIT = 5.0
"""Seconds for a container of an earlier process to show that it still answers; then it is removed."""
CLOSE_LIMIT = 30.0
"""Seconds for the engine to remove everything at the end; what is left then goes at the next start."""
LATE_SWEEP = 30.0
"""Seconds after which a container is looked for whose creation the engine didn't answer."""
KINDS = {"python": f"{OWN}python:3.11", "nodejs": f"{OWN}nodejs:20"}
"""Images for kinds of which the manifest names none, by family."""


NO_PROGRAM = re.compile(r"executable file not found|exec: .*(no such file or directory|permission denied)")
"""How the engine says that an image's own command can't be run."""


class DockerDriver:
    """Makes containers of one engine. `as_root` false: it goes without what only root may do."""

    name = "docker"

    def __init__(
        self,
        installation: str,
        stream: str,
        options: DockerOptions | None = None,
        *,
        say: Say = lambda text: None,
        warn: Say = lambda text: None,
        as_root: bool | None = None,
        starts: int = 0,
    ) -> None:
        self.options = options or DockerOptions()
        self.engine = Engine(self.options.address)
        self.images = Images(self.engine, say, source=self.options.source)
        self._owner = {INSTALLATION: installation, STREAM: stream}
        self._labels = {**self._owner, PROCESS: secrets.token_hex(8)}
        self._tag = hashlib.sha256(f"{installation}/{stream}".encode()).hexdigest()[:10]
        self._as_root = os.geteuid() == 0 if as_root is None else as_root
        self._bridge = Bridge(self.engine, self._tag, self._owner, internal=self.options.network == "none")
        self._network: Network = self._choose_network()
        self._firewall: Firewall | None = None
        self._starting = asyncio.Semaphore(starts or os.cpu_count() or 1)
        self._removing = asyncio.Semaphore(REMOVALS)
        self._containers: dict[str, DockerContainer] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._notes: list[str] = []
        self._closed = True
        self.hit: Callable[[str, str], None] = lambda step, position: None
        filters = {"type": ["container"], "event": ["die", "kill", "oom"], "label": _filters(self._owner)}
        self._watch = EngineWatch(self.engine, json.dumps(filters), self._seen, self._look, self._try_out, warn)

    def __repr__(self) -> str:
        return f"<DockerDriver {self._tag} {self.options.network} {len(self._containers)} containers, {self.engine!r}>"

    def _choose_network(self) -> Network:
        if self.options.network == "none":
            return NoNetwork() if self._as_root else Bridged(self.engine, self._bridge)
        if self._as_root:
            return Sandboxes(self.engine, self.images, self._bridge, self._holder_config, self._unique)
        return Bridged(self.engine, self._bridge)

    async def _look_around(self) -> None:
        """Find out whether this process sees the engine's; without that it goes by a network that both are on."""
        shared = self.options.shared
        if not shared and await asyncio.to_thread(is_apart, self.engine.address):
            shared = await own_network(self.engine)
            self._as_root, self._network = False, Bridged(self.engine, self._bridge)
        if shared:
            self._as_root, self._network = False, Shared(self.engine, shared)
            self._notes.append(f"Containers are on network '{shared}' with the node: they reach each other and all that is on it.")

    # The driver -------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, listen to the engine's events, make the containers' network unless it is there as it should be.

        Raises ContainerError.
        """
        if self.options.network not in ("bridge", "none"):
            raise ContainerError(
                f"--action-network {self.options.network} can't be had with Docker: actions would reach everything that listens "
                "on this machine. Use bridge, or none."
            )
        await self.engine.connect()
        self._closed = False
        try:
            await self._watch.open()
            await self._look_around()
            try:
                await self._network.open()
            except Mismatch:  # an earlier process's containers are in the way of the network as it has to be now
                await self.leftovers(lambda identity: True)
                await self._network.open()
        except BaseException:
            await self.close()
            raise

    @property
    def gateway(self) -> str:
        """The machine's address on the containers' bridge, empty if they have none."""
        return self._bridge.gateway

    async def open_gate(self, allowed: list[tuple[str, int]]) -> None:
        """Let actions reach these addresses of the machine and nothing else of it, as far as this process may decide that."""
        if not self._bridge.gateway:
            return
        if not self._as_root:
            self._notes.append("Actions can reach other ports of this machine: only root can set up a firewall for them.")
            return
        self._firewall = Firewall(self._bridge.interface)
        try:
            await asyncio.to_thread(self._firewall.set_up, allowed)
        except FirewallError as error:
            self._notes.append(f"Actions can reach other ports of this machine: {error}.")

    def notes(self) -> list[str]:
        """What people should know about this driver on this machine."""
        return list(self._notes)

    def problem(self) -> str | None:
        """What is wrong with the engine now, or None."""
        return self._watch.problem()

    async def prepare(self, spec: ContainerSpec) -> None:
        """Make or pull its image. Raises ContainerError."""
        await self._image(spec)

    async def create(self, spec: ContainerSpec, output: Output, gone: Callable[[], None]) -> Container:
        """A started container; see the contract. Raises ContainerError."""
        if self._closed:
            raise CreateFailed("The Docker driver is not open.")
        making = self._spawn(self._create(spec, output, gone))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            self._spawn(_undo(making))
            raise

    async def leftovers(self, kill: Callable[[str], bool]) -> list[str]:
        """Remove containers of earlier processes of this node for whose id `kill` is true, and all that only hold networks."""
        found = await self.engine.call(lambda client: client.containers(all=True, filters={"label": _filters(self._owner)}))
        there = {each["Id"]: each for each in found}
        own = {container.id for container in self._containers.values()}
        earlier = {identity for identity, each in there.items() if self._is_earlier(each.get("Labels") or {})} - own
        actions = {identity for identity in earlier if there[identity]["Labels"].get(ROLE) == "action"}
        kept = {identity for identity in actions if not kill(identity)}
        held = {holder_of(there[identity]) for identity in kept | (own & there.keys())}
        await asyncio.gather(*(self._sweep(identity) for identity in earlier - kept - held))
        return sorted(kept)

    async def adopt(self, identity: str, spec: ContainerSpec, output: Output, gone: Callable[[], None]) -> Container:
        """Go on with a container of an earlier process of this node; see the contract. Raises ContainerError."""
        found = await self.engine.call(lambda client: client.inspect_container(identity))
        if not self._is_earlier(found["Config"]["Labels"] or {}):
            raise ContainerError(f"Container {identity} is not this node's.")
        container = DockerContainer(identity, spec, self.engine, self._watch, self._network, output, self._known(gone))
        self._containers[identity] = container
        container.forget = self._forget
        try:
            async with asyncio.timeout(ADOPT_LIMIT):
                place = await self._network.adopt(found)
                container.take(place)
                await self._recognise(found, spec, place)
                await container.adopt(found, place)
        except BaseException as error:
            container.silence()
            await container.remove()
            if isinstance(error, OSError):  # the time limit's too
                raise ContainerError(f"Container {identity} does not answer.") from error
            raise
        return container

    async def _recognise(self, found: dict[str, Any], spec: ContainerSpec, place: Place) -> None:
        """Raises ContainerError unless it runs and is as it would be made now."""
        labels, image = found["Config"]["Labels"], found["Config"]["Image"]
        name = await self._image(spec) if not spec.user_image else spec.image
        current = await self.engine.call(lambda client: client.inspect_image(name))
        wanted = self._config(spec, name, place)["Labels"][CONFIG]
        if labels.get(CONFIG) != wanted or found["Image"] != current["Id"]:
            raise ContainerError(f"Container {found['Id']} of image {image} would be made otherwise now.")
        if not found["State"]["Running"]:
            raise ContainerError(f"Container {found['Id']} has ended.")

    async def close(self) -> None:
        """Remove everything of this driver; afterwards nothing is left."""
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT):
                await self._remove_all()
        if self._firewall is not None:
            await asyncio.to_thread(self._firewall.remove)
            self._firewall = None
        await self._watch.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.engine.close()

    async def _remove_all(self) -> None:
        while self._containers:
            await asyncio.gather(*(container.remove() for container in list(self._containers.values())))
            await asyncio.sleep(0)
        with contextlib.suppress(EngineError):
            await self._network.close()
            await self._bridge.close()  # an earlier process's, if this one uses none

    # Creating ---------------------------------------------------------------------------------------------------

    async def _create(self, spec: ContainerSpec, output: Output, gone: Callable[[], None]) -> Container:
        image = await self._image(spec)
        asked = time.perf_counter()
        async with self._starting:
            if self._closed:
                raise CreateFailed("The Docker driver is not open.")
            queued = time.perf_counter()
            container, placed = await self._started(spec, image, output, self._known(gone))
            try:
                listens = await container.listens(BOOT_LIMIT)
            except BaseException:
                await container.remove()
                raise
        if not listens:
            await container.listens(READY_LIMIT - BOOT_LIMIT)
        container.stages |= {"queue": (queued - asked) * 1000, "network": (placed - queued) * 1000}
        return container

    async def _started(
        self, spec: ContainerSpec, image: str, output: Output, gone: Callable[[], None]
    ) -> tuple[DockerContainer, float]:
        """A container that runs, and when it had its place; on a fresh one if the engine failed to start the first."""
        try:
            try:
                return await self._attempt(spec, image, output, gone)
            except EngineError as error:
                if error.status < ENGINE_FAILED or NO_PROGRAM.search(str(error)):
                    raise
            return await self._attempt(spec, image, output, gone)
        except EngineError as error:
            raise await self._refusal(error, image, spec) from error

    async def _attempt(
        self, spec: ContainerSpec, image: str, output: Output, gone: Callable[[], None]
    ) -> tuple[DockerContainer, float]:
        """As `_started`. Raises EngineError; nothing is left or heard of it then."""
        place = await self._network.place()
        placed = time.perf_counter()
        container = DockerContainer(self._unique(spec.name), spec, self.engine, self._watch, self._network, output, gone)
        self._containers[container.id] = container
        container.forget, container.hit = self._forget, self.hit
        try:
            await container.start(self._config(spec, image, place), place)
        except BaseException as error:
            container.silence()
            if isinstance(error, EngineError) and not error.status:
                self._spawn(self._sweep_late(container))
            else:
                await container.remove()
            raise
        return container, placed

    def _known(self, gone: Callable[[], None]) -> Callable[[], None]:
        return lambda: None if self._closed else gone()

    def _forget(self, container: DockerContainer) -> None:
        self._containers = {key: each for key, each in self._containers.items() if each is not container}

    async def _image(self, spec: ContainerSpec) -> str:
        """The reference to create from. Raises ContainerError."""
        name = spec.image or self.options.images.get(spec.kind) or KINDS.get(spec.kind.partition(":")[0], "")
        if not name:
            raise KindUnavailable(f"Kind '{spec.kind}' can't run here: the manifest of runtimes names no image for it.")
        try:
            if name.startswith(OWN):
                return await self.images.own(name)
            if not await self.images.fetch(name, always=spec.user_image and _is_moving(name)):
                raise (ImageMissing if spec.user_image else KindUnavailable)(
                    outcome.image_text(name)
                    if spec.user_image
                    else f"Kind '{spec.kind}' can't run here: the engine has no image '{name}' and can't pull it."
                )
        except EngineError as error:
            raise await self._refusal(error, name, spec) from error
        return name

    def _unique(self, name: str) -> str:
        """A name that no other container has, of the characters that the engine takes."""
        return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name)[:150] or 'rewhisk'}_{self._tag[:6]}_{secrets.token_hex(4)}"

    def _config(self, spec: ContainerSpec, image: str, place: Place) -> dict[str, Any]:
        return container_config(self.options, {**self._labels, ROLE: "action"}, spec, image, place)

    def _holder_config(self) -> dict[str, Any]:
        return holder_config(self.options, {**self._labels, ROLE: "network"})

    # What earlier processes left ----------------------------------------------------------------------------------

    def _is_earlier(self, labels: dict[str, str]) -> bool:
        """Whether it is this node's and not this process's own; the engine has filtered, this looks again."""
        return all(labels.get(key) == value for key, value in self._owner.items()) and labels.get(PROCESS) != self._labels[PROCESS]

    async def _sweep(self, identity: str) -> None:
        """Remove one, thawed first: the engine doesn't know what was frozen behind its back. Raises EngineError."""
        async with self._removing:
            try:
                found = await self.engine.call(lambda client: client.inspect_container(identity), "remove")
            except EngineError as error:
                if error.status == 404:
                    return
                raise
            cgroup = await asyncio.to_thread(locate, found["State"]["Pid"], identity) if found["State"]["Pid"] else None
            if cgroup is not None:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(cgroup.freeze, False)
                cgroup.close()
            await self.engine.remove_container(identity)

    async def _sweep_late(self, container: DockerContainer) -> None:
        """Remove what the engine didn't answer for: it may be there, and may still come to be there."""
        name = container.id
        await container.remove()
        await asyncio.sleep(LATE_SWEEP)
        with contextlib.suppress(EngineError):
            await self.engine.remove_container(name)

    # The engine's health ------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        await asyncio.gather(*(container.look() for container in list(self._containers.values())))

    async def _try_out(self) -> None:
        """Make a container of the smallest image and remove it. Raises EngineError."""
        config = {**self._holder_config(), "Image": await self.images.own(PAUSE), "NetworkDisabled": True}

        def make(client: APIClient) -> None:
            identity = client.create_container_from_config(config, self._unique("try"))["Id"]
            try:
                client.start(identity)
            finally:
                client.remove_container(identity, force=True)

        await self.engine.call(make, "create")

    async def _refusal(self, error: EngineError, image: str, spec: ContainerSpec) -> ContainerError:
        """Whose fault a failed creation is: an image that holds no such program is its maker's."""
        if NO_PROGRAM.search(str(error)):
            return ImageMissing(f"executable file not found in image {image}") if spec.user_image else CreateFailed(str(error))
        if _is_engines(error) and await self._watch.is_to_blame(error):
            return Unavailable(str(error))
        return CreateFailed(str(error))

    def _seen(self, event: dict[str, Any]) -> None:
        identity = event.get("id")
        for container in self._containers.values():
            if container.id == identity:
                {"oom": container.oom, "kill": container.signalled}.get(str(event.get("Action")), container.died)()
                return

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _filters(labels: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in labels.items()]


def _is_moving(image: str) -> bool:
    """Whether what the name means may change: no tag, or `latest`. Those are pulled at each creation, as upstream does."""
    last = image.rpartition("/")[2]
    return "@" not in last and last.partition(":")[2] in ("", "latest")


def _is_engines(error: EngineError) -> bool:
    return not error.status or error.status >= ENGINE_FAILED


async def _undo(making: asyncio.Task[Any]) -> None:
    """Remove a container for which nobody waits any more, once it is there."""
    with contextlib.suppress(ContainerError):
        await (await making).remove()
