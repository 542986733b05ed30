"""The pool's decisions, step by step."""

from __future__ import annotations

import pytest

from actors.pool import Assign, Create, Destroy, Pool, PoolSettings, StemCell
from actors.pool_state import IllegalMove, RefusedJob, Shape, UnknownContainer
from tests.actors.pool_node import Given, job

CELLS = (StemCell("python:3", "", 128, 1),)


def pool_of(memory=512, **settings):
    return Pool(PoolSettings(memory, **settings))


def start(pool, *jobs, now=0.0, init_ms=20.0, create=0.0):
    """Queue the jobs, each with a container of its own; returns the containers' numbers."""
    for one in jobs:
        pool.add(one)
    decisions = pool.plan(now)
    for decision in decisions:
        if isinstance(decision, Create) and not decision.prewarm:
            pool.up(decision.cid, now + create)
    decisions += pool.plan(now + create)
    placed = {decision.id: decision.cid for decision in decisions if isinstance(decision, Assign)}
    return [placed[one.id] for one in jobs]


def idle(pool, *jobs, now=0.0, run_ms=5.0):
    """As `start`, and the runs have ended."""
    cids = start(pool, *jobs, now=now)
    for cid, one in zip(cids, jobs, strict=True):
        pool.free(cid, one.id, run_ms, 20.0, now)
    assert pool.plan(now) == []
    return cids


def shown(pool):
    return repr(pool)[len("<Pool [") : -len("]>")]


def test_life_of_a_container():
    """From a first call to the end of an idle container, memory counting until it is gone."""
    pool = pool_of()
    assert shown(pool) == "0/512 MB | Containers: 0 busy, 0 idle, 0 prewarm, 0 starting, 0 removing | Queued: 0 in 0 queues"
    pool.add(job("1"))
    assert pool.plan(0) == [Create(1, "python:3", "", 128, 1, False, prewarm=False)]
    assert shown(pool) == "128/512 MB | Containers: 0 busy, 0 idle, 0 prewarm, 1 starting, 0 removing | Queued: 1 in 1 queue"
    assert pool.plan(0) == []
    pool.up(1, 0.3)
    assert shown(pool) == "128/512 MB | Containers: 0 busy, 0 idle, 1 prewarm, 0 starting, 0 removing | Queued: 1 in 1 queue"
    assert pool.plan(0.3) == [Given(1, "1", "cold")]
    assert shown(pool) == "128/512 MB | Containers: 1 busy, 0 idle, 0 prewarm, 0 starting, 0 removing | Queued: 0 in 0 queues"
    pool.free(1, "1", 5.0, 20.0, 1.0)
    assert pool.plan(1.0) == []
    assert shown(pool) == "128/512 MB | Containers: 0 busy, 1 idle, 0 prewarm, 0 starting, 0 removing | Queued: 0 in 0 queues"
    pool.add(job("2", since=2.0))
    assert pool.plan(2.0) == [Given(1, "2", "warm")]
    pool.free(1, "2", 5.0, 0.0, 3.0)
    pool.plan(601.0)
    assert pool.next_wakeup(601.0) == 603.0
    assert pool.plan(602.9) == []
    assert pool.plan(603.0) == [Destroy(1, "idle for too long")]
    assert shown(pool) == "128/512 MB | Containers: 0 busy, 0 idle, 0 prewarm, 0 starting, 1 removing | Queued: 0 in 0 queues"
    pool.gone(1)
    assert shown(pool) == "0/512 MB | Containers: 0 busy, 0 idle, 0 prewarm, 0 starting, 0 removing | Queued: 0 in 0 queues"
    assert pool.next_wakeup(700.0) is None


# The order: warm, prewarmed, new, evict, queue.


