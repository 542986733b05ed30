"""A caller of the pool on a virtual clock: creations, runs and removals take the times it is given."""

from __future__ import annotations

from heapq import heappop, heappush

from actors.pool import Assign, Create, Pool, PoolSettings, Waiting


def job(id, namespace="ann", action="hello", memory=128, *, since=0.0, kind="python:3", concurrency=1, alone=False, revision="1-a"):
    return Waiting(id, namespace, (action, revision), kind, "", memory, concurrency, False, alone, since)


class Given:
    """An Assign as most tests want it: container, job, start, whatever it waited for."""

    def __init__(self, cid, id, start):
        self.told = (cid, id, start)

    def __eq__(self, other):
        return isinstance(other, Assign) and (other.cid, other.id, other.start) == self.told

    __hash__ = None

    def __repr__(self):
        return f"Given{self.told}"


class Node:
    """`create`, `remove` and `init` in seconds; a job's run time comes with `submit`."""

    def __init__(self, memory=512, *, create=0.3, remove=0.1, init=0.02, policy=Pool, **settings):
        self.pool = policy(PoolSettings(memory, **settings))
        self.now = 0.0
        self.create, self.remove, self.init = create, remove, init
        self.runs = {}
        self.actions = {}
        self.started = {}  # job id -> (time, cid, start)
        self.creations = []  # (time, namespace or kind)
        self.destroyed = []
        self._events = []
        self._n = 0

    def at(self, time, what, *args):
        self._n += 1
        heappush(self._events, (time, self._n, what, args))

    def submit(self, time, id, run=0.005, **fields):
        self.runs[id] = run
        self.at(time, self._submit, job(id, since=time, **fields))

    def _submit(self, waiting):
        self.actions[waiting.id] = waiting
        self.pool.add(waiting)

    def run(self, until=1e9, limit=100_000):
        """Until nothing happens any more, or `until`."""
        while limit:
            limit -= 1
            self._plan()
            times = [event[0] for event in self._events[:1]]
            wake = self.pool.next_wakeup(self.now)
            if wake is not None and (self._events or self.pool.overview()["queued"]):
                times.append(wake)
            if not times or min(times) > until:
                self.now = max(self.now, until if until < 1e9 else self.now)
                return self
            self.now = min(times)
            while self._events and self._events[0][0] <= self.now:
                _, _, what, args = heappop(self._events)
                what(*args)
        raise AssertionError(f"no end: {self.pool}")

    def _plan(self):
        for decision in self.pool.plan(self.now):
            if isinstance(decision, Create):
                self.creations.append((self.now, decision))
                self.at(self.now + self.create, self._up, decision.cid)
            elif isinstance(decision, Assign):
                self.started[decision.id] = (self.now, decision.cid, decision.start)
                init = 0.0 if decision.start == "warm" else self.init
                self.at(self.now + init + self.runs[decision.id], self._done, decision.cid, decision.id, init)
            else:
                self.destroyed.append((self.now, decision))
                self.at(self.now + self.remove, self.pool.gone, decision.cid)

    def _up(self, cid):
        self.pool.up(cid, self.now)

    def _done(self, cid, id, init):
        self.pool.free(cid, id, self.runs[id] * 1000, init * 1000, self.now)

    def waits(self, prefix=""):
        """Seconds that the jobs waited whose ids begin so, in the order they came."""
        return [self.started[id][0] - w.since for id, w in self.actions.items() if id.startswith(prefix)]
