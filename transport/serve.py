"""`run.py node`: opens everything in order, serves, drains on a signal, closes. Returns the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import structlog
import uvloop

from config.credentials import Choice, choose
from config.defaults import manifest_for
from config.limits import SystemLimits, system_limits
from config.manifest import Manifest
from config.param_keys import ParamKeys
from config.ports import bind
from config.settings import Settings
from controller import system_packages
from controller.alarms import Alarms
from controller.app import App, create_app
from controller.components import Components
from controller.deps import ApiDeps
from store.contract import Store
from store.data_dir import DataDir
from store.errors import StoreUnavailable
from store.retention import Retention
from store.secret_files import GUEST_AUTH, keep_secret, read_secret, write_secret
from transport.gate import ApiOnly, addresses, listen
from transport.http import Server
from transport.node import Node
from transport.serving import SWITCH_INTERVAL, api_deps, ensure_guest, is_loopback, tls_of, url_of

log = structlog.get_logger("node")

LOW_DISK = "The disk of the data directory is almost full: {free} MB left."
DISK_EVERY = 1.0
"""Seconds between looks at the disk: readiness must go off before writes fail."""


COLLECT = (20_000, 20, 50)
"""Python's cycle collector: after so many new objects, and its older generations after so many rounds. Its own 700, 10, 10 cost an
eighth of the node's CPU time, to find the little that is in cycles."""


class Screen(Protocol):
    """Who is told how the node comes and goes."""

    def on_listening(self, url: str, auth: str, auth_origin: str, notes: Sequence[str] = (), *, public_auth: bool = False) -> None:
        """The port is open."""

    def on_ready(self, seconds: float, resumed: int = 0) -> None:
        """The API answers."""

    def on_draining(self, running: int, timeout: float) -> None:
        """No new work is taken."""

    def on_stopped(self, left: int) -> None:
        """The end."""