def test_warm_goes_before_prewarmed_before_new_before_eviction_before_waiting():
    """One job after the other takes the next best thing."""
    pool = pool_of(384, stem_cells=CELLS)
    (cell,) = [decision.cid for decision in pool.plan(0)]
    pool.up(cell, 0.0)
    (warm,) = start(pool, job("0", action="a"))
    assert warm == cell
    (new_cell,) = [container["cid"] for container in pool.overview()["containers"] if container["state"] == "starting"]
    pool.up(new_cell, 0.0)
    pool.free(warm, "0", 1000.0, 20.0, 0.0)
    assert pool.plan(0.0) == []
    pool.add(job("1", action="a"))
    assert pool.plan(10.0) == [Given(warm, "1", "warm")]
    pool.add(job("2", action="a"))
    assert pool.plan(10.0)[0] == Given(new_cell, "2", "prewarmed")
    replacement = max(container["cid"] for container in pool.overview()["containers"])
    assert shown(pool).startswith("384/384 MB | Containers: 2 busy, 0 idle, 0 prewarm, 1 starting")
    pool.up(replacement, 10.0)
    pool.add(job("3", action="b", kind="nodejs:20"))
    assert pool.plan(10.0) == [Destroy(replacement, "evicted for b")]
    pool.add(job("4", action="c"))
    assert pool.plan(10.0) == []
    pool.gone(replacement)
    (create,) = pool.plan(10.0)
    assert (create.kind, create.prewarm) == ("nodejs:20", False)
    assert shown(pool) == "384/384 MB | Containers: 2 busy, 0 idle, 0 prewarm, 1 starting, 0 removing | Queued: 2 in 2 queues"


def test_most_recently_used_first():
    """Of several warm containers the one used last takes the job; upstream's choice is arbitrary."""
    pool = pool_of()
    cids = start(pool, *(job(str(n)) for n in range(3)))
    for n, at in ((1, 1.0), (2, 2.0), (0, 3.0)):
        pool.free(cids[n], str(n), 5.0, 20.0, at)
    pool.plan(3.0)
    for n, expected in ((10, 0), (11, 2), (12, 1)):
        pool.add(job(str(n), since=4.0))
        assert pool.plan(4.0) == [Given(cids[expected], str(n), "warm")]


@pytest.mark.parametrize("other", [{"namespace": "bob"}, {"action": "bye"}, {"revision": "2-b"}])
def test_never_shared(other):
    """Another namespace, action or revision gets a container of its own."""
    pool = pool_of()
    idle(pool, job("1"))
    pool.add(job("2", **other))
    (decision,) = pool.plan(1.0)
    assert isinstance(decision, Create)


def test_queue_is_first_in_first_out():
    """Jobs of an action run in the order in which they came."""
    pool = pool_of(128)
    (cid,) = start(pool, job("0"))
    for n in range(1, 4):
        pool.add(job(str(n), since=n / 10))
    for n in range(3):
        pool.free(cid, str(n), 5.0, 0.0, 1.0)
        assert pool.plan(1.0) == [Given(cid, str(n + 1), "warm")]


def test_cancelled_jobs_are_not_placed():
    """A job is cancelled once, wherever it waits, and only while it waits."""
    pool = pool_of()
    pool.add(job("1"))
    pool.add(job("2", alone=True))
    assert pool.cancel("1")
    assert pool.cancel("2")
    assert not pool.cancel("1")
    assert pool.plan(0.0) == []
    (cid,) = start(pool, job("3"))
    assert not pool.cancel("3")
    assert cid == 1


# Upstream's faults.


def test_budget_is_never_overrun():
    """Upstream evicts 128 MB for a job of 256 MB and then creates it all the same; here nothing is evicted in vain."""
    pool = pool_of(512)
    (busy,) = start(pool, job("busy", action="busy", memory=384))
    idle(pool, job("idle", action="idle"))
    pool.add(job("big", action="big", memory=256))
    assert pool.plan(3.0) == []
    assert "512/512 MB" in shown(pool)
    pool.free(busy, "busy", 5.0, 20.0, 3.5)
    assert pool.plan(10.0) == [Destroy(busy, "evicted for big")]


def test_memory_of_removed_containers_counts():
    """Upstream takes an evicted container's memory for free at once; here a new one waits until it is gone."""
    pool = pool_of(128)
    (old,) = idle(pool, job("1", action="a"))
    pool.add(job("2", action="b", since=10.0))
    assert pool.plan(10.0) == [Destroy(old, "evicted for b")]
    assert pool.plan(10.1) == []
    pool.gone(old)
    assert [type(decision) for decision in pool.plan(10.2)] == [Create]


