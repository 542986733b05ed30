"""How containers get their network and how the node reaches them: several ways behind one small interface.

As root the node opens its sockets inside the container's network namespace, so no port is published and no bridge or
firewall lies in between. A network costs the engine a hook of 115 ms at each start; a container without one, or one that joins
the namespace of a waiting container, skips it (measured: 133 and 140 ms for a start against 281).
"""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any, Protocol

from containers.client import Connect, tcp_address
from containers.docker_engine import Engine, EngineError
from containers.isolation import setns

PORT = 8080
"""Where runtimes listen: upstream's action interface."""
CLONE_NEWNET = 0x40000000
PROXY_CLOSES_WITHIN = 0.1
"""Seconds in which the engine's port proxy closes a connection behind which nothing listens; it accepts before it knows. On a
machine under load it takes longer than 20 ms."""


class Place:
    """What one container got: its part of the engine's configuration, and what the node holds for it."""

    def __init__(self, top: dict[str, Any], host: dict[str, Any]) -> None:
        self.top = top
        self.host = host
        self.namespace = -1
        self.holder: object = None

    def close(self) -> None:
        """Close the node's descriptor."""
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1


class Mismatch(EngineError):
    """The network that is there is not as it has to be, and in use."""


def holder_of(container: dict[str, Any]) -> str:
    """The id of the container whose network this one has joined, as the engine describes it; empty if it has its own."""
    mode = str(container["HostConfig"].get("NetworkMode", ""))
    return mode.removeprefix("container:") if mode.startswith("container:") else ""


class Network(Protocol):
    """One way to have a network or none. All may raise EngineError."""

    async def open(self) -> None:
        """Make what containers will share."""

    async def place(self) -> Place:
        """Room for one container."""

    async def adopt(self, found: dict[str, Any]) -> Place:
        """The place of a container of an earlier process, as the engine describes it. Raises ContainerError."""

    async def door(self, place: Place, container: str, pid: int) -> Connect:
        """How to connect to a container that has started."""

    async def leave(self, place: Place) -> None:
        """The container is gone."""

    async def close(self) -> None:
        """Remove what is shared."""


def socket_inside(namespace: int, own: int) -> socket.socket:
    """A TCP socket that lives in another network namespace. Only the calling thread visits it, and is back on return. OSError."""
    setns(namespace, CLONE_NEWNET)
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    finally:
        setns(own, CLONE_NEWNET)


def namespace_address(place: Place, own: int) -> Connect:
    """Connect to what listens inside a namespace."""

    async def connect() -> socket.socket:
        if place.namespace < 0:
            raise ConnectionRefusedError("the container has ended")
        sock = socket_inside(place.namespace, own)
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", PORT))
        except BaseException:
            sock.close()
            raise
        return sock

    return connect


def namespace_of(pid: int) -> int:
    """A descriptor of a process's network namespace. Raises OSError."""
    return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class NoNetwork:
    """Root: no network at all; the loopback inside is reached through the namespace."""

    def __init__(self) -> None:
        self._own = -1

    async def open(self) -> None:
        """See Network."""
        self._own = namespace_of(os.getpid())

    async def place(self) -> Place:
        """See Network."""
        return Place({"NetworkDisabled": True}, {})

    async def adopt(self, found: dict[str, Any]) -> Place:
        """See Network."""
        return await self.place()

    async def door(self, place: Place, container: str, pid: int) -> Connect:
        """See Network."""
        try:
            place.namespace = namespace_of(pid)
        except OSError:  # it has ended: nothing will connect
            place.namespace = -1
        return namespace_address(place, self._own)

    async def leave(self, place: Place) -> None:
        """See Network."""
        place.close()

    async def close(self) -> None:
        """See Network."""
        if self._own >= 0:
            os.close(self._own)
            self._own = -1


