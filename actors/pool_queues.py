"""Who waits, and in what order: one queue per action and calling namespace, turns between namespaces."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heapreplace
from itertools import islice, zip_longest

from actors.pool_state import Container, Owner, RefusedJob, Shape, Waiting


class Action:
    """An action as one namespace calls it: its queue and its containers."""

    __slots__ = (
        "adopting", "busy", "concurrency", "created", "open", "owner", "places", "queue", "served", "shape", "starting", "up",
        "warming", "why",
    )  # fmt: skip

    def __init__(self, owner: Owner, shape: Shape, concurrency: int) -> None:
        self.owner = owner
        self.shape = shape
        self.concurrency = concurrency
        self.queue: OrderedDict[str, Waiting] = OrderedDict()
        self.open: dict[int, Container] = {}  # with room for a run, most recently used last
        self.up = 0  # containers that are its own
        self.busy = 0  # of them, those at work
        self.places = 0  # runs that these take at once, when they are initialised
        self.starting = 0  # containers being created for it
        self.adopting = 0  # of them, those that an earlier process made
        self.warming = 0  # further runs that its containers will take once they are initialised
        self.served = float("-inf")  # when a job of it was last placed
        self.created = float("-inf")  # when a container was last begun for it
        self.why = ""

    @property
    def head(self) -> Waiting:
        """The job that is next."""
        return next(iter(self.queue.values()))

    @property
    def in_use(self) -> bool:
        """Whether anything refers to it still."""
        return bool(self.queue) or self.up > 0 or self.starting > 0

    @property
    def unprovided(self) -> int:
        """Waiting jobs for which no container is on its way."""
        return len(self.queue) - self.starting * self.concurrency - self.warming

    def since(self) -> float:
        """When the first job came for which no container is being created (the last one's time if there is none)."""
        index = min(self.starting * self.concurrency + self.warming, len(self.queue) - 1)
        return next(islice(self.queue.values(), index, None)).since


class Queues:
    """All actions in use, and the order in which those that wait get their turn."""

    def __init__(self) -> None:
        self.actions: dict[Owner, Action] = {}
        self.jobs: dict[str, Action] = {}  # job id -> where it waits
        self.waiting: OrderedDict[str, dict[Owner, Action]] = OrderedDict()  # namespace -> those with a queue; next turn first

    def action(self, job: Waiting) -> Action:
        """The action of a job; made if need be."""
        return self.known((job.namespace, job.key), Shape(job.kind, job.image, job.memory, job.user_image), job.concurrency)

    def known(self, owner: Owner, shape: Shape, concurrency: int) -> Action:
        """The same for one of which only this is known."""
        action = self.actions.get(owner)
        if action is None:
            action = self.actions[owner] = Action(owner, shape, concurrency)
        return action

    def add(self, job: Waiting) -> Action:
        """Queue a job. Raises RefusedJob if its id is queued already."""
        if job.id in self.jobs:
            raise RefusedJob(f"job {job.id} is queued already")
        action = self.action(job)
        if not action.queue:
            self.waiting.setdefault(job.namespace, {})[action.owner] = action
        action.queue[job.id] = job
        if job.first:
            action.queue.move_to_end(job.id, last=False)
            self.waiting.move_to_end(job.namespace, last=False)
        self.jobs[job.id] = action
        return action

    def take(self, action: Action, job_id: str) -> Waiting:
        """Take a job out of its queue."""
        job = action.queue.pop(job_id)
        del self.jobs[job_id]
        if not action.queue:
            namespace = self.waiting[job.namespace]
            del namespace[action.owner]
            if not namespace:
                del self.waiting[job.namespace]
        return job

    def drop(self, action: Action) -> None:
        """Forget the action if nothing refers to it any more."""
        if not action.in_use:
            self.actions.pop(action.owner, None)

    def waits(self, owner: Owner) -> bool:
        """Whether a job of the action waits."""
        return owner in self.waiting.get(owner[0], ())

    def served(self, namespace: str) -> None:
        """The namespace had its turn: it is the last one now."""
        if namespace in self.waiting:
            self.waiting.move_to_end(namespace)

    def in_turn(self, wanted: Callable[[Action], bool]) -> list[Action]:
        """Those that wait and are `wanted`: every namespace's first ones, then every namespace's second ones, and so on."""
        lines = [sorted(filter(wanted, actions.values()), key=_came) for actions in self.waiting.values()]
        return [action for round_ in zip_longest(*lines) for action in round_ if action is not None]

    def turns(self) -> Turns:
        """The turns of those that wait."""
        return Turns(self)


class Turns:
    """One round after the other over the namespaces; in each, the action whose job waits longest."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._lines: OrderedDict[str, list[tuple[float, int, Action]]] = OrderedDict()
        for namespace, actions in queues.waiting.items():
            line = [(action.since(), n, action) for n, action in enumerate(actions.values())]
            heapify(line)
            self._lines[namespace] = line

    def __iter__(self) -> Iterator[Action]:
        """Whose turn it is; answer with `done` or `blocked` before going on."""
        while self._lines:
            yield next(iter(self._lines.values()))[0][2]

    def done(self, action: Action) -> None:
        """It got something: the next namespace's turn."""
        namespace = action.owner[0]
        line = self._lines[namespace]
        if action.queue:
            heapreplace(line, (action.since(), line[0][1], action))
            self._lines.move_to_end(namespace)
        else:
            self.blocked(action)
            if namespace in self._lines:
                self._lines.move_to_end(namespace)
        self._queues.served(namespace)

    def blocked(self, action: Action) -> None:
        """It can get nothing now: the namespace's next action instead."""
        line = self._lines[action.owner[0]]
        heappop(line)
        if not line:
            del self._lines[action.owner[0]]


def _came(action: Action) -> float:
    return action.head.since