def test_large_head_does_not_block():
    """Upstream's buffer is one line: a large job at its head stops even those that have a warm container."""
    pool = pool_of(512)
    (warm, busy) = start(pool, job("w", action="w"), job("busy", action="busy", memory=256))
    pool.add(job("large", action="large", memory=512))
    assert pool.plan(0.1) == []
    pool.free(warm, "w", 5.0, 20.0, 0.2)
    pool.add(job("again", action="w", since=0.2))
    pool.add(job("new", action="new", since=0.2))
    first, second = pool.plan(0.2)
    assert first == Given(warm, "again", "warm")
    assert isinstance(second, Create)
    assert busy != second.cid


def test_evicts_only_what_is_missing():
    """Upstream evicts the whole size of the job even if part of it is free."""
    pool = pool_of(512)
    idle(pool, *(job(str(n), action=f"a{n}") for n in range(3)))
    pool.add(job("big", action="big", memory=256))
    assert len(pool.plan(10.0)) == 1


def test_one_large_victim_instead_of_many():
    """Small containers that went into the choice first stay if a larger one is enough by itself."""
    pool = pool_of(512)
    small = idle(pool, job("s", action="s"), now=0.0)
    large = idle(pool, job("l", action="l", memory=384), now=1.0)
    pool.add(job("big", action="big", memory=384, since=50.0))
    assert pool.plan(50.0) == [Destroy(large[0], "evicted for big")]
    assert small


def test_larger_than_the_pool():
    """The caller can ask, and a job that could never run isn't queued."""
    pool = pool_of(512)
    assert pool.fits(512)
    assert not pool.fits(513)
    with pytest.raises(RefusedJob, match="513 MB of a pool of 512 MB"):
        pool.add(job("1", memory=513))


# Creations.


def test_creations_follow_the_jobs_and_the_limit():
    """One container per waiting job, no more, and only so many at once."""
    pool = pool_of(2048, starting=2)
    for n in range(3):
        pool.add(job(str(n)))
    assert len(pool.plan(0.0)) == 2
    assert pool.overview()["queued"][0]["why"] == "as many containers as allowed are being created"
    pool.up(1, 0.3)
    first, second = pool.plan(0.3)
    assert first == Given(1, "0", "cold")
    assert isinstance(second, Create)
    pool.up(2, 0.4)
    assert pool.plan(0.4) == [Given(2, "1", "cold")]


def test_patience_ends_when_a_creation_would_have():
    """The mean promises a place in 5 ms, but the run goes on: whoever waited as long as a cold start gets a container."""
    pool = pool_of(512)
    (cid,) = start(pool, job("0"), create=0.3)
    pool.free(cid, "0", 5.0, 100.0, 0.5)
    pool.add(job("stuck", since=1.0))
    pool.plan(1.0)
    for n in range(3):
        pool.add(job(str(n + 1), since=1.0))
    assert pool.plan(1.0) == []
    assert pool.overview()["queued"][0]["why"] == "its containers will be free sooner than a new one"
    assert pool.next_wakeup(1.0) == pytest.approx(1.4)
    assert [type(decision) for decision in pool.plan(pool.next_wakeup(1.0))] == [Create]


def test_containers_no_longer_needed_serve_their_kind():
    """A creation whose job found another container becomes an empty one for any action of its shape."""
    pool = pool_of()
    (first,) = start(pool, job("1"))
    pool.add(job("2"))
    (create,) = pool.plan(0.1)
    pool.free(first, "1", 5.0, 20.0, 0.2)
    assert pool.plan(0.2) == [Given(first, "2", "warm")]
    pool.up(create.cid, 0.5)
    assert pool.plan(0.5) == []
    pool.add(job("3", namespace="bob", action="other", since=1.0))
    assert pool.plan(1.0) == [Given(create.cid, "3", "prewarmed")]


