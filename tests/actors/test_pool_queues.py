"""Queues and turns."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.pool_queues import Queues
from actors.pool_state import RefusedJob
from tests.actors.pool_node import job

JOBS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=30)


def filled(jobs):
    queues = Queues()
    for n, (namespace, action) in enumerate(jobs):
        queues.add(job(f"j{n}", namespace, action, since=float(n)))
    return queues


def serve(queues, times=1000):
    served = []
    turns = queues.turns()
    for action in turns:
        if not times:
            turns.blocked(action)
            continue
        times -= 1
        served.append(queues.take(action, action.head.id))
        turns.done(action)
    return served


@given(JOBS)
def test_everybody_is_served_once(jobs):
    """Turns reach every job, in each namespace in the order in which the jobs came, and leave nothing behind."""
    queues = filled(jobs)
    served = serve(queues)
    assert len(served) == len(jobs)
    for namespace in "abc":
        ours = [one.since for one in served if one.namespace == namespace]
        assert ours == sorted(ours)
    assert not queues.waiting
    assert not queues.jobs
    for action in list(queues.actions.values()):
        queues.drop(action)
    assert not queues.actions


@given(JOBS, st.integers(0, 30))
def test_namespaces_differ_by_one_turn_at_most(jobs, times):
    """However the work is cut into plans, namespaces that still wait have had the same number of turns, give or take one."""
    queues = filled(jobs)
    turns = defaultdict(int)
    for one in serve(queues, times // 2) + serve(queues, times - times // 2):
        turns[one.namespace] += 1
    waiting = [turns[namespace] for namespace in queues.waiting]
    assert not waiting or max(waiting) - min(waiting) <= 1


@given(JOBS)
def test_blocked_actions_cost_no_turn(jobs):
    """If nothing can be given, everybody is asked exactly once and the order stays."""
    queues = filled(jobs)
    before = list(queues.waiting)
    turns, asked = queues.turns(), []
    for action in turns:
        asked.append(action.owner)
        turns.blocked(action)
    assert sorted(asked) == sorted({(namespace, (action, "1-a")) for namespace, action in jobs})
    assert list(queues.waiting) == before


@given(JOBS)
def test_in_turn_goes_round_by_round(jobs):
    """The first of every namespace come before the second of any."""
    queues = filled(jobs)
    rank = defaultdict(int)
    last = 0
    for action in queues.in_turn(lambda action: action.owner[1][0] != "z"):
        assert action.owner[1][0] != "z"
        assert rank[action.owner[0]] >= last
        last = rank[action.owner[0]]
        rank[action.owner[0]] += 1


def test_an_id_waits_once():
    """A second job of the same id is refused and the first one stays."""
    queues = filled([("a", "x")])
    with pytest.raises(RefusedJob):
        queues.add(job("j0", "b", "y"))
    assert list(queues.waiting) == ["a"]
    assert queues.waits(("a", ("x", "1-a")))
    assert not queues.waits(("b", ("y", "1-a")))
