"""Which job runs in which container: the pool's policy, without clock, randomness or I/O.

The rules of this file:

1. Methods take facts and change the state; `plan` looks at it and returns what the caller must do. The state already counts
   that as done: each decision is carried out once, and reported (`up`, `free`, `lost`, `release`, `gone`).
2. A job takes, in this order: a warm container of the same action and calling namespace, most recently used first; an empty
   one of its shape (kind, image, memory); a new one; a new one after idle ones were evicted; or it waits in its action's queue.
3. A container that is being created belongs to no job. Whichever gets free first takes the job that waits longest.
4. Memory counts from the decision to create until `gone`. The sum never exceeds the budget.
5. What is not worth its price is not made: see `pool_cost.worth_it`.
6. Whoever waits without any container longer than `starvation` gets the memory that becomes free; see `_provide_for_starving`.

`plan` does work in proportion to what changed: actions that got a job or a place are in `_dirty`; all those that wait are
looked at (`_survey`) only when memory, a place to create, or time could have changed what they get. `docs/scheduling.md` has
all this in plain words.
"""

from __future__ import annotations

from collections import OrderedDict

from actors.pool_cost import BackOff, Estimates
from actors.pool_demand import Demand
from actors.pool_eviction import Eviction, shape_of
from actors.pool_queues import Action, Queues
from actors.pool_state import (
    NEVER,
    Alarm,
    Assign,
    Container,
    Containers,
    Create,
    Decision,
    Destroy,
    IllegalMove,
    Owner,
    PoolSettings,
    RefusedJob,
    State,
    StemCell,
    Waiting,
)
from actors.pool_view import document, one_line

__all__ = ["Assign", "Create", "Decision", "Destroy", "Pool", "PoolSettings", "StemCell", "Waiting"]


class Room:
    """What of the budget this plan may still give away, in MB: free now, and free when what is being removed is gone."""

    def __init__(self, spare: int, coming: int) -> None:
        self.spare = spare
        self.coming = coming

    def reserve(self, memory: int) -> None:
        """Keep it for somebody, from what is coming as far as possible."""
        later = min(self.coming, memory)
        self.coming -= later
        self.spare = max(0, self.spare - (memory - later))