def test_failed_creations_back_off():
    """After a failed creation the next one of the image waits 0.1 s, 0.2 s, … at most 10 s; a success ends that."""
    pool = pool_of(256)
    pool.add(job("1"))
    pool.add(job("2", since=0.5))
    now, delays = 0.0, []
    for _ in range(9):
        creates = pool.plan(now)
        assert len(creates) == 2
        for create in creates:
            assert pool.lost(create.cid) == []
            assert pool.waiting_for(create.cid) == ["1", "2"]
            pool.gone(create.cid)
        assert pool.plan(now) == []
        assert pool.overview()["queued"][0]["why"] == "creation failed, waiting before the next attempt"
        at = pool.next_wakeup(now)
        assert pool.plan(now + (at - now) * 0.99) == []
        delays.append(round(at - now, 3))
        now = at
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    first, _ = pool.plan(now)
    pool.up(first.cid, now)
    assert pool.plan(now) == [Given(first.cid, "1", "cold")]
    pool.free(first.cid, "1", 5.0, 20.0, now)
    pool.lost(first.cid)
    pool.gone(first.cid)
    pool.add(job("3", action="other", since=now))
    assert Create in [type(decision) for decision in pool.plan(now)]


def test_containers_that_die_unused_back_off():
    """A stem cell that comes up and ends by itself is made again after 0.1 s, 0.2 s, …, not at once for ever."""
    pool = pool_of(512, stem_cells=CELLS)
    now, delays = 0.0, []
    for _ in range(4):
        (create,) = pool.plan(now)
        pool.up(create.cid, now)
        pool.plan(now)
        pool.lost(create.cid)
        pool.gone(create.cid)
        assert pool.plan(now) == []
        at = pool.next_wakeup(now)
        delays.append(round(at - now, 3))
        now = at
    assert delays == [0.1, 0.2, 0.4, 0.8]


def test_failed_stem_cells_are_nobodys():
    """No job is charged with a stem cell's failure, and it backs off too."""
    pool = pool_of(512, stem_cells=CELLS)
    (create,) = pool.plan(0.0)
    pool.lost(create.cid)
    assert pool.waiting_for(create.cid) == []
    pool.gone(create.cid)
    assert pool.plan(0.0) == []
    assert pool.next_wakeup(0.0) == 0.1
    assert [type(decision) for decision in pool.plan(0.1)] == [Create]


def test_lost_containers_return_their_jobs():
    """Memory counts until gone; jobs still in it are named; their ends are bookkeeping, before and after."""
    pool = pool_of(128)
    (cid,) = start(pool, job("1"))
    assert pool.lost(cid) == ["1"]
    assert pool.lost(cid) == ["1"]
    pool.add(job("1"))
    assert pool.plan(0.1) == []
    pool.release(cid, "1")
    pool.gone(cid)
    pool.release(cid, "1")
    assert [type(decision) for decision in pool.plan(0.2)] == [Create]


# Starvation.


def test_freed_memory_is_kept_for_one_who_starves():
    """After `starvation` no container is made for others from the memory a large action collects, and idle ones go for it."""
    pool = pool_of(512, starvation=5.0)
    cids = start(pool, *(job(str(n), action=f"a{n}") for n in range(4)))
    pool.add(job("large", action="large", memory=384))
    assert pool.plan(0.1) == []
    assert pool.next_wakeup(0.1) == 5.0
    assert pool.plan(5.0) == []
    pool.add(job("more", action="a0", since=5.0))
    pool.free(cids[0], "0", 5.0, 20.0, 5.1)
    assert pool.plan(5.1) == [Destroy(cids[0], "evicted for large")]
    pool.gone(cids[0])
    assert pool.plan(5.2) == []
    assert "kept for it" in {line["action"]: line["why"] for line in pool.overview()["queued"]}["large"]
    for n in (1, 2):
        pool.free(cids[n], str(n), 5.0, 20.0, 5.3)
        assert pool.plan(5.3) == [Destroy(cids[n], "evicted for large")]
        pool.gone(cids[n])
    (create,) = pool.plan(5.4)
    assert create.memory == 384


