"""A node as a member of a cluster: its own stream's place there, and the streams of dead nodes that it goes on with."""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

from actors.ports import Clock, Instrument
from actors.system import OnFailure
from config.limits import SystemLimits
from config.manifest import Manifest
from config.settings import Settings
from containers.contract import Driver
from messages.cluster import Heartbeat
from store.contract import Store
from store.journal import Folded
from transport.cluster_node import Cluster, ClusterStream, Spawn
from transport.core import Core
from transport.local import LocalAnswers
from transport.rerun import Held, tell_gone
from transport.taken import Home, MakeHost
from transport.takeover import Takeovers

BROKER = "The broker has not answered for {seconds:.0f} s."
PATIENCE = 5.0
"""Seconds without an answer after which people are told; pings go out every second."""


class Membership:
    """In the order of a node's life: `before`, `opened`, `resume`, `begin`, `drain`, `leave`, `close`."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        spawn: Spawn,
        instrument: Instrument,
        local: LocalAnswers,
        limits: SystemLimits,
        manifest: Manifest,
        directory: Path,
        *,
        fit: Callable[[], str | None],
        writer: str,
        on_failure: OnFailure,
        cluster: Cluster | None = None,
        make_host: MakeHost | None = None,
    ) -> None:
        self.cluster = cluster or Cluster(settings, clock, spawn, instrument)
        self.stream = ClusterStream(self.cluster, settings.id, local, fit=fit, memory=settings.memory)
        self.writer = writer
        self._settings = settings
        self._limits = limits
        self._manifest = manifest
        self._directory = directory
        self._fit = fit
        self._on_failure = on_failure
        self._make_host = make_host
        self._clock = clock
        self._before: Heartbeat | None = None
        self._remote = False
        self._takeovers: Takeovers | None = None

    def __repr__(self) -> str:
        return f"<Membership {self.stream!r} {self._takeovers!r}>"

    def open_door(self, app: Any, *, loopback: bool, unready: Callable[[], str | None]) -> Any:
        """The application with `/invoke` in front of it."""
        return self.stream.open_door(app, loopback=loopback, unready=unready)

    def status(self) -> dict[str, object]:
        """What a cluster adds to a node's state."""
        lag, unanswered = self.stream.broker()
        return {"taken": self.taken(), "kafka": {"lag": lag, "unanswered": round(unanswered, 1)}}

    def broker_problem(self) -> str | None:
        """What is wrong with the broker, as far as pings show it."""
        _, unanswered = self.stream.broker()
        return BROKER.format(seconds=unanswered) if unanswered > PATIENCE else None

    def taken(self) -> list[str]:
        """Streams of dead nodes that this one goes on with."""
        return self._takeovers.streams() if self._takeovers is not None else []

    def live(self) -> int:
        """Unfinished activations of taken streams."""
        return self._takeovers.live() if self._takeovers is not None else 0

    # Starting -----------------------------------------------------------------------------------------------------

    async def before(self, store: Store, *, died_here: bool) -> bool:
        """Look who owned the stream before; whether that one had drained."""
        self._before = before = await self.stream.before(store)
        self._remote = before is not None and elsewhere(before, died_here)
        return before.stopped if self._remote and before is not None else not died_here

    async def opened(self, store: Store, core: Core, address: str, lost: Callable[[], None]) -> None:
        """The journal is claimed: show that this process lives, and know who is blocked."""
        await self.cluster.open(store)
        await self.stream.first_beat(store, core, self.writer, self._settings.advertise or address, lost)

    def resume(self, store: Store, core: Core, noted: Container[str]) -> int:
        """Queue again what was left; what may still run on another machine waits until it can't."""
        before, settings = self._before, self._settings
        if before is None or before.stopped or not self._remote:
            return core.resume(noted)
        held = Held(store.heartbeats, core.journal.stream, before.epoch, self._clock.monotonic(), settings.lease, self._clock)
        resumed = core.resume(noted, held.hold)
        self.cluster.spawn(held.run(store.entities, settings.max_action_timeout, core.take_up))
        return resumed

    def begin(self, store: Store, driver: Driver, api_host: str, folded: Folded) -> None:
        """Read the topic, ping, watch the others."""
        self.stream.begin(store, folded.next_offsets)
        home = Home(
            self._settings,
            self._limits,
            self._manifest,
            store,
            driver,
            self.cluster,
            self._directory,
            api_host,
            self.writer,
            self._on_failure,
            self._fit,
            self._make_host,
        )
        self._takeovers = Takeovers(home, self._settings.stream)
        self.cluster.spawn(self._takeovers.run())

    # Ending -------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Say that nothing more is taken, and take nothing more."""
        self.stream.drain()
        if self._takeovers is not None:
            self._takeovers.drain()

    async def leave(self) -> None:
        """Read and say nothing more; give back what was taken."""
        if self._takeovers is not None:
            await self._takeovers.close()
        await self.stream.leave()

    async def close(self, store: Store, epoch: int, *, fenced: bool, failed: bool) -> None:
        """The containers are gone: say so, in the sign of life or, where that is another's now, beside it."""
        await self.cluster.close()
        if fenced:
            await tell_gone(store.heartbeats, self._settings.stream, self.writer, epoch)
        elif not failed:
            await self.stream.stopped()


def elsewhere(before: Heartbeat, died_here: bool) -> bool:
    """Whether the owner before was on another machine: who takes a stream has no address; else somebody died here, or drained."""
    return not before.address or (not died_here and not before.stopped)
