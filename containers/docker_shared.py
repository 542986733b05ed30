"""A network that node and containers share: for a node that runs in a container itself, beside those it makes.

Such a node sees neither the engine's processes nor its bridges. What it does as root elsewhere would reach others' processes here.
"""

from __future__ import annotations

import socket
import struct
from typing import Any
from urllib.parse import urlsplit

from containers.client import Connect
from containers.docker_engine import Engine, EngineError
from containers.docker_network import Place, address_of

CREDENTIALS = struct.Struct("iII")
"""Of a socket's other end: process, user, group."""


class Shared:
    """Containers on an existing network, reached by their address there. It is neither made nor removed."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name

    def __repr__(self) -> str:
        return f"<Shared {self._name}>"

    async def open(self) -> None:
        """See Network."""
        try:
            await self._engine.call(lambda client: client.inspect_network(self._name))
        except EngineError as error:
            if error.status == 404:
                raise EngineError(f"The engine has no network '{self._name}' (docker-network).", error.status) from error
            raise

    async def place(self) -> Place:
        """See Network."""
        return Place({}, {"NetworkMode": self._name})

    async def adopt(self, found: dict[str, Any]) -> Place:
        """See Network."""
        return await self.place()

    async def door(self, place: Place, container: str, pid: int) -> Connect:
        """See Network."""
        return await address_of(self._engine, container, self._name)

    async def leave(self, place: Place) -> None:
        """See Network."""

    async def close(self) -> None:
        """See Network."""


def is_apart(address: str) -> bool:
    """Whether whoever listens there is a process that this one can't see: this one is in a container. Blocks. Raises OSError."""
    parts = urlsplit(address)
    if parts.scheme not in ("unix", "http+unix"):
        return False
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(parts.path or parts.netloc)
        process, _, _ = CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))
    return bool(process == 0)


async def own_network(engine: Engine) -> str:
    """The network of the container that this process runs in, empty if it can't be found out. Raises EngineError."""
    try:
        found = await engine.call(lambda client: client.inspect_container(socket.gethostname()))
    except EngineError as error:
        if error.status == 404:
            return ""
        raise
    names = [name for name, each in (found["NetworkSettings"]["Networks"] or {}).items() if each.get("IPAddress")]
    return min(names, key=lambda name: (name == "bridge", name), default="")