def test_what_is_left_beside_the_reserve_is_used():
    """Others still get what one who starves doesn't need."""
    pool = pool_of(640, starvation=5.0)
    cids = start(pool, *(job(str(n), action=f"a{n}") for n in range(3)))
    pool.add(job("large", action="large", memory=384))
    assert pool.plan(5.0) == []
    for n in (0, 1):
        pool.free(cids[n], str(n), 5.0, 20.0, 5.0)
    assert pool.plan(5.0) == [Destroy(cids[0], "evicted for large")]
    pool.add(job("small", action="small", since=5.0))
    assert pool.plan(5.0 + 1.5)[0] == Destroy(cids[1], "evicted for small")


def test_one_evicts_once():
    """Who has got memory that is about to be free doesn't evict for the same container again."""
    pool = pool_of(512, starvation=5.0)
    cids = start(pool, *(job(str(n), action=f"a{n}") for n in range(4)))
    pool.add(job("wants", action="wants", since=0.0))
    pool.plan(6.0)
    for n in range(4):
        pool.free(cids[n], str(n), 5.0, 20.0, 6.0)
    assert len(pool.plan(60.0)) == 1
    assert pool.plan(61.0) == []


# Work alone.


def test_alone_waits_for_silence_and_keeps_it():
    """It starts when nothing runs; until it has ended nothing else is placed."""
    pool = pool_of(512)
    (cid,) = start(pool, job("1"))
    pool.add(job("poison", action="poison", alone=True))
    (create,) = pool.plan(0.1)
    pool.up(create.cid, 0.2)
    assert pool.plan(0.2) == []
    pool.add(job("2", since=0.2))
    pool.free(cid, "1", 5.0, 20.0, 0.3)
    assert pool.plan(0.3) == [Given(create.cid, "poison", "cold")]
    assert pool.plan(0.4) == []
    assert pool.next_wakeup(0.4) is None or pool.next_wakeup(0.4) > 0.4
    assert pool.overview()["queued"][0]["why"] == "another job runs alone"
    assert pool.lost(create.cid) == ["poison"]
    assert pool.plan(0.5) == []
    pool.release(create.cid, "poison")
    assert pool.plan(0.6) == [Given(cid, "2", "warm")]


def test_alone_uses_warm_containers_and_evicts_for_new_ones():
    """By the usual order, one after the other, ended by the container's end too."""
    pool = pool_of(128)
    (warm,) = idle(pool, job("0"))
    pool.add(job("1", alone=True))
    pool.add(job("2", action="other", alone=True))
    assert pool.plan(1.0) == [Given(warm, "1", "warm")]
    pool.free(warm, "1", 5.0, 0.0, 2.0)
    assert pool.plan(2.0) == [Destroy(warm, "evicted for other")]
    assert pool.plan(2.1) == []
    pool.gone(warm)
    (create,) = pool.plan(2.2)
    pool.up(create.cid, 2.3)
    assert pool.plan(2.3) == [Given(create.cid, "2", "cold")]
    pool.add(job("3", action="other"))
    pool.gone(create.cid)
    assert [type(decision) for decision in pool.plan(2.4)] == [Create]


def test_alone_backs_off_too():
    """A creation for a job that wants to be alone is charged to it and repeated after the delay."""
    pool = pool_of(128)
    pool.add(job("1", alone=True))
    (create,) = pool.plan(0.0)
    pool.lost(create.cid)
    assert pool.waiting_for(create.cid) == ["1"]
    pool.gone(create.cid)
    assert pool.plan(0.0) == []
    assert pool.next_wakeup(0.0) == 0.1
    assert [type(decision) for decision in pool.plan(0.1)] == [Create]


# Stem cells.


def test_stem_cells_take_only_spare_memory():
    """They are created where nobody waits, never by evicting, and after those who wait."""
    pool = pool_of(256, stem_cells=(StemCell("python:3", "", 128, 2),))
    pool.add(job("1", action="a", memory=256))
    (create,) = pool.plan(0.0)
    assert not create.prewarm
    pool.up(create.cid, 0.0)
    pool.plan(0.0)
    pool.free(create.cid, "1", 5.0, 20.0, 0.1)
    assert pool.plan(0.1) == []
    assert pool.plan(600.1) == [Destroy(create.cid, "idle for too long")]
    pool.gone(create.cid)
    assert [decision.prewarm for decision in pool.plan(600.2)] == [True, True]