def run(settings: Settings, screen: Screen) -> int:
    """Run a node until it is told to stop. Raises ConfigError, StoreError for what the user must mend first."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(*COLLECT)
    return uvloop.run(_Serving(settings, screen).main())


class _Serving:
    def __init__(self, settings: Settings, screen: Screen) -> None:
        self.settings = settings
        self.screen = screen
        self.stop = asyncio.Event()
        self.forced = False
        self.took_up = False

    async def main(self) -> int:
        """The node's whole life."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)
        data_dir = DataDir.open(self.settings.data_dir, f"invoker{self.settings.id}")
        ended_well = False
        try:
            ended_well = await self._serve(data_dir)
        finally:
            # A start that came to nothing leaves the directory as the process before it did: drained or dead.
            data_dir.close(clean=ended_well if self.took_up else data_dir.died is None)
        return 0 if ended_well else 1

    def _signalled(self) -> None:
        """The first signal drains, a second one ends the wait."""
        self.forced = self.stop.is_set()
        self.stop.set()

    async def _serve(self, data_dir: DataDir) -> bool:
        settings = self.settings
        manifest, limits = manifest_for(settings), system_limits(settings)
        keys = ParamKeys.of(settings.param_keys)
        tls = tls_of(settings)
        listener, port_note = bind(settings.host, settings.port, "port" in settings.given)
        url = url_of(settings.host, listener, tls)
        node = Node(settings, data_dir, limits, manifest, keys)
        server: Server | None = None
        gate: Server | None = None
        try:
            store = await node.open_store()
            choice = await self._credentials(data_dir, store)
            deps = self._deps(node, store, data_dir, limits, manifest, url)
            app = create_app(deps)
            server = Server(node.open_door(app, loopback=is_loopback(settings.host)), listener, tls)
            await server.start()
            data_dir.set_url(url)
            await node.open_driver()
            gate = await self._open_gate(node, app, listener)
            notes = [note for note in (port_note, *node.driver_notes()) if note]
            self.screen.on_listening(url, choice.auth, choice.origin, notes, public_auth=choice.public)
            throttles, targets = app.api.throttles, app.api.targets
            components = Components(targets, store.subjects, limits.sequence_length, node.spawn, throttles.invocation)
            resumed = await self._open(node, settings.api_host or (gate and gate.url) or url, url, components)
            if resumed is None:
                return True
            self.took_up = True
            node.spawn(self._keep_clean(node, store))
            node.spawn(system_packages.keep_trying(app.api))
            if settings.cron:
                node.spawn(Alarms(app.api).run())
            node.spawn(self._watch_disk(node))
            gc.freeze()  # what the start made stays: no collection has to look at it
            self.screen.on_ready(node.age(), resumed)
            return await self._until_stopped(node)
        finally:
            await node.close()
            for each in (gate, server):
                if each is not None:
                    await each.stop(1.0)
            listener.close()

    async def _open(self, node: Node, api_host: str, url: str, components: Components) -> int | None:
        """How much work was taken up again; None if a signal came before: the store may take for ever. Raises StoreError."""
        opening = asyncio.create_task(node.open(api_host, url, components))
        stopping = asyncio.create_task(self.stop.wait())
        await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not opening.done():
            opening.cancel()
            await asyncio.wait((opening,))
        return None if opening.cancelled() else opening.result()

    async def _open_gate(self, node: Node, app: App, listener: socket.socket) -> Server | None:
        """Serve the API to the containers where they have a network of their own, and shut everything else to them."""
        gateway, api_host = node.gateway, self.settings.api_host
        if not gateway:
            return None
        allowed = await asyncio.to_thread(addresses, api_host) if api_host else []
        inside = listen(gateway, listener.getsockname()[1])
        gate = None
        if inside is not None:
            allowed.append((gateway, inside.getsockname()[1]))
            deps = replace(app.api.deps, loopback=True, hosts=(gateway,))
            gate = Server(ApiOnly(create_app(deps, app.api)), inside)
            await gate.start()
        await node.open_gate(allowed)
        return gate

    async def _until_stopped(self, node: Node) -> bool:
        """Wait for a signal or a failure; whether the end was clean."""
        waiting = asyncio.create_task(self.stop.wait())
        await asyncio.wait((waiting, node.failed), return_when=asyncio.FIRST_COMPLETED)
        if node.failed.done():
            waiting.cancel()
            log.error("the node ends", reason=node.failed.result())
            return False
        self.stop.clear()
        self.screen.on_draining(node.running(), self.settings.drain_timeout)
        draining = asyncio.create_task(node.drain(self.settings.drain_timeout))
        again = asyncio.create_task(self.stop.wait())
        await asyncio.wait((draining, again, node.failed), return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, again):
            task.cancel()
        self.screen.on_stopped(node.live())
        return not node.failed.done()

    async def _credentials(self, data_dir: DataDir, store: Store) -> Choice:
        path = data_dir.path / GUEST_AUTH
        if self.settings.kafka and self.settings.auth is None:
            return Choice("", "cluster")  # its subjects are made on purpose: a key of this node's would replace another's
        choice = choose(self.settings.auth, read_secret(path), os.urandom)
        if choice.origin == "random":
            choice = Choice(keep_secret(path, choice.auth), choice.origin)
        elif choice.origin == "given":
            write_secret(path, choice.auth)
        await ensure_guest(store, choice.auth)
        return choice

    def _deps(self, node: Node, store: Store, data_dir: DataDir, limits: SystemLimits, manifest: Manifest, url: str) -> ApiDeps:
        stop = self.stop.set
        return api_deps(self.settings, store, data_dir, limits, manifest, url, node, node.in_flight, node.param_keys, stop)

    async def _keep_clean(self, node: Node, store: Store) -> None:
        """Delete by age, in small steps, for ever."""
        settings = self.settings
        keep = round(settings.keep_activations * 1000)
        retention = Retention(store, node.compact, settings.data_dir, keep, settings.low_disk)
        while True:
            await asyncio.sleep(settings.retention_every)
            with contextlib.suppress(StoreUnavailable):
                await retention.tick(node.wall_ms())

    async def _watch_disk(self, node: Node) -> None:
        """Readiness goes off before writes fail, and comes back by itself."""
        while True:
            free = shutil.disk_usage(self.settings.data_dir).free
            node.low_disk = LOW_DISK.format(free=free >> 20) if free < self.settings.low_disk else None
            await asyncio.sleep(DISK_EVERY)
