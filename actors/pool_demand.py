"""What an action that waits is due: whether a container is worth making for it, whether it starves, what its namespace holds."""

from __future__ import annotations

from collections import Counter
from math import ceil

from actors.pool_cost import HOLD, SHORT, BackOff, Estimates, worth_it
from actors.pool_queues import Action, Queues
from actors.pool_state import Alarm, Container, Containers, PoolSettings, State

LONGEST_STARVATION = 12
"""Times `starvation`: the longest a slow creation (an image being pulled) can stretch the wait before memory is kept."""
ADOPTION = 0.5
"""Seconds that a run waits for a warm container that is being taken over, although an empty one is there."""
GRAIN = 0.25
"""Seconds: starving begins at multiples of this, so that a thousand actions that wait don't wake the pool one by one."""


class Demand:
    """Answers questions about actions that wait; sets the alarm for when an answer will change."""

    def __init__(
        self, settings: PoolSettings, containers: Containers, queues: Queues, estimates: Estimates, back_off: BackOff, alarm: Alarm
    ) -> None:
        self._settings = settings
        self._containers = containers
        self._queues = queues
        self._estimates = estimates
        self._back_off = back_off
        self._alarm = alarm

    def hindrance(self, action: Action, now: float) -> str:
        """Why no container is to be created for the action now, memory aside; "" if one is."""
        if action.unprovided <= 0:
            return "a container is being created"
        source = action.shape.source
        cold = self._estimates.cold(action.owner[1], source)
        servers = action.places + action.starting * action.concurrency
        worth = worth_it(action.unprovided, servers, self._estimates.runs.get(action.owner[1]), cold)
        # The mean may be wrong about these runs: who has waited as long as a creation takes gets one, but one at a time.
        if not worth and (not self._patience_ended(action, cold, now) or action.starting):
            return "its containers will be free sooner than a new one"
        until = self._back_off.until(source)
        if now < until:
            self._alarm.by(until)
            return "creation failed, waiting before the next attempt"
        if self._containers.starting >= self._settings.starting:
            return "as many containers as allowed are being created"
        return ""

    def empty(self, action: Action, now: float) -> Container | None:
        """An empty container of its shape, unless its own ones will be free before that one could be initialised."""
        cells = self._containers.empty.get(action.shape)
        waiting = len(action.queue) - action.warming
        if not cells or waiting <= 0:
            return None
        if action.adopting and not self._patience_ended(action, ADOPTION, now):
            return None
        run, init = self._estimates.runs.get(action.owner[1]), self._estimates.init(action.owner[1])
        if worth_it(waiting, action.places, run, init) or self._patience_ended(action, init, now):
            return next(iter(cells.values()))
        return None

    def holds(self, action: Action, now: float) -> float:
        """Until when its first job had better wait for one of its containers at work, although another is idle; 0 if not at all.

        Few busy containers beat many: those that are at work have their code in the cache and the processor already.
        """
        if not self._settings.few or action.busy < self._settings.few:
            return 0.0
        shortest = self._estimates.shortest.get(action.owner[1])
        until = action.head.since + HOLD
        return until if shortest is not None and shortest <= SHORT and now < until else 0.0

    def _patience_ended(self, action: Action, seconds: float, now: float) -> bool:
        at = action.head.since + seconds
        if now < at:
            self._alarm.by(at)
        return now >= at

    def starves_at(self, action: Action) -> float:
        """When memory is to be kept for it: `starvation` after a job of it was placed (or, as long as it has containers, after
        one was created for it), or twice what a creation takes if that is longer: whoever has to give way must have had the
        time to make use of its container."""
        starvation = self._settings.starvation
        cold = self._estimates.cold(action.owner[1], action.shape.source)
        patience = max(starvation, min(2 * cold, LONGEST_STARVATION * starvation))
        at = max(action.head.since, action.created if action.up + action.starting else action.served) + patience
        return ceil(at / GRAIN) * GRAIN

    def starving(self, now: float) -> list[Action]:
        """Those for whom memory is to be kept, in turn: first those that have no container at all, then those whose namespace
        would hold no more than an equal share with one more."""
        late = self._queues.in_turn(lambda action: len(action.queue) > len(action.open) and now >= self.starves_at(action))
        if not late:
            return []
        shares = self._shares()
        poor = [action for action in late if action.up + action.starting and self._below_share(action, shares)]
        return [action for action in late if not action.up + action.starting] + poor

    def _shares(self) -> Counter[str]:
        """MB in use by namespace, without idle containers of actions for which nothing waits; those that only wait have 0."""
        shares: Counter[str] = Counter(dict.fromkeys(self._queues.waiting, 0))
        for container in self._containers.all.values():
            owner = container.owner or (container.made_for if container.state is State.STARTING else None)
            if owner is not None and (container.state in {State.STARTING, State.BUSY} or self._queues.waits(owner)):
                shares[owner[0]] += container.shape.memory
        return shares

    def _below_share(self, action: Action, shares: Counter[str]) -> bool:
        return (shares[action.owner[0]] + action.shape.memory) * len(shares) <= self._settings.memory