def test_other_memory_sizes_get_their_own():
    """A stem cell of another size, or for a user's own image, isn't taken."""
    pool = pool_of(512, stem_cells=CELLS)
    (cell,) = pool.plan(0.0)
    pool.up(cell.cid, 0.0)
    pool.add(job("1", memory=256))
    (decision,) = pool.plan(0.1)
    assert isinstance(decision, Create)
    assert decision.memory == 256


def test_stem_cells_are_evicted_last_but_are():
    """First the empty ones nobody ordered, then warm ones, then stem cells."""
    pool = pool_of(384, stem_cells=CELLS)
    (cell,) = pool.plan(0.0)
    pool.up(cell.cid, 0.0)
    (warm,) = idle(pool, job("1", action="a", kind="nodejs:20"), now=0.0)
    pool.add(job("2", action="b", kind="nodejs:18"))
    (spare,) = pool.plan(0.0)
    pool.cancel("2")
    pool.up(spare.cid, 1.0)
    pool.plan(1.0)
    order = []
    for n in range(3):
        pool.add(job(f"x{n}", action=f"x{n}", kind="ruby", memory=128 * (n + 1), since=20.0))
        order += [decision.cid for decision in pool.plan(20.0) if isinstance(decision, Destroy)]
        pool.cancel(f"x{n}")
    assert order == [spare.cid, warm, cell.cid]


# Idle containers.


def test_expensive_containers_stay_longer():
    """Of two that are idle for about as long, the one that is quick to make anew goes."""
    pool = pool_of(256)
    (slow,) = start(pool, job("1", action="slow", kind="java"), create=5.0)
    pool.free(slow, "1", 5.0, 20.0, 5.0)
    (quick,) = start(pool, job("2", action="quick"), now=5.0, create=0.1)
    pool.free(quick, "2", 5.0, 20.0, 6.0)
    pool.plan(6.0)
    pool.add(job("3", action="new", kind="ruby", since=20.0))
    assert pool.plan(20.0) == [Destroy(quick, "evicted for new")]


def test_just_used_is_spared():
    """An idle container isn't evicted before it was idle for as long as making it anew would take."""
    pool = pool_of(128)
    (cid,) = start(pool, job("1", action="a"), create=0.4)
    pool.free(cid, "1", 5.0, 100.0, 1.0)
    pool.plan(1.0)
    pool.add(job("2", action="b", since=1.0))
    assert pool.plan(1.0) == []
    assert pool.next_wakeup(1.0) == pytest.approx(1.5)
    assert pool.plan(1.5) == [Destroy(cid, "evicted for b")]


def test_keep_warm():
    """So many of the newest revision stay; those of older revisions go; all go if their memory is wanted."""
    pool = pool_of(512, keep_warm=1)
    start(pool, job("1", revision="1-a"))
    pool.free(1, "1", 5.0, 20.0, 0.0)
    cids = start(pool, job("2", revision="2-b"), job("3", revision="2-b"))
    for cid, id in zip(cids, "23", strict=True):
        pool.free(cid, id, 5.0, 20.0, 1.0)
    assert {decision.cid for decision in pool.plan(700.0)} == {1, cids[0]}
    pool.gone(1)
    pool.gone(cids[0])
    assert pool.plan(7000.0) == []
    pool.add(job("4", action="b", memory=512, since=7000.0))
    assert pool.plan(7000.0) == [Destroy(cids[1], "evicted for b")]


# Several runs in one container.


def test_one_run_until_it_is_initialized_then_up_to_the_limit():
    """A burst makes no more containers than it needs, and nobody runs where the init might still fail."""
    pool = pool_of(512)
    for n in range(4):
        pool.add(job(str(n), concurrency=3))
    assert len(pool.plan(0.0)) == 2
    pool.up(1, 0.1)
    assert pool.plan(0.1) == [Given(1, "0", "cold")]
    pool.initialized(1)
    assert pool.plan(0.2) == [Given(1, "1", "warm"), Given(1, "2", "warm")]
    pool.initialized(1)
    assert pool.plan(0.2) == []
    pool.free(1, "1", 5.0, 0.0, 0.3)
    assert pool.plan(0.3) == [Given(1, "3", "warm")]
    assert shown(pool) == "256/512 MB | Containers: 1 busy, 0 idle, 0 prewarm, 1 starting, 0 removing | Queued: 0 in 0 queues"


