"""A dead node's stream, opened by another node beside its own: read, claimed, its topic read here, its work finished here.

It is the same start as any node's, with parts of its own: core, containers, note, sign of life. It sends no pings, so that no
controller gives it anything new. When its owner comes back, that one's claim ends it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog
from msgspec import Struct

from actors.ports import ContainerPort
from actors.system import OnFailure
from config.limits import SystemLimits
from config.manifest import Manifest
from config.settings import Settings
from containers.contract import Driver
from containers.host import ContainerHost
from containers.note import Note
from messages.cluster import Heartbeat
from messages.wire import encode
from store.contract import Store
from store.errors import Conflict
from store.ports import Actions, Records
from transport.cluster_node import Cluster, ClusterStream
from transport.core import Core
from transport.local import LocalAnswers
from transport.parts import journal_settings, pool_settings, stream_rules
from transport.rerun import Held, tell_gone
from transport.silence import Silent

SHARE = 4
"""A taken stream gets this part of the node's memory for its containers, beside what the node's own may use."""

log = structlog.get_logger("node")


class TakenHost(ContainerPort, Protocol):
    """The containers of a taken stream."""

    async def clear(self) -> None:
        """Remove every one."""


MakeHost = Callable[[Core, Callable[[], bool]], TakenHost]
"""Gives a core its containers; the second argument says whether user code may begin."""


class Home(Struct, frozen=True):
    """What a taken stream shares with the node that takes it. `fit()`: why the node may take no work, or None."""

    settings: Settings
    limits: SystemLimits
    manifest: Manifest
    store: Store
    driver: Driver
    cluster: Cluster
    directory: Path
    api_host: str
    writer: str
    on_failure: OnFailure
    fit: Callable[[], str | None]
    make_host: MakeHost | None = None
    """Other containers than the driver's, for the simulation."""


class Taken:
    """One taken stream. `open` once; `over` is called when it is another's again, or its journal fails."""

    def __init__(self, home: Home, silent: Silent, over: Callable[[str], None]) -> None:
        self.stream = silent.stream
        self._home = home
        self._silent = silent
        self._over = over
        self._lost = False
        settings = home.settings
        self._memory = max(settings.max_action_memory, settings.memory // SHARE)
        number = int(silent.stream.removeprefix("invoker"))
        self.member = ClusterStream(home.cluster, number, LocalAnswers(), fit=home.fit, memory=settings.memory, pings=False)
        self.core = self._core()
        self._host: TakenHost | None = None
        self._note: Note | None = None

    def __repr__(self) -> str:
        return f"<Taken {self.stream} live={len(self.core.journal.live)}>"

    def _core(self) -> Core:
        home, settings = self._home, self._home.settings
        pool = pool_settings(settings, home.manifest)
        return Core(
            log=home.store.journal,
            stream=self.stream,
            writer=home.writer,
            clock=home.cluster.clock,
            call_soon=home.cluster.call_soon,
            spawn=home.cluster.spawn,
            answers=self.member.answers,
            rules=stream_rules(settings, home.limits.payload),
            pool=type(pool)(memory=self._memory, idle_timeout=pool.idle_timeout),
            journal_settings=journal_settings(settings),
            instrument=home.cluster.instrument,
            on_failure=home.on_failure,
            on_fenced=self._fenced,
            on_failed=lambda error: self._ended(str(error)),
            unfit=self.member.unfit,
            **self.member.core_parts(),
        )

    async def open(self) -> int | None:
        """Take it; how much work that is, None if somebody else was quicker. Raises StoreError."""
        home, silent = self._home, self._silent
        beat = Heartbeat(home.writer, 0, silent.beat.epoch)
        try:
            await home.store.heartbeats.put(f"node:{self.stream}", encode(beat), silent.rev)
        except Conflict:
            return None
        folded = await self.core.open(clean=silent.beat.stopped)
        await self.member.first_beat(home.store, self.core, home.writer, "", self._fenced)
        self._host = (home.make_host or self._own_host)(self.core, self.member.held)
        clock, spawn, store = home.cluster.clock, home.cluster.spawn, home.store
        actions, records = Actions(store.entities, store.subjects, spawn), Records(store.activations, spawn, clock.call_later)
        self.core.begin(self._host, records, actions, run_ahead_from=float("inf"))
        held = Held(store.heartbeats, self.stream, silent.beat.epoch, silent.since, home.settings.lease, clock)
        resumed = self.core.resume((), (lambda _: False) if silent.beat.stopped else held.hold)
        spawn(held.run(store.entities, home.settings.max_action_timeout, self.core.take_up))
        self.member.begin(store, folded.next_offsets)
        return resumed

    def _own_host(self, core: Core, allowed: Callable[[], bool]) -> ContainerHost:
        home = self._home
        note = self._note = Note(home.directory / f"note-{self.stream}-taken.map")
        return ContainerHost(
            home.driver,
            note,
            prefix=f"rewhisk_{self.stream}_at{home.settings.id}",
            labels={"rewhisk.epoch": str(core.journal.epoch)},
            env={"__OW_API_HOST": home.api_host},
            on_output=core.output,
            on_bug=lambda error, run_id: log.error("driver failed", activation_id=run_id, exc_info=error),
            result_limit=home.limits.payload,
            create_timeout=home.settings.create_timeout,
            allowed=allowed,
        )

    def _fenced(self) -> None:
        self._ended("its owner is back")

    def _ended(self, reason: str) -> None:
        if not self._lost:
            self._lost = True
            log.warning("a taken stream is given up", stream=self.stream, reason=reason)
            self._over(self.stream)

    def live(self) -> int:
        """Unfinished activations."""
        return len(self.core.journal.live)

    def drain(self) -> None:
        """Take nothing more."""
        self.core.drain()
        self.member.drain()

    async def close(self) -> None:
        """End it: no word more for the stream, its containers removed, and that said."""
        await self.member.leave()
        self.core.system.shutdown()
        if self._host is not None:
            await self._host.clear()
        if self._lost:
            await tell_gone(self._home.store.heartbeats, self.stream, self._home.writer, self.core.journal.epoch)
        else:
            with contextlib.suppress(TimeoutError):
                await self.core.journal.close()
            await self.member.stopped()
        if self._note is not None:
            self._note.close()
