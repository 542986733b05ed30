"""Few busy containers beat many: short runs wait a moment for a container at work, long ones never."""

from __future__ import annotations

from actors.pool import Assign, Pool, PoolSettings
from actors.pool_cost import HOLD, SHORT
from tests.actors.pool_node import Given, Node, job
from tests.actors.test_pool import idle

FEW = 2


def warm(count: int, run_ms: float, memory: int = 2048) -> tuple[Pool, list[int]]:
    """A pool with that many idle containers of one action, whose runs took that long."""
    pool = Pool(PoolSettings(memory, few=FEW, starting=8))
    return pool, idle(pool, *(job(f"first{n}") for n in range(count)), run_ms=run_ms)


def assigned(pool: Pool, now: float) -> list[str]:
    return [each.id for each in pool.plan(now) if isinstance(each, Assign)]


def test_short_runs_wait_for_containers_at_work() -> None:
    """Beyond the few the next run waits, and takes the first one that is free; the others stay idle."""
    pool, _ = warm(6, run_ms=1.0)
    for n in range(5):
        pool.add(job(str(n), since=10.0))
    placed = pool.plan(10.0)
    assert [each.id for each in placed] == ["0", "1"]
    pool.free(placed[0].cid, "0", 1.0, 0.0, 10.001)
    assert pool.plan(10.001) == [Given(placed[0].cid, "2", "warm")]


def test_nobody_waits_for_long() -> None:
    """If those at work take their time, an idle one has it after HOLD: the pool asks to be woken for that."""
    pool, cids = warm(6, run_ms=1.0)
    for n in range(4):
        pool.add(job(str(n), since=10.0))
    assert assigned(pool, 10.0) == ["0", "1"]
    assert pool.next_wakeup(10.0) == 10.0 + HOLD
    assert assigned(pool, 10.0 + HOLD / 2) == []
    assert assigned(pool, 10.0 + HOLD) == ["2", "3"]
    assert len(cids) == 6


def test_long_runs_never_wait_beside_an_idle_container() -> None:
    """What takes longer than SHORT gains from every container."""
    pool, _ = warm(6, run_ms=SHORT * 1000 * 2)
    for n in range(5):
        pool.add(job(str(n), since=10.0))
    assert assigned(pool, 10.0) == ["0", "1", "2", "3", "4"]


def test_times_made_long_by_a_busy_loop_do_not_hide_a_short_run() -> None:
    """The lower edge of what was measured counts; it rises when all runs have become long."""
    pool, cids = warm(1, run_ms=1.0)
    (cid,) = cids
    for n in range(200):
        pool.add(job(f"r{n}", since=20.0 + n))
        pool.plan(20.0 + n)
        pool.free(cid, f"r{n}", 40.0 if n % 20 else 1.0, 0.0, 20.5 + n)
        if n < 190:
            low = pool.estimates.shortest.get(("hello", "1-a"))
            assert low is not None
            assert low < 0.03
    for _ in range(200):
        pool.estimates.shortest.learn(("hello", "1-a"), 0.04)
    assert pool.estimates.shortest.get(("hello", "1-a")) > SHORT


def test_a_steady_crowd_of_short_runs_needs_few_containers() -> None:
    """On the virtual clock: what sixteen callers need is done by the few, nobody waits longer than HOLD beside an idle one."""
    node = Node(4096, few=FEW)
    for n in range(2000):
        node.submit(5.0 + n * 0.001, f"job{n}", run=0.0015)
    node.run(10.0)
    used = {cid for time, cid, _ in node.started.values() if time > 6.0}
    assert len(node.started) == 2000
    assert 1 <= len(used) <= FEW + 1