def test_queued_ones_get_another_container_if_the_init_fails():
    """Those that waited for a container's other places get one of their own."""
    pool = pool_of(512)
    for n in range(3):
        pool.add(job(str(n), concurrency=3))
    (create,) = pool.plan(0.0)
    pool.up(create.cid, 0.1)
    pool.plan(0.1)
    assert pool.lost(create.cid) == ["0"]
    assert [type(decision) for decision in pool.plan(0.2)] == [Create]


def test_a_container_of_many_runs_is_drained_for_one_who_starves():
    """A container that is never idle would keep its memory for ever; it takes no new runs while somebody starves."""
    pool = pool_of(128, starvation=5.0)
    pool.add(job("0", concurrency=2))
    pool.plan(0.0)
    pool.up(1, 0.0)
    pool.plan(0.0)
    pool.initialized(1)
    pool.add(job("1", concurrency=2))
    pool.plan(0.0)
    pool.add(job("starves", action="other"))
    pool.plan(0.1)
    pool.add(job("2", concurrency=2, since=5.0))
    assert pool.plan(5.0) == []
    pool.free(1, "0", 5.0, 0.0, 5.1)
    assert pool.plan(5.1) == []
    pool.free(1, "1", 5.0, 0.0, 5.2)
    assert pool.plan(5.2) == [Destroy(1, "evicted for other")]


def test_draining_ends_with_the_need():
    """If the one who starved is gone, the container takes runs again at once."""
    pool = pool_of(128, starvation=5.0)
    (cid,) = start(pool, job("0", concurrency=2))
    pool.initialized(cid)
    pool.add(job("starves", action="other"))
    pool.plan(6.0)
    pool.add(job("1", concurrency=2, since=6.0))
    assert pool.plan(6.0) == []
    pool.cancel("starves")
    assert pool.plan(6.1) == [Given(cid, "1", "warm")]


# What can't be.


def test_wrong_facts_are_refused():
    """Facts that contradict what was decided are errors of the caller, and change nothing."""
    pool = pool_of()
    with pytest.raises(UnknownContainer):
        pool.up(7, 0.0)
    (cid,) = start(pool, job("1"))
    before = repr(pool)
    with pytest.raises(IllegalMove, match="container 1 is busy"):
        pool.up(cid, 0.0)
    with pytest.raises(IllegalMove, match="job 9 does not run"):
        pool.free(cid, "9", 5.0, 0.0, 0.0)
    assert repr(pool) == before
    pool.add(job("2"))
    with pytest.raises(RefusedJob, match="waits already"):
        pool.add(job("2"))
    with pytest.raises(RefusedJob, match="waits already"):
        pool.add(job("2", alone=True))


def test_overview_shows_who_waits_and_why():
    """One document: memory by use, every container, every queue with its reason."""
    pool = pool_of(256)
    (cid,) = start(pool, job("1"))
    idle(pool, job("2", action="b"), now=0.0)
    pool.add(job("3", action="c", memory=256))
    pool.plan(0.5)
    view = pool.overview(2.0)
    assert view["memory"] == {"total": 256, "used": 256, "busy": 128, "idle": 128, "prewarm": 0, "starting": 0, "removing": 0}
    assert [(c["cid"], c["state"], c["active"], c["idle_s"]) for c in view["containers"]] == [
        (cid, "busy", 1, None),
        (2, "idle", 0, 2.0),
    ]
    assert [(q["namespace"], q["action"], q["waiting"], q["why"]) for q in view["queued"]] == [("ann", "c", 1, "no 256 MB free")]


