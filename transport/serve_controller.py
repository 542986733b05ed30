"""`run.py controller`: opens everything in order, serves, drains on a signal, closes. Returns the exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import structlog
import uvloop

from config.credentials import GUEST, choose
from config.defaults import manifest_for
from config.limits import SystemLimits, system_limits
from config.manifest import Manifest
from config.param_keys import ParamKeys
from config.ports import bind
from config.settings import Settings
from controller import system_packages
from controller.alarms import Alarms
from controller.app import create_app
from controller.components import Components
from controller.deps import ApiDeps
from store.contract import Store
from store.data_dir import DataDir
from store.secret_files import GUEST_AUTH, write_secret
from transport.controller import Controller
from transport.http import Server
from transport.serving import SWITCH_INTERVAL, api_deps, ensure_guest, tls_of, url_of

log = structlog.get_logger("controller")


class Screen(Protocol):
    """Who is told how the controller comes and goes."""

    def on_listening(self, url: str, auth: str | None, notes: Sequence[str] = (), *, public_auth: bool = False) -> None:
        """The port is open. `auth`: the credentials of guest, if they were given."""

    def on_ready(self, seconds: float) -> None:
        """The API answers."""

    def on_draining(self, waiting: int, timeout: float) -> None:
        """No new work is taken."""

    def on_stopped(self, left: int) -> None:
        """The end."""


def run(settings: Settings, screen: Screen) -> int:
    """Run a controller until it is told to stop. Raises ConfigError, StoreError for what the user must mend first."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    return uvloop.run(_Serving(settings, screen).main())


class _Serving:
    def __init__(self, settings: Settings, screen: Screen) -> None:
        self.settings = settings
        self.screen = screen
        self.stop = asyncio.Event()

    async def main(self) -> int:
        """The controller's whole life."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop.set)
        data_dir = DataDir.open(self.settings.data_dir, f"controller{self.settings.id}")
        try:
            return 0 if await self._serve(data_dir) else 1
        finally:
            data_dir.close()

    async def _serve(self, data_dir: DataDir) -> bool:
        settings = self.settings
        manifest, limits = manifest_for(settings), system_limits(settings, cluster=True)
        tls = tls_of(settings)
        listener, port_note = bind(settings.host, settings.port, "port" in settings.given)
        url = url_of(settings.host, listener, tls)
        controller = Controller(settings, data_dir, manifest)
        server: Server | None = None
        try:
            store = await controller.open_store()
            auth = None if settings.auth is None else choose(settings.auth, None, os.urandom).auth
            if auth is not None:
                write_secret(data_dir.path / GUEST_AUTH, auth)
            app = create_app(self._deps(controller, store, data_dir, limits, manifest, url))
            server = Server(app, listener, tls)
            await server.start()
            data_dir.set_url(url)
            self.screen.on_listening(url, auth, [port_note] if port_note else [], public_auth=auth == GUEST)
            components = Components(
                app.api.targets, store.subjects, limits.sequence_length, controller.spawn, app.api.throttles.invocation
            )
            opening = asyncio.create_task(self._open(controller, store, auth, components))
            if not await self._until(opening, controller):
                return not controller.failed.done()
            controller.spawn(system_packages.keep_trying(app.api))
            if settings.cron and settings.id == 0:
                controller.spawn(Alarms(app.api).run())
            self.screen.on_ready(controller.age())
            return await self._until_stopped(controller)
        finally:
            await controller.close()
            if server is not None:
                await server.stop(1.0)
            listener.close()

    async def _open(self, controller: Controller, store: Store, auth: str | None, components: Components) -> None:
        await controller.open(components)
        if auth is not None:
            await ensure_guest(store, auth)

    async def _until(self, task: asyncio.Task[None], controller: Controller) -> bool:
        """Whether a task came to its end before a signal or a failure did; else it is called off. Raises what it raised."""
        stopping = asyncio.create_task(self.stop.wait())
        await asyncio.wait((task, stopping, controller.failed), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
        if not task.cancelled():
            task.result()
        return not task.cancelled()

    async def _until_stopped(self, controller: Controller) -> bool:
        """Wait for a signal or a failure; whether the end was clean."""
        waiting = asyncio.create_task(self.stop.wait())
        await asyncio.wait((waiting, controller.failed), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if controller.failed.done():
            log.error("the controller ends", reason=controller.failed.result())
            return False
        self.stop.clear()
        self.screen.on_draining(len(controller.invoker.answers), self.settings.drain_timeout)
        left = 0

        async def drain() -> None:
            nonlocal left
            left = await controller.drain(self.settings.drain_timeout)

        await self._until(asyncio.create_task(drain()), controller)
        self.screen.on_stopped(len(controller.invoker.answers))
        return not controller.failed.done()

    def _deps(
        self, controller: Controller, store: Store, data_dir: DataDir, limits: SystemLimits, manifest: Manifest, url: str
    ) -> ApiDeps:
        keys, stop = ParamKeys.of(self.settings.param_keys), self.stop.set
        unfinished = controller.invoker.unfinished
        deps = api_deps(self.settings, store, data_dir, limits, manifest, url, controller, unfinished, keys, stop)
        operator = replace(deps.operator, invokers=controller.invokers)
        return replace(deps, controller=controller.id, controllers=controller.controllers, operator=operator)
