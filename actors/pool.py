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

from actors.pool_eviction import shape_of_start
from actors.pool_ledger import Ledger
from actors.pool_queues import Action
from actors.pool_state import (
    NEVER,
    Assign,
    Container,
    Create,
    Decision,
    Destroy,
    PoolSettings,
    State,
    StemCell,
    Waiting,
)
from actors.pool_view import document, one_line

__all__ = ["Assign", "Create", "Decision", "Destroy", "Pool", "PoolSettings", "StemCell", "Waiting", "shape_of_start"]


class Room:
    """What of the budget this plan may still give away, in MB: free now, and free when what is being removed is gone."""

    def __init__(self, spare: int, coming: int) -> None:
        self.spare = spare
        self.coming = coming
        self.kept: set[Action] = set()  # who has got his share of it

    def reserve(self, action: Action) -> bool:
        """Keep what the action needs, from what is coming as far as possible. False: it is less than that."""
        need = action.shape.memory
        enough = need <= self.spare + self.coming
        later = min(self.coming, need)
        self.coming -= later
        self.spare = max(0, self.spare - (need - later))
        self.kept.add(action)
        return enough


class Pool(Ledger):
    """The container pool of one node. Facts come in by the methods of `Ledger`, decisions go out of `plan`."""

    _room = Room(0, 0)

    # The plan.

    def plan(self, now: float) -> list[Decision]:
        """What to do now, to be carried out in this order. To be called after facts were told, and at `next_wakeup`."""
        decisions: list[Decision] = []
        self._back_off.settle(now)
        if now >= self._expiry:
            expired, self._expiry = self._eviction.expired(now)
            self._destroy(expired, "idle for too long", decisions)
            self._cells_due = True
        if now >= self._cells.due:
            self._cells_due = True
        self._cells.follow(now)
        if self._held:
            self._release_held(now)
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
            self._cells_due = True
        if self._cells_due:
            self._top_up(now, decisions)
        return decisions

    def next_wakeup(self, now: float) -> float | None:
        """When `plan` should be called although nothing happened. May be early, never late; never before `now`."""
        at = min(self._alarm.at, self._expiry, self._cells.due, *self._held.values())
        return None if at == NEVER else max(at, now)

    def _place(self, now: float, decisions: list[Decision]) -> None:
        """Give free containers to those who are known to wait for one; find out whether the rest needs a survey."""
        while self._dirty:
            owner, _ = self._dirty.popitem()
            self._held.pop(owner, None)
            action = self._queues.actions.get(owner)
            if action is None:
                continue
            while action.queue and (container := self._with_room(action)) is not None:
                if container.state is State.IDLE and (until := self._demand.holds(action, now)):
                    self._held[owner] = until
                    action.why = "its containers at work will be free in a moment"
                    break
                self._assign(action, container, action.head, now, decisions)
            if action.queue and not self._survey and owner not in self._held:
                self._survey = self._could_get_more(action, now)

    def _release_held(self, now: float) -> None:
        """Who has waited long enough for a container at work may have an idle one."""
        for owner in [owner for owner, until in self._held.items() if until <= now]:
            del self._held[owner]
            self._dirty[owner] = None

    def _with_room(self, action: Action) -> Container | None:
        """Its most recently used container with room for a run."""
        for container in reversed(action.open.values()):
            if container is not self._draining:
                return container
        return None

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
        return self._starver is None and not action.up and now >= self._demand.starves_at(action)

    def _no_places(self) -> bool:
        """Whether nobody can get anything before a creation has ended, which is a reason to look at everybody again."""
        return self._containers.starting >= self.settings.starting and not self._containers.empty

    def _give_turns(self, now: float, decisions: list[Decision]) -> None:
        """Give what there is to those that wait, in turn."""
        self._survey = False
        if self._no_places():
            return
        turns = self._queues.turns()
        for action in turns:
            if action.owner not in self._held and self._turn(action, now, decisions):
                turns.done(action)
            else:
                turns.blocked(action)

    def _turn(self, action: Action, now: float, decisions: list[Decision]) -> bool:
        """One container for the action, if it can have one: an empty one, a new one, or one when others are removed."""
        if self._take_empty(action, now, decisions):
            return True
        if action in self._room.kept:
            self._least = min(self._least, action.shape.memory)
            return False
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
        room.reserve(action)
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
        self._drain_no_more()
        self._room = Room(self.settings.memory - self._containers.used, self._containers.removing)
        if self._no_places():
            return
        for action in self._demand.starving(now):
            if self._take_empty(action, now, decisions) or self._demand.hindrance(action, now):
                continue
            action.why = f"memory that becomes free is kept for it until it has {action.shape.memory} MB"
            need, room = action.shape.memory, self._room
            if need <= room.spare:
                room.spare -= need
                self._create(action, now, decisions)
                self._queues.served(action.owner[0])
                continue
            missing = need - room.spare - room.coming
            if missing > 0:
                self._evict(self._eviction.victims(missing, now, starving=action.owner), action, decisions)
            if not room.reserve(action):
                self._starver = action
                self._drain_one(action)
                return

    def _drain_one(self, action: Action) -> None:
        """A container that takes several runs at once may never be idle: have one of the others' take no new ones."""
        for container in self._containers.all.values():
            if container.state is State.BUSY and container.limit > 1 and container.owner != action.owner:
                self._draining = container
                return

    def _drain_no_more(self) -> None:
        if self._draining is not None and self._draining.owner is not None:
            self._dirty[self._draining.owner] = None
        self._draining = None

    def _evict(self, victims: list[Container], action: Action, decisions: list[Decision]) -> None:
        self._destroy(victims, f"evicted for {action.owner[1][0]}", decisions)
        self._room.coming += sum(container.shape.memory for container in victims)

    def _destroy(self, containers: list[Container], why: str, decisions: list[Decision]) -> None:
        for container in containers:
            self._remove(container)
            decisions.append(Destroy(container.cid, why))

    # Stem cells and work alone.

    def _top_up(self, now: float, decisions: list[Decision]) -> None:
        """Create the stem cells that are missing, from memory nobody waits for; what hinders it ends with a survey."""
        self._cells_due = False
        if self._least != NEVER:
            return
        for shape, order in self._cells.orders.items():
            missing = self._eviction.missing(shape)
            if missing == 0:
                order.first_time_filled()
            until = self._back_off.until(shape.source)
            if missing and now < until:
                self._alarm.by(until)
                continue
            for _ in range(missing):
                full = self._containers.used + shape.memory > self.settings.memory
                if full or self._containers.starting >= self.settings.starting:
                    break
                slots = order.cell.concurrency
                container = self._containers.create(shape, slots, None, now)
                decisions.append(Create(container.cid, shape.kind, shape.image, shape.memory, slots, False, prewarm=True))

    def _plan_alone(self, now: float, decisions: list[Decision]) -> None:
        """The job that wants to be alone starts when nothing runs; its container may be made ready before that."""
        self._alarm.at = NEVER
        if self._running_alone is not None:
            return
        job = next(iter(self._alone.values()))
        action = self._queues.action(job)
        self._draining = None
        empty = self._containers.empty.get(action.shape, {})
        container = self._with_room(action) or next(iter(empty.values()), None)
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
            if waited:
                self._cells.cold_start(container.shape)
            container.owner = action.owner
            container.limit = min(container.concurrency, job.concurrency)
            action.up += 1
            action.places += container.limit
            action.warming += container.limit - 1
            self._cells_due = True
        if not job.alone:
            self._queues.take(action, job.id)
        self._containers.move(container, "assign")
        action.busy += not container.active
        container.active.add(job.id)
        self._containers.active += 1
        container.since = now
        action.served = now
        if not container.has_room:
            action.open.pop(container.cid, None)
        decisions.append(Assign(container.cid, job.id, start, action.why if now > job.since else ""))

    # For people.

    def overview(self, now: float | None = None) -> dict[str, object]:
        """Where the memory is, what each container does, who waits for what. With `now`, how long idle ones are so."""
        held = bool(self._alone) or self._running_alone is not None
        return document(self.settings.memory, self._containers, self._queues, list(self._alone), held, now)

    def __repr__(self) -> str:
        return one_line(self.settings.memory, self._containers, self._queues, len(self._alone))
