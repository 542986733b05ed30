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

from collections import Counter, OrderedDict

from actors.pool_cost import REMEMBERED, BackOff, Estimates, worth_it
from actors.pool_queues import Action, Queues
from actors.pool_state import (
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
    Shape,
    State,
    StemCell,
    Waiting,
)

__all__ = ["Assign", "Create", "Decision", "Destroy", "Pool", "PoolSettings", "StemCell", "Waiting"]

NEVER = float("inf")
SPARED = 1.0
"""Seconds, at most, for which an idle container is safe from eviction because making it anew would take as long: two actions
that are called in turn would otherwise evict each other at every call (user-pain 7)."""
LONGEST_STARVATION = 12
"""Times `starvation`: the longest a slow creation (an image being pulled) can stretch the wait before memory is kept."""


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
        self._newest: dict[tuple[str, str], str] = {}  # (namespace, action name) -> revision last asked for, if keep_warm
        self._dirty: dict[Owner, None] = {}  # actions that may be able to place a job
        self._arrived: list[Container] = []  # came up since the last plan
        self._survey = False  # whether everybody who waits must be looked at
        self._starver: Action | None = None  # for whom all memory that becomes free is kept
        self._least = NEVER  # the smallest memory somebody waits for
        self._hopeless = NEVER  # the smallest shortage that evictions couldn't make good in this survey
        self._topped_up = False  # whether the stem cells are complete
        self._wake = NEVER  # time may change what somebody gets. May be early, never late
        self._expiry = NEVER  # the first idle container may go. May be early, never late
        self._room = Room(0, 0)

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
        if self.settings.keep_warm:
            self._newest.pop((job.namespace, job.key[0]), None)
            self._newest[job.namespace, job.key[0]] = job.key[1]
            if len(self._newest) > REMEMBERED:
                del self._newest[next(iter(self._newest))]

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
            spared = container.since + self._spared(container)
            if spared <= container.since:
                self._survey = True
            else:
                self._wake = min(self._wake, spared)

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
            self._expire(now, decisions)
        if now >= self._wake:
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
        at = min(self._wake, self._expiry)
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
        action.why = self._hindrance(action, now)
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
        action.why = self._hindrance(action, now)
        if action.why:
            return False
        need, room = action.shape.memory, self._room
        if need <= room.spare:
            room.spare -= need
            self._create(action, now, decisions)
            return True
        missing = need - room.spare - room.coming
        if missing > 0:
            victims = self._victims(missing, now) if missing < self._hopeless else []
            if not victims:
                self._hopeless = min(self._hopeless, missing)
                self._blocked(action, now)
                return False
            self._evict(victims, action, decisions)
        room.reserve(need)
        action.why = "a container is being removed for it"
        self._least = min(self._least, need)
        return False

    def _hindrance(self, action: Action, now: float) -> str:
        """Why no container is to be created for the action now; "" if one is."""
        if action.unprovided <= 0:
            return "a container is being created"
        source = action.shape.source
        cold = self.estimates.cold(action.owner[1], source)
        servers = (action.up + action.starting) * action.concurrency
        if not worth_it(action.unprovided, servers, self.estimates.runs.get(action.owner[1]), cold):
            # The mean may be wrong about these runs: who has waited as long as a creation takes gets one, but one at a time.
            patience = action.head.since + cold
            if now < patience:
                self._wake = min(self._wake, patience)
            if now < patience or action.starting:
                return "its containers will be free sooner than a new one"
        until = self._back_off.until(source)
        if now < until:
            self._wake = min(self._wake, until)
            return "creation failed, waiting before the next attempt"
        if self._containers.starting >= self.settings.starting:
            return "as many containers as allowed are being created"
        return ""

    def _take_empty(self, action: Action, now: float, decisions: list[Decision]) -> bool:
        """Give it an empty container of its shape, unless its own ones will be free before that one is initialised."""
        cells = self._containers.empty.get(action.shape)
        if not cells or len(action.queue) <= action.warming:
            return False
        run, init = self.estimates.runs.get(action.owner[1]), self.estimates.init(action.owner[1])
        if not worth_it(len(action.queue) - action.warming, action.up * action.concurrency, run, init):
            patience = action.head.since + init
            if now < patience:
                self._wake = min(self._wake, patience)
                return False
        self._assign(action, next(iter(cells.values())), action.head, now, decisions)
        return True

    def _blocked(self, action: Action, now: float) -> None:
        """It waits for memory. Remember when that becomes starving."""
        action.why = f"no {action.shape.memory} MB free"
        self._least = min(self._least, action.shape.memory)
        at = self._starves_at(action)
        if now < at:
            self._wake = min(self._wake, at)

    # Starvation.

    def _starves_at(self, action: Action) -> float:
        """When memory is to be kept for it: `starvation` after it was served last, or twice what a creation takes if that is
        longer: whoever has to give way must have had the time to make use of its container."""
        cold = self.estimates.cold(action.owner[1], action.shape.source)
        patience = max(self.settings.starvation, min(2 * cold, LONGEST_STARVATION * self.settings.starvation))
        return max(action.head.since, action.served) + patience

    def _provide_for_starving(self, now: float, decisions: list[Decision]) -> None:
        """Begin a survey. Before anything else is placed, provide for those who starve, one after the other.

        All that is idle (a container whose run just ended too, although its action has more to do) is evicted as far as
        needed; the first one for whom it is not enough keeps what there is, so that a large action gets its memory piece
        by piece.
        """
        self._wake = self._least = self._hopeless = NEVER
        self._starver = None
        self._room = Room(self.settings.memory - self._containers.used, self._containers.removing)
        waiting = [action for actions in self._queues.waiting.values() for action in actions.values()]
        starving = [action for action in waiting if not action.open and now >= self._starves_at(action)]
        shares = self._shares() if starving else Counter()
        for action in starving:
            if not self._below_share(action, shares) or self._take_empty(action, now, decisions):
                continue
            if self._hindrance(action, now):
                continue
            need, room = action.shape.memory, self._room
            if need <= room.spare:
                room.spare -= need
                self._create(action, now, decisions)
                self._queues.served(action.owner[0])
                continue
            missing = need - room.spare - room.coming
            if missing > 0:
                victims = self._victims(missing, now, starving=True)
                self._evict(victims, action, decisions)
            enough = need <= room.spare + room.coming
            room.reserve(need)
            if not enough:
                self._starver = action
                return

    def _shares(self) -> Counter[str]:
        """MB in use by namespace, idle containers left out; those that only wait have 0."""
        shares: Counter[str] = Counter(dict.fromkeys(self._queues.waiting, 0))
        for container in self._containers.all.values():
            owner = container.owner or container.made_for
            if owner is not None and container.state in {State.STARTING, State.BUSY}:
                shares[owner[0]] += container.shape.memory
        return shares

    def _below_share(self, action: Action, shares: Counter[str]) -> bool:
        """Whether it may starve: it has no container at all, or its namespace would still have no more than an equal share."""
        if action.up + action.starting == 0:
            return True
        return (shares[action.owner[0]] + action.shape.memory) * len(shares) <= self.settings.memory

    # Eviction and expiry.

    def _spared(self, container: Container) -> float:
        """Seconds after its last use for which it isn't evicted for others: what making it anew would take, if known."""
        if container.owner is None or self.estimates.creations.get(container.shape.source) is None:
            return 0.0
        return min(SPARED, self.estimates.cold(container.owner[1], container.shape.source))

    def _victims(self, missing: int, now: float, *, starving: bool = False) -> list[Container]:
        """The containers to evict for `missing` MB: none if that can't be had, or as much as there is for one who starves.

        Empty ones that nobody ordered go first. Then warm ones, least recently used first, the idle time divided by what making
        them anew takes. Stem cells are last: each can spare anybody of its kind a cold start, a warm one only its own action.
        But they do go: otherwise a job that needs their memory would wait for ever.
        """
        ranked: list[tuple[int, float, int, Container]] = []
        for container in self._containers.idle.values():
            until = container.since + self._spared(container)
            if now < until and not starving:
                self._wake = min(self._wake, until)
                continue
            cold = self.estimates.cold(container.owner[1], container.shape.source) if container.owner else 0.0
            ranked.append((1, -(now - container.since) / max(cold, 0.001), container.cid, container))
        for shape, cells in self._containers.empty.items():
            ordered = self._ordered(shape)
            for place, container in enumerate(cells.values()):
                ranked.append((2 if place < ordered else 0, container.since, container.cid, container))
        ranked.sort(key=lambda entry: entry[:3])
        chosen: list[Container] = []
        for *_, container in ranked:
            if missing <= 0:
                break
            chosen.append(container)
            missing -= container.shape.memory
        if missing > 0:
            return chosen if starving else []
        for container in list(chosen):  # a large one that came late may make smaller ones before it needless
            if container.shape.memory <= -missing:
                missing += container.shape.memory
                chosen.remove(container)
        return chosen

    def _evict(self, victims: list[Container], action: Action, decisions: list[Decision]) -> None:
        for container in victims:
            self._remove(container)
            self._room.coming += container.shape.memory
            decisions.append(Destroy(container.cid, f"evicted for {action.owner[1][0]}"))

    def _expire(self, now: float, decisions: list[Decision]) -> None:
        """Let go what was idle for too long, except what is to be kept warm and the stem cells."""
        self._expiry = NEVER
        kept: Counter[Owner] = Counter()
        for container in reversed(list(self._containers.idle.values())):
            if self._keep(container, kept):
                continue
            self._expire_one(container, now, decisions)
        for shape, cells in list(self._containers.empty.items()):
            for container in list(cells.values())[self._ordered(shape) :]:
                self._expire_one(container, now, decisions)

    def _expire_one(self, container: Container, now: float, decisions: list[Decision]) -> None:
        at = container.since + self.settings.idle_timeout
        if now < at:
            self._expiry = min(self._expiry, at)
            return
        self._remove(container)
        decisions.append(Destroy(container.cid, "idle for too long"))

    def _keep(self, container: Container, kept: Counter[Owner]) -> bool:
        """Whether it is one of the `keep_warm` most recently used ones of its action's newest revision."""
        owner = container.owner
        if owner is None or kept[owner] >= self.settings.keep_warm:
            return False
        namespace, (name, revision) = owner
        if self._newest.get((namespace, name)) != revision:
            return False
        kept[owner] += 1
        return True

    # Stem cells and work alone.

    def _ordered(self, shape: Shape) -> int:
        """How many stem cells of the shape the settings want."""
        return sum(cell.count for cell in self.settings.stem_cells if _shape_of(cell) == shape)

    def _top_up(self, now: float, decisions: list[Decision]) -> None:
        """Create the stem cells that are missing, from memory nobody waits for."""
        if self._least != NEVER or self._containers.removing:
            return
        for cell in self.settings.stem_cells:
            shape = _shape_of(cell)
            have = len(self._containers.empty.get(shape, ())) + sum(
                container.state is State.STARTING and container.made_for is None and container.shape == shape
                for container in self._containers.all.values()
            )
            for _ in range(self._ordered(shape) - have):
                until = self._back_off.until(shape.source)
                if now < until:
                    self._wake = min(self._wake, until)
                    return
                full = self._containers.used + cell.memory > self.settings.memory
                if full or self._containers.starting >= self.settings.starting:
                    return
                container = self._containers.create(shape, 1, None, now)
                decisions.append(Create(container.cid, cell.kind, cell.image, cell.memory, 1, False, prewarm=True))
        self._topped_up = True

    def _plan_alone(self, now: float, decisions: list[Decision]) -> None:
        """The job that wants to be alone starts when nothing runs; its container may be made ready before that."""
        self._wake = NEVER
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
            self._wake = until
        elif not action.up and not action.starting and self._containers.starting < self.settings.starting:
            missing = action.shape.memory - (self.settings.memory - self._containers.used)
            if missing <= 0:
                self._create(action, now, decisions)
            elif missing > self._containers.removing:
                self._evict(self._victims(missing - self._containers.removing, now, starving=True), action, decisions)
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
        count = self._containers
        return {
            "memory": {
                "total": self.settings.memory,
                "used": count.used,
                **{state.value: count.memory(state) for state in State},
            },
            "containers": [_describe(container, now) for container in count.all.values()],
            "queued": [
                {
                    "namespace": action.owner[0],
                    "action": action.owner[1][0],
                    "revision": action.owner[1][1],
                    "memory": action.shape.memory,
                    "waiting": len(action.queue),
                    "why": "a job runs alone" if self._alone or self._running_alone else action.why,
                }
                for actions in self._queues.waiting.values()
                for action in actions.values()
            ],
            "alone": list(self._alone),
        }

    def __repr__(self) -> str:
        count = self._containers.count
        states = (State.BUSY, State.IDLE, State.EMPTY, State.STARTING, State.REMOVING)
        queues = sum(map(len, self._queues.waiting.values())) + bool(self._alone)
        return (
            f"<Pool [{self._containers.used}/{self.settings.memory} MB"
            f" | Containers: {', '.join(f'{count(state)} {state.value}' for state in states)}"
            f" | Queued: {len(self._queues.jobs) + len(self._alone)} in {queues} {'queue' if queues == 1 else 'queues'}]>"
        )


def _shape_of(cell: StemCell) -> Shape:
    return Shape(cell.kind, cell.image, cell.memory, user_image=False)


def _describe(container: Container, now: float | None) -> dict[str, object]:
    owner = container.owner or container.made_for
    idle = now is not None and container.state in {State.IDLE, State.EMPTY}
    return {
        "cid": container.cid,
        "state": container.state.value,
        "kind": container.shape.kind,
        "key": owner[1] if owner else None,
        "namespace": owner[0] if owner else None,
        "memory": container.shape.memory,
        "active": len(container.active),
        "idle_s": round(now - container.since, 3) if idle and now is not None else None,
    }
