"""A standalone node: store, journal, actors, containers and the REST API in one process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog

from actors import recovery
from actors.ports import ComponentPort
from config.limits import SystemLimits
from config.manifest import Manifest
from config.param_keys import ParamKeys
from config.settings import Settings
from containers.contract import Driver
from containers.docker import DockerDriver
from containers.host import ContainerHost
from containers.note import Note, Noted, read_idle, read_note
from messages.commands import Idle
from store.contract import Store
from store.data_dir import DataDir
from store.errors import StoreError
from store.failpoint import parse_failpoint
from store.open import open_store
from store.ports import Actions, Records
from transport.children import Children
from transport.clock import LoopClock
from transport.compositions import CompositionCore, CompositionDoor
from transport.core import Core
from transport.drivers import open_driver
from transport.history import unfinished
from transport.local import LocalAnswers, LocalInvoker
from transport.membership import Membership
from transport.observers import Observers
from transport.parts import journal_settings, pool_settings, stream_rules
from transport.policy import load_policy

STARTING = "The node is starting: it reads its journal."
ENDING = "The node is ending."
STALLED = "The node's store has not answered for {seconds:.0f} s."
FENCED = "Another process owns this node's journal."
FREE_FOR = 0.02
"""Seconds between looks whether a draining node is empty."""

FLUSH = 5.0
"""Seconds that a store which does not answer may keep a node from ending: only events that cost a repeat wait then."""

log = structlog.get_logger("node")


class Node:
    """One node of one data directory. `open`, then `drain`, then `close`; `failed` is set when it has to end by itself."""

    def __init__(
        self, settings: Settings, data_dir: DataDir, limits: SystemLimits, manifest: Manifest, param_keys: ParamKeys | None = None
    ) -> None:
        self.settings = settings
        self.param_keys = param_keys or ParamKeys()
        self.limits = limits
        self.manifest = manifest
        self.answers = LocalAnswers()
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.started = time.monotonic()
        self.draining = False
        self.low_disk: str | None = None
        self._data_dir = data_dir
        self._loop = asyncio.get_running_loop()
        self._clock = LoopClock(self._loop)
        self._observers = Observers(settings, self._clock.wall_ms, self.live, self.status)
        self.metrics = self._observers.metrics
        self._tasks: set[asyncio.Task[None]] = set()
        self._store: Store | None = None
        self._core: Core | None = None
        self._host: ContainerHost | None = None
        self._note: Note | None = None
        self._driver: Driver | None = None
        self._notes: list[str] = []
        self._policy = load_policy(settings.policy)
        self._resumed: tuple[str, ...] = ()
        self._ready = False
        self._ended = False
        self.invoker = LocalInvoker(
            self.answers, self._hand_in, self._pending, self.unready, self.unreadable, self._unfinished, self._lines, self._stream
        )
        self.compositions = CompositionDoor()
        self._failpoint = parse_failpoint(settings.failpoint) if settings.failpoint else None
        self._writer = secrets.token_hex(8)
        self.member: Membership | None = None
        """This node's place in a cluster."""
        if settings.kafka:
            self.member = Membership(
                settings, self._clock, self.spawn, self._observers.observe, self.answers, limits, manifest, data_dir.path,
                fit=self._fit, writer=self._writer, on_failure=self._actor_failed,
            )  # fmt: skip

    # Starting -----------------------------------------------------------------------------------------------------

    async def open_store(self) -> Store:
        """Open the store: the API's reads need it. Raises StoreError."""
        self._store = await open_store(
            self.settings.store, self._data_dir.path, self.settings.db_prefix, self.settings.store_ca
        )
        return self._store

    async def open(self, api_host: str, url: str, components: ComponentPort) -> int:
        """Read the journals, remove what earlier containers left, queue again what was incomplete; how much that was.

        Raises StoreError, ContainerError.
        """
        store = self._opened()
        clean = self._data_dir.died is None
        noted = read_note(self._note_path)
        driver = self._driver
        assert driver is not None
        core = self._core = self._make_core(store)
        composing = self._make_compositions(store)
        if self.member is not None:
            clean = await self.member.before(store, died_here=not clean)
        folded = await core.open(clean=clean, address=url)
        if self.member is not None:
            await self.member.opened(store, core, url, lambda: self._end(FENCED))
        await composing.open(clean=clean, address=url)
        keep = self._keepable(core, noted)
        left = await driver.leftovers(lambda container: container not in keep)
        kept = [keep[container] for container in left]
        self._note = Note(self._note_path, (each for each in noted if each.activation_id in core.journal.live), kept)
        self._host = self._make_host(driver, core, api_host)
        ahead = self._clock.monotonic() + (0.0 if clean else self.settings.run_ahead_after)
        if self.settings.kafka:
            ahead = float("inf")  # who takes this stream over elsewhere sees no note: only the journal tells what had started
        actions = Actions(store.entities, store.subjects, self.spawn)
        core.begin(self._host, Records(store.activations, self.spawn, self._clock.call_later), actions, run_ahead_from=ahead)
        core.adopt(kept)
        ids = {each.activation_id for each in noted}
        resumed = core.resume(ids) if self.member is None else self.member.resume(store, core, ids)
        resumed += self._begin_compositions(store, composing, components)
        if self.member is not None:
            self.member.begin(store, driver, api_host, folded)
        self._resumed = tuple(core.journal.live)
        self._ready = True
        return resumed

    def _begin_compositions(self, store: Store, core: CompositionCore, components: ComponentPort) -> int:
        self.compositions.core = core
        children = Children(self.invoker, self.compositions, store.activations, store.subjects, self.spawn)
        return core.begin(Records(store.activations, self.spawn, self._clock.call_later), components, children)

    def _keepable(self, core: Core, noted: list[Noted]) -> dict[str, Idle]:
        """The containers that this process may go on with: their first run is warm."""
        by_activation = {each.activation_id: each.container for each in noted}
        return recovery.keepable(read_idle(self._note_path), by_activation, core.journal.live, self.settings.memory)

    def _opened(self) -> Store:
        assert self._store is not None
        return self._store

    @property
    def _stream(self) -> str:
        return f"invoker{self.settings.id}"

    @property
    def _note_path(self) -> Path:
        return self._data_dir.path / f"note-{self._stream}.map"

    async def open_driver(self) -> None:
        """Make the container driver. Raises ConfigError, ContainerError."""
        installation = await self._opened().installation_id()
        self._driver, self._notes = await open_driver(self.settings, self.manifest, installation, self._data_dir)

    def driver_notes(self) -> list[str]:
        """What people should know about the driver here."""
        return self._notes

    @property
    def gateway(self) -> str:
        """The address of this machine on the containers' own network, empty if they have none."""
        return self._driver.gateway if isinstance(self._driver, DockerDriver) else ""

    async def open_gate(self, allowed: list[tuple[str, int]]) -> None:
        """Let actions reach these addresses of the machine, and no others where that can be had."""
        if isinstance(self._driver, DockerDriver):
            await self._driver.open_gate(allowed)
            self._notes = self._driver.notes()

    def _make_core(self, store: Store) -> Core:
        return Core(
            log=store.journal,
            stream=self._stream,
            writer=self._writer,
            clock=self._clock,
            call_soon=self._loop.call_soon,
            spawn=self.spawn,
            answers=self.answers if self.member is None else self.member.stream.answers,
            rules=stream_rules(self.settings, self.limits.payload),
            pool=pool_settings(self.settings, self.manifest),
            policy=self._policy,
            journal_settings=journal_settings(self.settings),
            instrument=self._observers.observe,
            on_failure=self._actor_failed,
            on_fenced=lambda: self._end(FENCED),
            on_failed=lambda error: self._end(str(error)),
            failpoint=self._failpoint,
            unfit=self._unfit,
            unlock=self.param_keys.unlock,
            **({} if self.member is None else self.member.stream.core_parts()),
        )

    def _unfit(self) -> str | None:
        return self.low_disk or (None if self.member is None else self.member.stream.unfit())

    def _fit(self) -> str | None:
        """Why the node may take no work of a controller's, the lease aside."""
        if not self._ready:
            return ENDING if self._ended else STARTING
        return self.low_disk or (self._driver.problem() if self._driver is not None else None)

    def open_door(self, app: Any, *, loopback: bool) -> Any:
        """The application, with `/invoke` in front of it in a cluster."""
        return app if self.member is None else self.member.open_door(app, loopback=loopback, unready=self.unready)

    def _make_compositions(self, store: Store) -> CompositionCore:
        """In a cluster `controllerN` is a controller's stream; what is composed at a node's own door has another."""
        return CompositionCore(
            log=store.journal,
            stream=f"{'compositions' if self.settings.kafka else 'controller'}{self.settings.id}",
            writer=secrets.token_hex(8),
            clock=self._clock,
            call_soon=self._loop.call_soon,
            spawn=self.spawn,
            answers=self.answers,
            rules=stream_rules(self.settings, self.limits.payload),
            journal_settings=journal_settings(self.settings),
            instrument=self.metrics.observe_composition,
            on_failure=self._actor_failed,
            on_fenced=lambda: self._end(FENCED),
            on_failed=lambda error: self._end(str(error)),
            failpoint=self._failpoint,
            unfit=lambda: self.low_disk,
        )

    def _make_host(self, driver: Driver, core: Core, api_host: str) -> ContainerHost:
        assert self._note is not None
        if isinstance(driver, DockerDriver) and self._failpoint is not None:
            driver.hit = self._failpoint
        return ContainerHost(
            driver,
            self._note,
            prefix=f"rewhisk_{self._stream}",
            labels={"rewhisk.epoch": str(core.journal.epoch)},
            env={"__OW_API_HOST": api_host},
            on_output=core.output,
            on_bug=lambda error, run_id: log.error("driver failed", activation_id=run_id, exc_info=error),
            result_limit=self.limits.payload,
            create_timeout=self.settings.create_timeout,
            failpoint=self._failpoint,
            allowed=(lambda: True) if self.member is None else self.member.stream.held,
        )

    # Running ------------------------------------------------------------------------------------------------------

    def _hand_in(self, command: Any) -> None:
        assert self._core is not None
        self._core.hand_in(command)

    def _pending(self, namespace: str, activation_id: str) -> dict[str, object] | None:
        return self._core.pending(namespace, activation_id) if self._core is not None else None

    def _lines(self, namespace: str, activation_id: str) -> list[str]:
        if self._core is None or self._core.services is None or self._pending(namespace, activation_id) is None:
            return []
        return self._core.services.lines(activation_id)

    def unreadable(self) -> str | None:
        """Why the node may not even show what is stored, or None."""
        if not self._ready or self._core is None:
            return ENDING if self._ended else STARTING
        return None

    def unready(self) -> str | None:
        """Why the node may not do all that the API asks now, or None."""
        if (reason := self.unreadable()) is not None:
            return reason
        stalled = self._stalled()
        if stalled > self.settings.lease:
            return STALLED.format(seconds=stalled)
        return self._unfit() or (self._driver.problem() if self._driver is not None else None)

    def _stalled(self) -> float:
        own = self._core.journal.stalled() if self._core is not None else 0.0
        return max(own, self.compositions.stalled(), self._store.outage() if self._store is not None else 0.0)

    def _actor_failed(self, name: str, error: Exception, message: object) -> None:
        """Logged once, with the activation."""
        log.error("actor failed", actor=name, activation_id=getattr(message, "activation_id", None), exc_info=error)
        self.metrics.observe("actor failed", {"actor": name})

    def _end(self, reason: str) -> None:
        self._ready, self._ended = False, True
        if not self.failed.done():
            self.failed.set_result(reason)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that the node depends on: if it fails, the node ends."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StoreError):
            self._end(str(error))
        elif error is not None:
            log.error("task failed", exc_info=error)
            self._end(f"internal failure: {error!r}")

    def age(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def wall_ms(self) -> int:
        """Epoch ms."""
        return self._clock.wall_ms()

    async def compact(self, now: int) -> int:
        """Delete journal documents that nothing needs. Raises StoreUnavailable, StoreFailed."""
        own = await self._core.journal.compact(now) if self._core is not None else 0
        return own + await self.compositions.compact(now)

    def live(self) -> int:
        """Activations accepted and not over, compositions among them."""
        own = len(self._core.journal.live) if self._core is not None else 0
        return own + self.compositions.live() + (self.member.live() if self.member is not None else 0)

    def running(self) -> int:
        """Activations in a container."""
        board = self._core.services.board if self._core is not None and self._core.services is not None else {}
        return sum(progress.state == "running" for progress in board.values())

    def status(self, namespace: str | None = None) -> dict[str, object]:
        """The state of the node for people and scripts; of one namespace alone if one is named."""
        core = self._core
        if core is None or core.services is None:
            return {"node": self._stream, "ready": False, "reason": self.unready(), "ended": self._ended}
        board = core.services.board
        own = {id: each for id, each in board.items() if namespace in (None, each.namespace)}
        status: dict[str, object] = {
            "node": self._stream,
            "epoch": core.journal.epoch,
            "ready": self.unready() is None,
            "reason": self.unready(),
            "draining": self.draining,
            "uptime": round(self.age(), 3),
            "queued": sum(each.state == "queued" for each in own.values()),
            "running": sum(each.state == "running" for each in own.values()),
            "latest": self._observers.history.latest(namespace),
            "unfinished": unfinished(own),
            "ended": self._ended,
        }
        if namespace is None:
            status["live"] = self.live()
            status["compositions"] = self.compositions.live()
            status |= self.member.status() if self.member is not None else {"taken": []}
            status["parts"] = self._parts()
            status["seconds"] = self._observers.history.seconds()
            status["store"] = self._opened().cost()
            status |= core.overview(self._resumed) | self._observers.history.with_frozen(core.services.pool_view())
        return status

    def _parts(self) -> dict[str, str | None]:
        """Health: each part with what is wrong with it, None if nothing is."""
        stalled = self._stalled()
        return {
            "store": STALLED.format(seconds=stalled) if stalled > self.settings.lease else None,
            "containers": self._driver.problem() if self._driver is not None else None,
            "disk": self.low_disk,
            **({} if self.member is None else {"broker": self.member.broker_problem()}),
        }

    def _unfinished(self, namespace: str) -> list[str]:
        return [activation_id for activation_id, owner in self._in_router() if owner == namespace]

    def in_flight(self) -> list[tuple[str, str]]:
        """(activation id, namespace) of what is unfinished."""
        return self._in_router() + self.compositions.in_flight()

    def _in_router(self) -> list[tuple[str, str]]:
        board = self._core.services.board if self._core is not None and self._core.services is not None else {}
        return [(activation_id, progress.namespace) for activation_id, progress in board.items()]

    # Ending -------------------------------------------------------------------------------------------------------

    async def drain(self, timeout: float) -> int:
        """Refuse new work; wait for what is live, at most `timeout` seconds; how much is left."""
        self.draining = True
        if self._core is None or self._core.services is None:
            return 0
        self._core.drain()
        self.compositions.drain()
        if self.member is not None:
            self.member.drain()
        until = self._clock.monotonic() + timeout
        while self.live() and self._clock.monotonic() < until and not self.failed.done():  # noqa: ASYNC110 - has no event
            await asyncio.sleep(FREE_FOR)
        return self.live()

    async def close(self) -> None:
        """End all containers, flush the journal, close the store. Nothing is left behind."""
        self._ready, self._ended = False, True
        if self.member is not None:
            await self.member.leave()
        if self._core is not None:
            self._core.system.shutdown()
        self.compositions.stop()
        self.answers.abort()
        if self._host is not None:
            await self._host.close()
        elif self._driver is not None:
            await self._driver.close()
        if self._core is not None and not self.failed.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH):
                    await self._core.journal.close()
                    await self.compositions.close()
        if self.member is not None and self._core is not None:
            failed = self.failed.done()
            fenced = failed and self.failed.result() == FENCED
            await self.member.close(self._opened(), self._core.journal.epoch, fenced=fenced, failed=failed)
        for task in list(self._tasks):
            task.cancel()
        if self._store is not None:
            await self._store.close()
        if self._note is not None:
            self._note.close()
        await self._observers.close()


def new_id() -> str:
    """32 lower-case hex digits: the form of activation ids, and one that transaction ids may have."""
    return os.urandom(16).hex()
