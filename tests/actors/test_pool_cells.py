"""Stem cells that follow demand, on the virtual clock: upstream's `reactive` settings."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from actors.pool import Create, Pool, PoolSettings, StemCell
from actors.pool_cells import Order
from actors.pool_state import Reactive
from tests.actors.pool_node import Node, job

REACTIVE = Reactive(min_count=1, max_count=4, ttl=120.0, threshold=2, increment=1)
CELL = StemCell("python:3", "", 128, 2, reactive=REACTIVE)


def node(**settings) -> Node:
    return Node(2048, stem_cells=(CELL,), prewarm_check=600.0, **settings)


def cells(node: Node) -> int:
    """How many wait now."""
    return node.pool.overview()["memory"]["prewarm"] // 128


def settle(node: Node, until: float) -> int:
    """The number that there is then, however often the pool wants to be asked before."""
    step = node.now
    while step < until:
        step = min(until, step + 5.0)
        node.at(step, lambda: None)
    node.run(until)
    return cells(node)


def test_starts_with_its_count_and_is_topped_up_to_the_least() -> None:
    """The first one used is not replaced as long as the least number is there; the second is."""
    one = node()
    assert settle(one, 5.0) == 2
    one.submit(6.0, "a", action="a")
    assert settle(one, 10.0) == 1
    one.submit(11.0, "b", action="b")
    assert settle(one, 20.0) == 1


def test_grows_with_cold_starts_and_shrinks_without() -> None:
    """`increment` for each `threshold` cold starts of the last period, within the bounds; then the least number again."""
    one = node()
    settle(one, 5.0)
    for n in range(9):
        one.submit(300.0, f"job{n}", action=f"action{n}", run=1.0)
    settle(one, 590.0)
    cold = sum(start == "cold" for _, _, start in one.started.values())
    assert cold >= 7
    assert settle(one, 620.0) == min(4, cold // 2)
    assert settle(one, 1400.0) == 1


def test_a_cell_goes_after_its_time_and_another_takes_its_place_at_once() -> None:
    """Removal blocks no creation: the new one begins in the plan that removes the old one."""
    one = node()
    settle(one, 5.0)
    settle(one, 200.0)
    gone = [time for time, _ in one.destroyed]
    assert len(gone) == 2
    assert all(120.0 <= time < 125.5 for time in gone)
    assert next(time for time, _ in one.creations if time > 5.0) <= gone[0]
    assert cells(one) == 1


def test_creation_that_fails_is_delayed_more_and_more() -> None:
    """Of cells as of anything else; nothing else is hindered."""
    pool = Pool(PoolSettings(2048, stem_cells=(StemCell("python:3", "", 128, 3),)))
    now, times = 0.0, []
    while now < 30.0:
        for decision in pool.plan(now):
            assert isinstance(decision, Create)
            times.append(now)
            pool.lost(decision.cid)
            pool.gone(decision.cid)
        at = pool.next_wakeup(now)
        now = now + 0.01 if at is None or at <= now else at
    moments = sorted(set(times))
    gaps = [after - before for before, after in pairwise(moments)]
    assert len(moments) < 10, "the engine is left in peace"
    assert all(later >= sooner * 0.99 for sooner, later in pairwise(gaps))
    pool.add(job("1", kind="nodejs:20"))
    assert any(isinstance(each, Create) and each.kind == "nodejs:20" for each in pool.plan(now))


def test_no_more_at_once_than_allowed() -> None:
    """Many cells are made one after the other."""
    one = Node(4096, stem_cells=(StemCell("python:3", "", 128, 12),), starting=3)
    settle(one, 0.25)
    assert one.pool.overview()["memory"]["starting"] == 3 * 128
    assert settle(one, 5.0) == 12


@given(
    st.integers(0, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 5), st.lists(st.integers(0, 60), max_size=8)
)
def test_targets_are_upstreams(least: int, more: int, threshold: int, increment: int, demand: list[int]) -> None:
    """`min(max(minCount, floor(coldStarts / threshold) * increment), maxCount)` at every look, never outside the bounds."""
    most = least + more
    order = Order(StemCell("k", "", 1, 1, reactive=Reactive(least, most, 60.0, threshold, min(increment, most))))
    for cold in demand:
        order.follow(cold)
        assert order.target == min(max(least, cold // threshold * min(increment, most)), most)
        assert least <= order.target <= most
