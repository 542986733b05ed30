"""What every process that serves the API has in common, be it a node or a controller."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import urlsplit

from config.credentials import guest_subject, split
from store.contract import Store
from store.errors import Conflict

SWITCH_INTERVAL = 0.0001
"""Seconds after which a thread that waits for the interpreter gets it. Python's 5 ms would be added to each journal write
while the loop is busy: the store's thread comes back from the disk and has to wait for it."""


async def ensure_guest(store: Store, auth: str) -> None:
    """Make subject guest, or give it this key; its limits and other namespaces stay. Several processes at once are fine."""
    while True:
        stored = await store.subjects.get("guest")
        uuid, key = split(auth)
        if stored is not None and await store.subjects.by_key(uuid, key) is not None:
            return
        with contextlib.suppress(Conflict):
            await store.subjects.put("guest", guest_subject(auth), stored.rev if stored else None)


def url_of(host: str, listener: socket.socket) -> str:
    """The address at which a server on this host and socket is reached from this machine."""
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def host_of(url: str) -> str:
    """The host of a URL, or of an address without a scheme."""
    return urlsplit(url if "//" in url else f"//{url}").hostname or url


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host in {"localhost", "::1"} or host.startswith("127.")