class Pool:
    """The container pool of one node. All times are monotonic seconds, all memory is in MB."""

    def __init__(self, settings: PoolSettings, last_cid: int = 0) -> None:
        """`last_cid`: the highest container number given out before, so that none is given twice."""
        self.settings = settings
        self.estimates = Estimates()
        self._containers = Containers(last_cid)
        self._queues = Queues()
        self._back_off = BackOff()
        self._alone: OrderedDict[str, Waiting] = OrderedDict()  # jobs that want to run alone; nothing else is placed meanwhile
        self._running_alone: tuple[int, str] | None = None
        self._dirty: dict[Owner, None] = {}  # actions that may be able to place a job
        self._arrived: list[Container] = []  # came up since the last plan
        self._survey = False  # whether everybody who waits must be looked at
        self._starver: Action | None = None  # for whom all memory that becomes free is kept
        self._least = NEVER  # the smallest memory somebody waits for
        self._hopeless = NEVER  # the smallest shortage that evictions couldn't make good in this survey
        self._topped_up = False  # whether the stem cells are complete
        self._alarm = Alarm()
        self._expiry = NEVER  # the first idle container may go. May be early, never late
        self._room = Room(0, 0)
        self._eviction = Eviction(settings, self._containers, self.estimates, self._alarm)
        self._demand = Demand(settings, self._containers, self._queues, self.estimates, self._back_off, self._alarm)

    # Facts about jobs.

    def fits(self, memory: int) -> bool:
        """False: it is larger than the whole pool. The caller refuses it at once with a record that says so."""
        return memory <= self.settings.memory

    def add(self, job: Waiting) -> None:
        """A job wants a container. Raises RefusedJob if its id waits already or it doesn't fit."""
        if not self.fits(job.memory):
            raise RefusedJob(f"job {job.id} wants {job.memory} MB of a pool of {self.settings.memory} MB")
        if job.id in self._alone:
            raise RefusedJob(f"job {job.id} is queued already")
        if job.alone:
            if job.id in self._queues.jobs:
                raise RefusedJob(f"job {job.id} is queued already")
            self._alone[job.id] = job
        else:
            self._dirty[self._queues.add(job).owner] = None
        self._eviction.asked_for(job)

    def cancel(self, id: str) -> bool:
        """Take a waiting job out. False: it doesn't wait (it was assigned, or never added)."""
        if self._alone.pop(id, None) is not None:
            self._survey = True
            return True
        action = self._queues.jobs.get(id)
        if action is None:
            return False
        self._queues.take(action, id)
        self._queues.drop(action)
        self._survey = True
        return True

    def waiting_for(self, cid: int) -> list[str]:
        """Ids of the waiting jobs for whose action the container was being created, oldest first; to be asked when the creation
        failed, before `gone`. None for a stem cell: it was nobody's."""
        owner = self._containers.get(cid).made_for
        if owner is None:
            return []
        action = self._queues.actions.get(owner)
        alone = [job.id for job in self._alone.values() if (job.namespace, job.key) == owner]
        return alone + (list(action.queue) if action else [])

    # Facts about containers.

    def up(self, cid: int, now: float) -> None:
        """A creation succeeded. Raises UnknownContainer, IllegalMove."""
        container = self._containers.get(cid)
        self._containers.move(container, "up")
        self._creation_ended(container)
        self._back_off.succeeded(container.shape.source)
        self.estimates.creations.learn(container.shape.source, now - container.created)
        container.since = now
        self._expiry = min(self._expiry, now + self.settings.idle_timeout)
        self._arrived.append(container)
        self._survey = True

    def initialized(self, cid: int) -> None:
        """Its `/init` succeeded: from now on it takes as many runs at once as its action allows. `free` says so too."""
        container = self._containers.get(cid)
        if container.ready or container.owner is None or container.state is State.REMOVING:
            return
        container.ready = True
        action = self._queues.actions[container.owner]
        action.warming -= container.limit - 1
        if container.has_room:
            action.open[cid] = container
            self._dirty[action.owner] = None

    def free(self, cid: int, id: str, run_ms: float, init_ms: float, now: float) -> None:
        """A run ended, the container is healthy. `init_ms` is 0 if there was no init. Raises UnknownContainer, IllegalMove."""
        container = self._containers.get(cid)
        self._end_run(container, id)
        if container.state is State.REMOVING or container.owner is None:
            return
        action = self._queues.actions[container.owner]
        self.estimates.runs.learn(action.owner[1], run_ms / 1000)
        if init_ms > 0:
            self.estimates.inits.learn(action.owner[1], init_ms / 1000)
        self.initialized(cid)
        action.open.pop(cid, None)
        action.open[cid] = container  # the most recently used is the last
        container.since = now
        self._dirty[action.owner] = None
        if not container.active:
            self._containers.move(container, "free")
            self._expiry = min(self._expiry, now + self.settings.idle_timeout)
            self._idle_again(container, action)

    def lost(self, cid: int) -> list[str]:
        """The container failed or could not be created, and is being removed; its memory counts until `gone`. Returns the jobs
        still in it: each is ended or added again by the caller, and `release`d. Harmless when repeated.
        Raises UnknownContainer."""
        container = self._containers.get(cid)
        if container.state is State.STARTING:
            self._back_off.failed(container.shape.source)
        self._remove(container)
        self._survey = True
        return sorted(container.active)

    def gone(self, cid: int) -> None:
        """No process of it is left; its memory is free. Raises UnknownContainer."""
        self.lost(cid)
        container = self._containers.get(cid)
        if self._running_alone is not None and self._running_alone[0] == cid:
            self._running_alone = None
        self._containers.forget(container)

    def release(self, cid: int, id: str) -> None:
        """A run in a lost container ended. Comes it after `gone`, nothing is left to do."""
        container = self._containers.all.get(cid)
        if container is not None and id in container.active:
            self._end_run(container, id)

    def _end_run(self, container: Container, job_id: str) -> None:
        if job_id not in container.active:
            raise IllegalMove(f"job {job_id} does not run in container {container.cid}")
        container.active.discard(job_id)
        self._containers.active -= 1
        if self._running_alone == (container.cid, job_id):
            self._running_alone = None
            self._survey = True

    def _idle_again(self, container: Container, action: Action) -> None:
        """It may be evicted for somebody: see to it that `plan` notices, now or when it is spared no longer."""
        if self._starver is not None:
            self._survey = True
        elif self._least <= self._room_ever():
            spared = self._eviction.spared(container)
            if spared > 0:
                self._alarm.by(container.since + spared)
            else:
                self._survey = True

    def _creation_ended(self, container: Container) -> None:
        action = self._queues.actions.get(container.made_for) if container.made_for else None
        if action is not None:
            action.starting -= 1
            self._queues.drop(action)

    def _remove(self, container: Container) -> None:
        """Move it to REMOVING and out of everything that leads to it."""
        was = container.state
        if was is State.REMOVING:
            return
        self._containers.move(container, "remove")
        self._topped_up = False
        if was is State.STARTING:
            self._creation_ended(container)
        if container.owner is not None:
            action = self._queues.actions[container.owner]
            action.up -= 1
            action.open.pop(container.cid, None)
            if not container.ready:
                action.warming -= container.limit - 1
            self._queues.drop(action)

    # The plan.

    def plan(self, now: float) -> list[Decision]:
        """What to do now, to be carried out in this order. To be called after facts were told, and at `next_wakeup`."""
        decisions: list[Decision] = []
        self._back_off.settle(now)
        if now >= self._expiry:
            expired, self._expiry = self._eviction.expired(now)
            self._destroy(expired, "idle for too long", decisions)
        if now >= self._alarm.at:
            self._survey = True
        if self._alone or self._running_alone is not None:
            self._survey = True  # the others get their turn when the last of these has ended
            self._plan_alone(now, decisions)
            return decisions
        self._welcome(now, decisions)
        surveyed = self._survey
        if surveyed:
            self._provide_for_starving(now, decisions)
        self._place(now, decisions)
        if self._survey:
            if not surveyed:
                self._provide_for_starving(now, decisions)
            self._give_turns(now, decisions)
        if not self._topped_up:
            self._top_up(now, decisions)
        return decisions

    def next_wakeup(self, now: float) -> float | None:
        """When `plan` should be called although nothing happened. May be early, never late; never before `now`."""
        at = min(self._alarm.at, self._expiry)
        return None if at == NEVER else max(at, now)

    def _place(self, now: float, decisions: list[Decision]) -> None:
        """Give free containers to those who are known to wait for one; find out whether the rest needs a survey."""
        while self._dirty:
            owner, _ = self._dirty.popitem()
            action = self._queues.actions.get(owner)
            if action is None:
                continue
            while action.queue and action.open:
                container = action.open[next(reversed(action.open))]
                self._assign(action, container, action.head, now, decisions)
            if action.queue and not self._survey:
                self._survey = self._could_get_more(action, now)

    def _welcome(self, now: float, decisions: list[Decision]) -> None:
        """A container that came up goes first to the action it was made for, if that still waits."""
        for container in self._arrived:
            action = self._queues.actions.get(container.made_for) if container.made_for else None
            if action is not None and action.queue and container.state is State.EMPTY:
                self._assign(action, container, action.head, now, decisions)
        self._arrived.clear()

    def _could_get_more(self, action: Action, now: float) -> bool:
        """Whether a survey could help the action; without one, why it waits."""
        if action.shape in self._containers.empty:
            return True
        action.why = self._demand.hindrance(action, now)
        if action.why:
            return False
        if action.shape.memory <= self._room_ever():
            return True
        self._blocked(action, now)
        return False

    def _room_ever(self) -> int:
        """MB that could be had if everything idle were evicted."""
        containers = self._containers
        return self.settings.memory - containers.used + containers.removing + containers.evictable

    def _give_turns(self, now: float, decisions: list[Decision]) -> None:
        """Give what there is to those that wait, in turn."""
        self._survey = False
        turns = self._queues.turns()
        for action in turns:
            if self._turn(action, now, decisions):
                turns.done(action)
            else:
                turns.blocked(action)

    def _turn(self, action: Action, now: float, decisions: list[Decision]) -> bool:
        """One container for the action, if it can have one: an empty one, a new one, or one when others are removed."""
        if self._take_empty(action, now, decisions):
            return True
        action.why = self._demand.hindrance(action, now)
        if action.why:
            return False
        need, room = action.shape.memory, self._room
        if need <= room.spare:
            room.spare -= need
            self._create(action, now, decisions)
            return True
        missing = need - room.spare - room.coming
        if missing > 0:
            victims = self._eviction.victims(missing, now) if missing < self._hopeless else []
            if not victims:
                self._hopeless = min(self._hopeless, missing)
                self._blocked(action, now)
                return False
            self._evict(victims, action, decisions)
        room.reserve(need)
        action.why = "a container is being removed for it"
        self._least = min(self._least, need)
        return False

    def _take_empty(self, action: Action, now: float, decisions: list[Decision]) -> bool:
        container = self._demand.empty(action, now)
        if container is not None:
            self._assign(action, container, action.head, now, decisions)
        return container is not None

    def _blocked(self, action: Action, now: float) -> None:
        """It waits for memory. Remember when that becomes starving."""
        action.why = f"no {action.shape.memory} MB free"
        self._least = min(self._least, action.shape.memory)
        at = self._demand.starves_at(action)
        if now < at:
            self._alarm.by(at)

    # Starvation.

    def _provide_for_starving(self, now: float, decisions: list[Decision]) -> None:
        """Begin a survey. Before anything else is placed, provide for those who starve, one after the other.

        All that is idle (a container whose run just ended too, although its action has more to do) is evicted as far as
        needed; the first one for whom it is not enough keeps what there is, so that a large action gets its memory piece
        by piece.
        """
        self._alarm.at = self._least = self._hopeless = NEVER
        self._starver = None
        self._room = Room(self.settings.memory - self._containers.used, self._containers.removing)
        for action in self._demand.starving(now):
            if self._take_empty(action, now, decisions) or self._demand.hindrance(action, now):
                continue
            need, room = action.shape.memory, self._room
            if need <= room.spare:
                room.spare -= need
                self._create(action, now, decisions)
                self._queues.served(action.owner[0])
                continue
            missing = need - room.spare - room.coming
            if missing > 0:
                self._evict(self._eviction.victims(missing, now, starving=action.owner), action, decisions)
            enough = need <= room.spare + room.coming
            room.reserve(need)
            if not enough:
                self._starver = action
                return

    def _evict(self, victims: list[Container], action: Action, decisions: list[Decision]) -> None:
        self._destroy(victims, f"evicted for {action.owner[1][0]}", decisions)
        self._room.coming += sum(container.shape.memory for container in victims)

    def _destroy(self, containers: list[Container], why: str, decisions: list[Decision]) -> None:
        for container in containers:
            self._remove(container)
            decisions.append(Destroy(container.cid, why))

    # Stem cells and work alone.

    def _top_up(self, now: float, decisions: list[Decision]) -> None:
        """Create the stem cells that are missing, from memory nobody waits for."""
        if self._least != NEVER or self._containers.removing:
            return
        for cell in self.settings.stem_cells:
            shape = shape_of(cell)
            have = len(self._containers.empty.get(shape, ())) + sum(
                container.state is State.STARTING and container.made_for is None and container.shape == shape
                for container in self._containers.all.values()
            )
            for _ in range(self._eviction.ordered(shape) - have):
                until = self._back_off.until(shape.source)
                if now < until:
                    self._alarm.by(until)
                    return
                full = self._containers.used + cell.memory > self.settings.memory
                if full or self._containers.starting >= self.settings.starting:
                    return
                container = self._containers.create(shape, 1, None, now)
                decisions.append(Create(container.cid, cell.kind, cell.image, cell.memory, 1, False, prewarm=True))
        self._topped_up = True

    def _plan_alone(self, now: float, decisions: list[Decision]) -> None:
        """The job that wants to be alone starts when nothing runs; its container may be made ready before that."""
        self._alarm.at = NEVER
        if self._running_alone is not None:
            return
        job = next(iter(self._alone.values()))
        action = self._queues.action(job)
        container = self._container_for(action)
        until = self._back_off.until(action.shape.source)
        if container is not None:
            if self._containers.active == 0:
                del self._alone[job.id]
                self._running_alone = (container.cid, job.id)
                self._assign(action, container, job, now, decisions)
        elif now < until:
            self._alarm.by(until)
        elif not action.up and not action.starting and self._containers.starting < self.settings.starting:
            missing = action.shape.memory - (self.settings.memory - self._containers.used)
            if missing <= 0:
                self._create(action, now, decisions)
            elif missing > self._containers.removing:
                victims = self._eviction.victims(missing - self._containers.removing, now, starving=action.owner)
                self._evict(victims, action, decisions)
        self._queues.drop(action)

    def _container_for(self, action: Action) -> Container | None:
        if action.open:
            return action.open[next(reversed(action.open))]
        return next(iter(self._containers.empty.get(action.shape, {}).values()), None)

    # Decisions.

    def _create(self, action: Action, now: float, decisions: list[Decision]) -> None:
        shape = action.shape
        container = self._containers.create(shape, action.concurrency, action.owner, now)
        action.starting += 1
        action.created = now
        decisions.append(
            Create(container.cid, shape.kind, shape.image, shape.memory, action.concurrency, shape.user_image, prewarm=False)
        )

    def _assign(self, action: Action, container: Container, job: Waiting, now: float, decisions: list[Decision]) -> None:
        start = "warm"
        if container.owner is None:
            waited = container.made_for == action.owner and job.since <= container.since
            start = "cold" if waited else "prewarmed"
            container.owner = action.owner
            container.limit = min(container.concurrency, job.concurrency)
            action.up += 1
            action.warming += container.limit - 1
            self._topped_up = False
        if not job.alone:
            self._queues.take(action, job.id)
        self._containers.move(container, "assign")
        container.active.add(job.id)
        self._containers.active += 1
        container.since = now
        action.served = now
        if not container.has_room:
            action.open.pop(container.cid, None)
        decisions.append(Assign(container.cid, job.id, start))

    # For people.

    def overview(self, now: float | None = None) -> dict[str, object]:
        """Where the memory is, what each container does, who waits for what. With `now`, how long idle ones are so."""
        held = bool(self._alone) or self._running_alone is not None
        return document(self.settings.memory, self._containers, self._queues, list(self._alone), held, now)

    def __repr__(self) -> str:
        return one_line(self.settings.memory, self._containers, self._queues, len(self._alone))
