"""What the node has done lately, for people who look at it: the latest activations with their stages, and rates by the second.

Fed by the core's instrument. What it costs is paid by every activation, so it only stores numbers; sums are made when asked.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET, Struct

from actors.base import Progress
from messages.commands import Job
from messages.events import Finished
from messages.wire import ActivationMessage

LATEST = 50
"""Activations that are shown."""

SECONDS = 60
"""How far back rates go."""

PLACED = 20_000
"""Placed activations and made containers remembered at most; a node has no more live ones. Of more the oldest go."""


class Past(Struct):
    """An activation that has ended. Times in ms; `stages` in the order in which they passed."""

    id: str
    namespace: str
    action: str
    status_code: int
    start: str
    attempts: int
    end: int
    stages: dict[str, float]


class Second(Struct):
    """One second: ends, ends that were no success, and how long each activation took from request to end (ms)."""

    at: int
    failed: int = 0
    times: list[int] = []

    def add(self, took: int, failed: bool) -> None:
        """Count one."""
        self.times.append(took)
        self.failed += failed


class Placed(Struct):
    """How an activation got its container: warm, prewarmed or cold; `stages` of a container made for it."""

    start: str
    stages: dict[str, float]


class History:
    """`observe` is an Instrument; `wall_ms` epoch ms; `on_past` is told of each activation that has ended."""

    def __init__(self, wall_ms: Callable[[], int], on_past: Callable[[Past], None] | None = None) -> None:
        self._wall_ms = wall_ms
        self._on_past = on_past
        self._latest: deque[Past] = deque(maxlen=LATEST)
        self._seconds: deque[Second] = deque(maxlen=SECONDS)
        self._placed: dict[str, Placed] = {}
        self._made: dict[int, dict[str, float]] = {}
        self._frozen: set[int] = set()

    def __repr__(self) -> str:
        shown = f"{len(self._latest)} latest, {len(self._seconds)} seconds"
        return f"<History {shown}, {len(self._placed)} placed, {len(self._made)} made>"

    def observe(self, step: str, facts: Mapping[str, Any]) -> None:
        """Take one step of the core."""
        if step == "finished":
            self._finished(facts["finished"], facts["message"])
        elif step == "placed":
            self._place(facts["job"], facts["cid"], facts["start"])
        elif step == "paused" and facts["done"]:
            self._frozen.add(facts["cid"])
        elif step == "resumed":
            self._frozen.discard(facts["cid"])
        elif step == "up":
            _bounded(self._made)[facts["cid"]] = facts["stages"]

    def _place(self, job: Job, cid: int, start: str) -> None:
        made = self._made.pop(cid, {})
        _bounded(self._placed)[job.activation_id] = Placed(start, made if start == "cold" else {})

    def _finished(self, finished: Finished, message: ActivationMessage) -> None:
        now = self._wall_ms()
        took = max(0, finished.end - message.start)
        second = now // 1000
        if not self._seconds or self._seconds[-1].at != second:
            self._seconds.append(Second(second, times=[]))
        self._seconds[-1].add(took, finished.status_code != 0)
        placed = self._placed.pop(finished.id, None)
        past = Past(
            finished.id, message.user.namespace.name, message.action.fqn, finished.status_code,
            placed.start if placed else "", finished.attempts, finished.end, stages(finished, placed, now),
        )  # fmt: skip
        self._latest.append(past)
        if self._on_past is not None:
            self._on_past(past)

    def latest(self, namespace: str | None) -> list[Past]:
        """Newest first; of one namespace if one is named."""
        return [past for past in reversed(self._latest) if namespace in (None, past.namespace)]

    def with_frozen(self, pool: dict[str, Any]) -> dict[str, Any]:
        """The pool's overview, its frozen idle containers called paused: the pool treats them as idle ones."""
        containers = pool.get("containers", [])
        self._frozen &= {container["cid"] for container in containers}
        shown = [
            {**container, "state": "paused"} if container["state"] == "idle" and container["cid"] in self._frozen else container
            for container in containers
        ]
        return {**pool, "containers": shown}

    def seconds(self) -> list[dict[str, float]]:
        """Whole seconds in which something ended, oldest first: when (epoch s), ends, failures, p50 and p99 in ms."""
        now = self._wall_ms() // 1000
        return [
            {
                "at": second.at, "ended": len(second.times), "failed": second.failed,
                "p50": quantile(second.times, 0.5), "p99": quantile(second.times, 0.99),
            }
            for second in self._seconds
            if now - SECONDS <= second.at < now
        ]  # fmt: skip


def _bounded(known: dict[Any, Any]) -> dict[Any, Any]:
    if len(known) >= PLACED:
        del known[next(iter(known))]
    return known


def unfinished(board: Mapping[str, Progress]) -> list[dict[str, object]]:
    """The oldest LATEST unfinished activations: id, state, since when in it (epoch ms), attempt."""
    return [
        {"id": id, "state": each.state, "since": each.since, "attempt": each.attempt}
        for id, each in itertools.islice(board.items(), LATEST)
    ]


def quantile(times: list[int], share: float) -> float:
    """The smallest of `times` that `share` of them do not exceed; 0 of none."""
    if not times:
        return 0
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def stages(finished: Finished, placed: Placed | None, now: int) -> dict[str, float]:
    """Where the time went, in ms: queue, the stages of a container made for it, init, run, and until its end was durable."""
    made = placed.stages if placed is not None else {}
    waited = finished.wait_time if finished.wait_time is not UNSET else 0
    init = finished.init_time if finished.init_time is not UNSET else 0
    found: dict[str, float] = {"queue": max(0.0, round(waited - sum(made.values()), 1))}
    found |= {name: round(value, 1) for name, value in made.items()}
    if init:
        found["init"] = init
    found["run"] = max(0, finished.end - finished.start - init)
    found["commit"] = max(0, now - finished.end)
    return found
