"""The door for actions: the API, and nothing else of the node, at an address that only containers reach."""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Any, Send], Awaitable[None]]

OPEN = ("/api/",)
"""Paths that actions reach; metrics, status and administration stay with the node's own address."""


class ApiOnly:
    """An ASGI application that lets through what is under OPEN."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and not str(scope["path"]).startswith(OPEN):
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send)


def listen(address: str, port: int) -> socket.socket | None:
    """A listening socket on an address of the containers' bridge: on the node's own port, else on a free one.

    None if the address isn't this machine's, as where the engine runs in a virtual machine. Raises OSError otherwise.
    """
    for number in (port, 0):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, number))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRNOTAVAIL:
                return None
            if error.errno != errno.EADDRINUSE or not number:
                raise
        else:
            listener.setblocking(False)
            return listener
    return None


def addresses(url: str) -> list[tuple[str, int]]:
    """The IPv4 addresses and the port of a URL; none if its name can't be resolved. Blocks."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({(str(each[4][0]), port) for each in found})
