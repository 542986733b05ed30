"""LogReader: one for all containers. Puts output into lines, gives each activation its own, ends by the sentinels.

A run's collection goes on until the run is answered, then waits for both sentinels as long as output comes: at most
`log_wait` without any, and in all as long as the log limit allows.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from thespian.actors import WakeupMessage

from actors.base import NodeActor, Services
from actors.system import Restarted
from containers.logs import LogDemux, log_time, notes_for
from messages.commands import LogChunk, Logs, LogsBegin, LogsEnd, LogsForget, LogsReset

MB = 1024 * 1024
OVERALL_FLOOR_MB = 5
OVERALL_PER_MB = 2.0
"""A collection ends after max(5, log limit in MB) x 2 s however lines keep coming: upstream's rule."""


class Collecting:
    """The logs of one run: `limit` in bytes; `heard` and `until` (monotonic seconds) count from its end."""

    __slots__ = ("end", "heard", "limit", "until")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.end: LogsEnd | None = None
        self.heard = 0.0
        self.until = 0.0


class LogReader(NodeActor):
    """Reads the output of every container of the node."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.demuxes: dict[int, LogDemux] = {}
        self.runs: dict[int, dict[str, Collecting]] = {}
        self.closing = 0
        self.ticking = False
        services.lines = self.lines

    def __repr__(self) -> str:
        return f"<LogReader {len(self.demuxes)} containers, {self.closing} closing>"

    def lines(self, activation_id: str) -> list[str]:
        """What a run has printed so far; nothing once its logs are handed on."""
        cids = [cid for cid, runs in self.runs.items() if activation_id in runs]
        return self._demux(cids[0]).lines(activation_id) if cids else []

    def on_chunk(self, message: LogChunk) -> None:
        """Output of a container."""
        demux = self._demux(message.cid)
        demux.feed(message.stream, message.data, log_time(message.at))
        if not self.closing:
            return
        for activation_id, run in list(self.runs.get(message.cid, {}).items()):
            if run.end is not None:
                run.heard = self.services.clock.monotonic()
                if demux.is_complete(activation_id):
                    self._close(run.end)

    def on_begin(self, message: LogsBegin) -> None:
        """The next output of this container is this activation's."""
        self._demux(message.cid).begin(message.activation_id, message.limit)
        self.runs.setdefault(message.cid, {})[message.activation_id] = Collecting(message.limit)

    def on_end(self, message: LogsEnd) -> None:
        """The run was answered: close now if both sentinels are there or none is to be waited for."""
        run = self.runs.get(message.cid, {}).get(message.activation_id)
        if run is None or not message.wait or self._demux(message.cid).is_complete(message.activation_id):
            self._close(message)
            return
        run.end, run.heard = message, self.services.clock.monotonic()
        run.until = run.heard + max(OVERALL_FLOOR_MB, run.limit / MB) * OVERALL_PER_MB
        self.closing += 1
        self._tick_later()

    def _close(self, end: LogsEnd) -> None:
        run = self.runs.get(end.cid, {}).pop(end.activation_id, None)
        if run is not None and run.end is not None:
            self.closing -= 1
        now = log_time(self.services.clock.wall_ms() * 1_000_000)
        collected = self._demux(end.cid).collect(end.activation_id, now, marked=end.wait)
        limit = run.limit if run is not None else MB  # begun with a reader before this one, whose lines are lost
        lines = collected.lines + notes_for(collected, sentinels=True, developer_error=end.failed, limit=limit, time=now)
        intact = collected.complete and not collected.truncated
        logs = Logs(end.cid, end.activation_id, lines, intact)
        self.send(self.services.directory.writer, logs)
        if end.proxy is not None:
            self.send(end.proxy, logs)

    def _demux(self, cid: int) -> LogDemux:
        demux = self.demuxes.get(cid)
        if demux is None:
            demux = self.demuxes[cid] = LogDemux()
        return demux

    def _tick_later(self) -> None:
        if not self.ticking:
            self.ticking = True
            self.wakeupAfter(timedelta(seconds=self.services.rules.log_wait / 4))

    def on_wakeup(self, message: WakeupMessage) -> None:
        """Give up on sentinels that don't come."""
        self.ticking = False
        now = self.services.clock.monotonic()
        ends = [run.end for runs in self.runs.values() for run in runs.values() if run.end is not None and self._over(run, now)]
        for end in ends:
            self._close(end)
        if self.closing:
            self._tick_later()

    def _over(self, run: Collecting, now: float) -> bool:
        return now - run.heard >= self.services.rules.log_wait or now >= run.until

    def on_forget(self, message: LogsForget) -> None:
        """The container is gone."""
        for activation_id, run in list(self.runs.get(message.cid, {}).items()):
            self._close(run.end or LogsEnd(message.cid, activation_id, False, False, None))
        self.runs.pop(message.cid, None)
        self.demuxes.pop(message.cid, None)

    def on_restarted(self, message: Restarted) -> None:
        """A bug ended the instance before: what it was collecting is lost, and whoever waits is told."""
        self.send(self.services.directory.router, LogsReset())

    HANDLERS: ClassVar = {
        LogChunk: on_chunk,
        LogsBegin: on_begin,
        LogsEnd: on_end,
        LogsForget: on_forget,
        WakeupMessage: on_wakeup,
        Restarted: on_restarted,
    }