class Bridge:
    """The node's own bridge in the engine: containers on it don't reach each other. `internal`: nor anything outside."""

    def __init__(self, engine: Engine, name: str, labels: dict[str, str], *, internal: bool = False) -> None:
        self._engine = engine
        self._labels = labels
        self.internal = internal
        self.name = f"rewhisk-{name}"
        self.interface = f"rw{name}"[:15]
        self.gateway = ""

    async def open(self) -> None:
        """Make it anew, so that it is what is written here whatever an earlier process left, unless containers of then use it.

        Raises EngineError, Mismatch if those use one that is otherwise.
        """
        config: dict[str, Any] = {
            "Name": self.name, "CheckDuplicate": True, "Driver": "bridge", "Internal": self.internal, "Labels": self._labels,
            "Options": {"com.docker.network.bridge.name": self.interface, "com.docker.network.bridge.enable_icc": "false"},
        }  # fmt: skip

        def make(client: Any) -> dict[str, Any]:
            from docker.errors import NotFound

            try:
                found: dict[str, Any] = client.inspect_network(self.name)
            except NotFound:
                client._result(client._post_json(client._url("/networks/create"), data=config))
                found = client.inspect_network(self.name)
            return found

        await self.close()
        found = await self._engine.call(make)
        if any(found[key] != config[key] for key in ("Driver", "Internal", "Labels", "Options")):
            raise Mismatch(f"The engine has another network '{self.name}', which is in use.")
        self.gateway = str(next((each.get("Gateway", "") for each in found["IPAM"].get("Config") or []), ""))

    def is_here(self) -> bool:
        """Whether it is this machine's: then its containers' addresses lead there from everywhere on it."""
        return Path(f"/sys/class/net/{self.interface}").exists()

    async def close(self) -> None:
        """Remove it if it is there and unused."""
        try:
            await self._engine.call(lambda client: client.remove_network(self.name), "remove")
        except EngineError as error:
            if error.status not in (403, 404):
                raise

    def keep_apart(self) -> None:
        """Forbid its ports to talk to each other below the firewall too. Needs root; harmless where the kernel can't."""
        for port in Path(f"/sys/class/net/{self.interface}/brif").glob("*"):
            try:
                (port / "isolated").write_text("1")
            except OSError:
                continue


class Bridged:
    """Without root: the node's own bridge. Containers are reached by their address where this machine has the bridge or where it is
    `internal`, else, with an engine in a virtual machine or in a namespace of its own, by a port published on 127.0.0.1.
    """

    def __init__(self, engine: Engine, bridge: Bridge) -> None:
        self._engine = engine
        self._bridge = bridge
        self._direct = True

    async def open(self) -> None:
        """See Network."""
        await self._bridge.open()
        self._direct = self._bridge.internal or self._bridge.is_here()

    async def place(self) -> Place:
        """See Network."""
        host: dict[str, Any] = {"NetworkMode": self._bridge.name}
        if self._direct:
            return Place({}, host)
        port = f"{PORT}/tcp"
        return Place({"ExposedPorts": {port: {}}}, {**host, "PortBindings": {port: [{"HostIp": "127.0.0.1", "HostPort": ""}]}})

    async def adopt(self, found: dict[str, Any]) -> Place:
        """See Network."""
        return await self.place()

    async def door(self, place: Place, container: str, pid: int) -> Connect:
        """See Network. First connections to a published port are tried out: the engine's proxy accepts what leads nowhere."""
        if self._direct:
            return await address_of(self._engine, container, self._bridge.name)
        found = await self._engine.call(lambda client: client.inspect_container(container), "create")
        bound = (found["NetworkSettings"]["Ports"] or {}).get(f"{PORT}/tcp") or []
        if not bound:
            raise EngineError("The engine did not publish the container's port.")
        return _tried(tcp_address("127.0.0.1", int(bound[0]["HostPort"])))

    async def leave(self, place: Place) -> None:
        """See Network."""

    async def close(self) -> None:
        """See Network."""
        await self._bridge.close()


async def address_of(engine: Engine, container: str, network: str) -> Connect:
    """How to connect to a container by its address on a network. Raises EngineError."""
    found = await engine.call(lambda client: client.inspect_container(container), "create")
    address = (found["NetworkSettings"]["Networks"].get(network) or {}).get("IPAddress")
    if not address and found["State"]["Running"]:
        raise EngineError(f"The engine gave the container no address on network '{network}'.")
    return tcp_address(address, PORT) if address else _refused


async def _refused() -> socket.socket:
    raise ConnectionRefusedError("the container has ended")


def _tried(connect: Connect) -> Connect:
    """Connections that are held back until the other side could have closed them; once one stayed open, no longer."""
    proven = False

    async def once() -> socket.socket:
        nonlocal proven
        sock = await connect()
        if proven:
            return sock
        try:
            async with asyncio.timeout(PROXY_CLOSES_WITHIN):
                await asyncio.get_running_loop().sock_recv(sock, 1)
        except TimeoutError:
            proven = True
            return sock
        except BaseException:
            sock.close()
            raise
        sock.close()
        raise ConnectionRefusedError("nothing listens behind the published port")

    return once
