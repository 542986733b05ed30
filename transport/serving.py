"""What every process that serves the API has in common, be it a node or a controller."""

from __future__ import annotations

import contextlib
import socket
import ssl
from urllib.parse import urlsplit

from config.credentials import guest_subject, split
from config.errors import ConfigError
from config.settings import Settings
from store.contract import Store
from store.errors import Conflict
from transport.http import Tls

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


def tls_of(settings: Settings) -> Tls | None:
    """How the HTTP port is secured, if it is. Raises ConfigError for files that can't be used."""
    cert, key, client_ca = (str(path) if path else None for path in (settings.tls_cert, settings.tls_key, settings.tls_client_ca))
    if cert is None:
        if key or client_ca:
            raise ConfigError(["--tls-key and --tls-client-ca need a certificate: name it with --tls-cert"])
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"--tls-cert {cert} and --tls-key {key} can't be used: {error}"]) from None
    try:
        if client_ca is not None:
            context.load_verify_locations(client_ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"--tls-client-ca {client_ca} can't be used: {error}"]) from None
    return Tls(cert, key, client_ca)


def url_of(host: str, listener: socket.socket, tls: Tls | None = None) -> str:
    """The address at which a server on this host and socket is reached from this machine."""
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if tls else 'http'}://{shown}:{port}"


def host_of(url: str) -> str:
    """The host of a URL, or of an address without a scheme."""
    return urlsplit(url if "//" in url else f"//{url}").hostname or url


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    return host in {"localhost", "::1"} or host.startswith("127.")
