"""What a decision of the container pool costs: a warm call beside 50 containers and 1,000 jobs that wait for other actions.

python benchmarks/pool.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from actors.pool import Assign, Create, Pool, PoolSettings, Waiting

CONTAINERS = 50
CALLS = 20_000


def job(name: str, namespace: str, action: str, memory: int, since: float) -> Waiting:
    return Waiting(name, namespace, (action, "1-a"), "python:3", "", memory, 1, False, False, since)


def full_pool() -> Pool:
    """All memory in containers, every tenth of them idle."""
    pool = Pool(PoolSettings(128 * CONTAINERS, starting=CONTAINERS))
    for n in range(CONTAINERS):
        pool.add(job(f"first{n}", "ann", f"action{n}", 128, 0.0))
    for decision in pool.plan(0.0):
        assert isinstance(decision, Create)
        pool.up(decision.cid, 0.05)
    for n, decision in enumerate(pool.plan(0.05)):
        assert isinstance(decision, Assign)
        if n % 10 == 0:
            pool.free(decision.cid, decision.id, 5.0, 10.0, 0.1)
    pool.plan(0.1)
    return pool


def warm_calls(queues: int, each: int) -> str:
    pool = full_pool()
    for queue in range(queues):
        for n in range(each):
            pool.add(job(f"waits{queue}-{n}", f"namespace{queue % 20}", f"other{queue}", 1024, 0.1))
    pool.plan(0.1)
    now, began, ended = 0.1, 0.0, 0.0
    for n in range(CALLS):
        now += 0.0001
        call = job(f"call{n}", "ann", "action0", 128, now)
        at = time.perf_counter()
        pool.add(call)
        (decision,) = pool.plan(now)
        pool.next_wakeup(now)
        began += time.perf_counter() - at
        assert isinstance(decision, Assign)
        now += 0.0001
        at = time.perf_counter()
        pool.free(decision.cid, call.id, 0.1, 0.0, now)
        pool.plan(now)
        pool.next_wakeup(now)
        ended += time.perf_counter() - at
    return f"{began / CALLS * 1e6:6.1f} us to place it, {ended / CALLS * 1e6:6.1f} us when it ended"


def survey(queues: int) -> str:
    """The dearest plan: memory became free, everybody who waits is looked at."""
    pool = full_pool()
    for queue in range(queues):
        pool.add(job(f"waits{queue}", f"namespace{queue % 20}", f"other{queue}", 1024, 0.1))
    pool.plan(0.1)
    took = 0.0
    for _ in range(20):
        pool.add(job("gone", "ann", "x", 1024, 0.1))
        pool.cancel("gone")  # the cheapest fact that makes the pool look at everybody
        at = time.perf_counter()
        pool.plan(0.1)
        took += time.perf_counter() - at
    return f"{took / 20 * 1e6:6.0f} us"


if __name__ == "__main__":
    print(f"a warm call, 1,000 jobs in 10 queues:    {warm_calls(10, 100)}")
    print(f"a warm call, 1,000 jobs in 1,000 queues: {warm_calls(1000, 1)}")
    print(f"looking at everybody, 1,000 queues:      {survey(1000)}")
