"""What the pool knows: facts are told here, and noted so that the next plan looks only at what they may have changed."""

from __future__ import annotations

from collections import OrderedDict

from actors.pool_cells import Cells
from actors.pool_cost import BackOff, Estimates
from actors.pool_demand import Demand
from actors.pool_eviction import Eviction
from actors.pool_queues import Action, Queues
from actors.pool_state import (
    NEVER,
    Alarm,
    Container,
    Containers,
    IllegalMove,
    Owner,
    PoolSettings,
    RefusedJob,
    Shape,
    State,
    Waiting,
)


class Ledger:
    """The state of a pool and the facts that change it. All times are monotonic seconds, all memory is in MB."""

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
        self._draining: Container | None = None  # which takes no new runs meanwhile, so that it becomes idle some time
        self._least = NEVER  # the smallest memory somebody waits for
        self._hopeless = NEVER  # the smallest shortage that evictions couldn't make good in this survey
        self._held: dict[Owner, float] = {}  # actions whose runs wait for a container at work, and until when
        self._cells_due = True  # whether a stem cell may be missing
        self._alarm = Alarm()
        self._expiry = NEVER  # the first idle container may go. May be early, never late
        self._cells = Cells(settings)
        self._eviction = Eviction(settings, self._containers, self._cells, self.estimates, self._alarm)
        self._demand = Demand(settings, self._containers, self._queues, self.estimates, self._back_off, self._alarm)

    # Facts about jobs.

    def fits(self, memory: int) -> bool:
        """False: it is larger than the whole pool. The caller refuses it at once with a record that says so."""
        return memory <= self.settings.memory

    def add(self, job: Waiting) -> None:
        """A job wants a container. Raises RefusedJob if its id waits already or it doesn't fit."""
        if not self.fits(job.memory):
            raise RefusedJob(f"job {job.id} wants {job.memory} MB of a pool of {self.settings.memory} MB")
        if job.id in self._alone or job.id in self._queues.jobs:
            raise RefusedJob(f"job {job.id} waits already")
        if job.alone:
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

    def adopt(self, shape: Shape, concurrency: int, owner: Owner | None, now: float) -> int | None:
        """An earlier process left a container, initialised for `owner` or empty: it is being taken over as one is created, to be
        reported like that. Its number; None if there is no room for it."""
        if self._containers.used + shape.memory > self.settings.memory:
            return None
        container = self._containers.create(shape, concurrency, owner, now)
        container.adopted = True
        if owner is not None:
            action = self._queues.known(owner, shape, concurrency)
            action.starting += 1
            action.adopting += 1
        return container.cid

    def up(self, cid: int, now: float) -> None:
        """A creation succeeded. Raises UnknownContainer, IllegalMove."""
        container = self._containers.get(cid)
        if container.adopted and container.made_for is not None:
            self._taken_over(container, container.made_for, now)
            return
        self._containers.move(container, "up")
        self._creation_ended(container)
        if not container.adopted:
            self.estimates.creations.learn(container.shape.source, now - container.created)
        container.since = now
        self._expiry = min(self._expiry, now + min(self.settings.idle_timeout, self._cells.ttl(container.shape)))
        self._arrived.append(container)
        self._survey = True

    def _taken_over(self, container: Container, owner: Owner, now: float) -> None:
        self._containers.move(container, "adopted")
        action = self._queues.actions[owner]
        action.up += 1
        self._creation_ended(container)
        container.owner, container.ready, container.since = owner, True, now
        container.limit = min(container.concurrency, action.concurrency)
        action.places += container.limit
        action.open[container.cid] = container
        self._dirty[owner] = None
        self._expiry = min(self._expiry, now + self.settings.idle_timeout)
        self._idle_again(container, action)

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
        self._back_off.succeeded(container.shape.source)
        action = self._queues.actions[container.owner]
        self.estimates.runs.learn(action.owner[1], run_ms / 1000)
        self.estimates.shortest.learn(action.owner[1], run_ms / 1000)
        if init_ms > 0:
            self.estimates.inits.learn(action.owner[1], init_ms / 1000)
        self.initialized(cid)
        action.open.pop(cid, None)
        action.open[cid] = container  # the most recently used is the last
        container.since = now
        self._dirty[action.owner] = None
        if not container.active:
            action.busy -= 1
            self._containers.move(container, "free")
            self._expiry = min(self._expiry, now + self.settings.idle_timeout)
            self._idle_again(container, action)

    def lost(self, cid: int) -> list[str]:
        """The container failed or could not be created, and is being removed; its memory counts until `gone`. Returns the jobs
        still in it: each is ended or added again by the caller, and `release`d. Harmless when repeated.
        Raises UnknownContainer."""
        container = self._containers.get(cid)
        if container.state in (State.STARTING, State.EMPTY) and not container.adopted:
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
            action.adopting -= container.adopted
            self._queues.drop(action)

    def _remove(self, container: Container) -> None:
        """Move it to REMOVING and out of everything that leads to it."""
        was = container.state
        if was is State.REMOVING:
            return
        self._containers.move(container, "remove")
        if was is State.STARTING:
            self._creation_ended(container)
        if container.owner is not None:
            action = self._queues.actions[container.owner]
            action.up -= 1
            action.busy -= was is State.BUSY
            action.places -= container.limit
            action.open.pop(container.cid, None)
            if not container.ready:
                action.warming -= container.limit - 1
            self._queues.drop(action)

    def _room_ever(self) -> int:
        """MB that could be had if everything idle were evicted."""
        containers = self._containers
        return self.settings.memory - containers.used + containers.removing + containers.evictable
