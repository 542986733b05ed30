"""What every process that serves the API has in common, be it a node or a controller."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

from config.credentials import guest_subject, new_pair, split
from config.errors import ConfigError
from config.limits import SystemLimits
from config.manifest import Manifest
from config.param_keys import ParamKeys
from config.settings import Settings
from controller.deps import ApiDeps, Operator
from store.contract import Store
from store.data_dir import DataDir
from store.errors import Conflict
from store.journal_reader import accepted
from store.secret_files import ADMIN_KEY, keep_secret
from transport.clock import LoopClock
from transport.contract import Compositions, Invoker
from transport.http import Tls
from transport.node import new_id

SWITCH_INTERVAL = 0.0001
"""Seconds after which a thread that waits for the interpreter gets it. Python's 5 ms would be added to each journal write
while the loop is busy: the store's thread comes back from the disk and has to wait for it."""


class Process(Protocol):
    """A node or a controller, as its API sees it."""

    draining: bool

    @property
    def invoker(self) -> Invoker:
        """Who runs activations."""

    @property
    def compositions(self) -> Compositions:
        """Who runs sequences, conductors and fired triggers."""

    @property
    def metrics(self) -> Texts:
        """Its numbers."""

    def status(self, namespace: str | None = None) -> dict[str, object]:
        """Its state."""


class Texts(Protocol):
    """Metrics in Prometheus' form."""

    def text(self) -> bytes:
        """All of them."""


def api_deps(
    settings: Settings,
    store: Store,
    data_dir: DataDir,
    limits: SystemLimits,
    manifest: Manifest,
    url: str,
    process: Process,
    in_flight: Callable[[], Sequence[tuple[str, str]]],
    param_keys: ParamKeys,
    stop: Callable[[], None],
) -> ApiDeps:
    """What the API of this process is given. `stop` drains it: asked once more it is no second signal."""
    clock = LoopClock(asyncio.get_running_loop())
    admin = settings.admin_key or keep_secret(data_dir.path / ADMIN_KEY, split(new_pair(os.urandom))[1])
    return ApiDeps(
        entities=store.entities,
        activations=store.activations,
        subjects=store.subjects,
        invoker=process.invoker,
        compositions=process.compositions,
        manifest=manifest,
        wall_ms=clock.wall_ms,
        monotonic=clock.monotonic,
        new_activation_id=new_id,
        new_transid=new_id,
        accepted=partial(accepted, store.journal),
        cron=settings.cron,
        limits=limits,
        param_keys=param_keys,
        cors=settings.cors,
        loopback=is_loopback(settings.host),
        hosts=tuple(host_of(each) for each in (settings.host, settings.api_host, url) if each),
        operator=Operator(
            admin,
            process.status,
            lambda: None if process.draining else stop(),
            process.metrics.text,
            in_flight,
            lambda: process.draining,
        ),
    )


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