def test_a_warm_call_looks_at_nobody_else(monkeypatch):
    """However many wait for other actions, placing a warm call and its end touch only its own."""
    pool = pool_of(1280, starting=10)
    for n in range(9):
        start(pool, job(f"busy{n}", action=f"b{n}"))
    (cid,) = start(pool, job("mine"), create=0.5)
    for n in range(1000):
        pool.add(job(f"waits{n}", action=f"w{n}", memory=1280, since=1.0))
    pool.plan(1.0)
    pool.free(cid, "mine", 5.0, 20.0, 1.1)

    def looked_at_everybody():
        raise AssertionError("a survey")

    monkeypatch.setattr(pool._queues, "turns", looked_at_everybody)
    pool.plan(1.1)
    pool.add(job("next", since=1.2))
    assert pool.plan(1.2) == [Given(cid, "next", "warm")]
    pool.free(cid, "next", 5.0, 0.0, 1.3)
    assert pool.plan(1.3) == []


HELLO = Shape("python:3", "", 128, user_image=False)
OWNER = ("ann", ("hello", "1-a"))


def test_a_container_taken_over_is_warm():
    """It counts as one that is being created for its action, and takes its first job without an init."""
    pool = pool_of()
    cid = pool.adopt(HELLO, 1, OWNER, 0.0)
    pool.add(job("1"))
    assert pool.plan(0.0) == []
    assert shown(pool) == "128/512 MB | Containers: 0 busy, 0 idle, 0 prewarm, 1 starting, 0 removing | Queued: 1 in 1 queue"
    pool.up(cid, 0.1)
    assert pool.plan(0.1) == [Given(cid, "1", "warm")]
    pool.free(cid, "1", 5.0, 0.0, 0.2)
    pool.plan(0.2)
    assert [decision.cid for decision in pool.plan(700.0)] == [cid]


def test_a_container_that_can_not_be_taken_over_delays_nobody():
    """It is no failed creation: who waited for it gets a new one at once."""
    pool = pool_of()
    cid = pool.adopt(HELLO, 1, OWNER, 0.0)
    pool.add(job("1"))
    pool.plan(0.0)
    pool.gone(cid)
    (create,) = pool.plan(0.0)
    assert isinstance(create, Create)
    assert pool.estimates.creations.get(HELLO.source) is None


def test_an_empty_container_taken_over_is_a_stem_cell():
    """It takes the place of one that would be made."""
    pool = pool_of(stem_cells=CELLS)
    cid = pool.adopt(HELLO, 1, None, 0.0)
    assert pool.plan(0.0) == []
    pool.up(cid, 0.1)
    assert pool.plan(0.1) == []
    pool.add(job("1", since=1.0))
    assert pool.plan(1.0)[0] == Given(cid, "1", "prewarmed")


def test_a_warm_container_being_taken_over_is_waited_for():
    """Although an empty one is there already; but not for long."""
    for comes in (True, False):
        pool = pool_of(stem_cells=CELLS)
        warm, cell = pool.adopt(HELLO, 1, OWNER, 0.0), pool.adopt(HELLO, 1, None, 0.0)
        pool.plan(0.0)
        pool.up(cell, 0.01)
        pool.add(job("1", since=0.02))
        assert pool.plan(0.02) == []
        if comes:
            pool.up(warm, 0.1)
            assert pool.plan(0.1) == [Given(warm, "1", "warm")]
        else:
            at = pool.next_wakeup(0.02)
            assert at == pytest.approx(0.52)
            assert pool.plan(at)[0] == Given(cell, "1", "prewarmed")


def test_no_more_is_taken_over_than_fits():
    """The budget holds for earlier processes' containers too."""
    pool = pool_of(256)
    assert [pool.adopt(HELLO, 1, OWNER, 0.0) for _ in range(3)] == [1, 2, None]


def test_why_it_waited_is_told_with_the_assignment():
    """Nothing if it didn't; for one that did, what was in its way last."""
    pool = pool_of(memory=128)
    start(pool, job("0"))
    pool.free(1, "0", 5, 0, 0.1)
    pool.add(job("1", since=0.2))
    assert [each.why for each in pool.plan(0.2)] == [""]
    pool.add(job("2", since=0.3))
    assert pool.plan(0.3) == []
    pool.free(1, "1", 200, 0, 0.4)
    assert [each.why for each in pool.plan(0.4)] == ["no 128 MB free"]
