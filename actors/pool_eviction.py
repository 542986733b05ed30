"""Which containers have to go, for somebody who waits or because they were idle for too long. Chooses only; the pool removes."""

from __future__ import annotations

from collections import Counter

from actors.pool_cells import Cells
from actors.pool_cost import REMEMBERED, Estimates
from actors.pool_state import NEVER, Alarm, Container, Containers, Owner, PoolSettings, Shape, State, Waiting
from messages.commands import Start

SPARED = 1.0
"""Seconds, at most, for which an idle container is safe from eviction because making it anew would take as long: two actions
that are called in turn would otherwise evict each other at every call (user-pain 7)."""


def shape_of_start(start: Start) -> Shape:
    """The shape of a container that was asked for like this."""
    return Shape(start.kind, start.image, start.memory, start.user_image)


class Eviction:
    """Answers questions about the idle and the empty containers; sets the alarm for when an answer will change."""

    def __init__(self, settings: PoolSettings, containers: Containers, cells: Cells, estimates: Estimates, alarm: Alarm) -> None:
        self._settings = settings
        self._containers = containers
        self._estimates = estimates
        self._alarm = alarm
        self._newest: dict[tuple[str, str], str] = {}  # (namespace, action name) -> revision last asked for
        self._cells = cells

    def missing(self, shape: Shape) -> int:
        """How many stem cells of the shape are neither there nor being created."""
        coming = sum(
            container.state is State.STARTING and container.made_for is None and container.shape == shape
            for container in self._containers.all.values()
        )
        return max(0, self._cells.target(shape) - len(self._containers.empty.get(shape, ())) - coming)

    def asked_for(self, job: Waiting) -> None:
        """Take note of the action's newest revision: only of that one containers are kept warm."""
        if not self._settings.keep_warm:
            return
        name = job.namespace, job.key[0]
        self._newest.pop(name, None)
        self._newest[name] = job.key[1]
        if len(self._newest) > REMEMBERED:
            del self._newest[next(iter(self._newest))]

    def spared(self, container: Container) -> float:
        """Seconds after its last use for which it isn't evicted for others: what making it anew would take, if known."""
        if container.owner is None or self._estimates.creations.get(container.shape.source) is None:
            return 0.0
        return min(SPARED, self._estimates.cold(container.owner[1], container.shape.source))

    def victims(self, missing: int, now: float, *, starving: Owner | None = None) -> list[Container]:
        """The containers to evict for `missing` MB. None if that can't be had; for one who starves as much as there is.

        Empty ones that nobody ordered go first. Then warm ones, least recently used first, the idle time divided by what making
        them anew takes. Stem cells are last: each can spare anybody of its kind a cold start, a warm one only its own action.
        But they do go: otherwise a job that needs their memory would wait for ever.
        """
        chosen: list[Container] = []
        for container in self._ranked(now, starving):
            if missing <= 0:
                break
            chosen.append(container)
            missing -= container.shape.memory
        if missing > 0:
            return chosen if starving is not None else []
        for container in list(chosen):  # a large one that came late may make smaller ones before it needless
            if container.shape.memory <= -missing:
                missing += container.shape.memory
                chosen.remove(container)
        return chosen

    def _ranked(self, now: float, starving: Owner | None) -> list[Container]:
        ranked: list[tuple[int, float, int, Container]] = []
        for container in self._containers.idle.values():
            until = container.since + self.spared(container)
            if starving is not None:
                if container.owner == starving:
                    continue  # it takes a job of this action in a moment
            elif now < until:
                self._alarm.by(until)
                continue
            cold = self._estimates.cold(container.owner[1], container.shape.source) if container.owner else 0.0
            ranked.append((1, (container.since - now) / max(cold, 0.001), container.cid, container))
        for shape, cells in self._containers.empty.items():
            ordered = self._cells.target(shape)
            for place, container in enumerate(cells.values()):
                ranked.append((2 if place < ordered else 0, container.since, container.cid, container))
        return [container for *_, container in sorted(ranked, key=lambda entry: entry[:3])]

    def expired(self, now: float) -> tuple[list[Container], float]:
        """What was idle for too long, except what is kept warm and the stem cells; and when that must be asked again."""
        kept: Counter[Owner] = Counter()
        expiring = [container for container in reversed(self._containers.idle.values()) if not self._keep(container, kept)]
        for shape, cells in self._containers.empty.items():
            ours = 0 if self._cells.ttl(shape) < NEVER else self._cells.target(shape)
            expiring.extend(list(cells.values())[ours:])
        gone: list[Container] = []
        again = NEVER
        for container in expiring:
            ttl = self._cells.ttl(container.shape) if container.owner is None else NEVER
            at = container.since + (self._settings.idle_timeout if ttl == NEVER else ttl)
            if at <= now:
                gone.append(container)
            else:
                again = min(again, at)
        return gone, again

    def _keep(self, container: Container, kept: Counter[Owner]) -> bool:
        """Whether it is one of the `keep_warm` most recently used ones of its action's newest revision."""
        owner = container.owner
        if owner is None or kept[owner] >= self._settings.keep_warm:
            return False
        namespace, (name, revision) = owner
        if self._newest.get((namespace, name)) != revision:
            return False
        kept[owner] += 1
        return True
