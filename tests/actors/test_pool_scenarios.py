"""What users of the peers suffered from, played on a virtual clock against the pool."""

from __future__ import annotations

import pytest

from actors.pool import StemCell
from tests.actors.pool_node import Node


def test_takes_the_container_that_is_free_first():
    """With a 10 s cold start under way and a warm container freed after 1 s, the request runs at 1 s (user-pain 8)."""
    node = Node(create=10.0)
    node.submit(0, "first", run=1.0)
    node.run(until=11.5)
    node.submit(12, "long", run=1.0)
    node.submit(12, "next", run=1.0)
    node.run()
    assert node.started["next"] == (pytest.approx(13.0), 1, "warm")


def test_is_not_pinned_to_its_own_creation():
    """Also when a container is being created for it, because nothing was known of the action's run time."""
    node = Node(create=10.0)
    node.submit(0, "first", run=11.0)
    node.submit(10.5, "next", run=1.0)
    node.run()
    assert len(node.creations) == 2
    assert node.started["next"] == (pytest.approx(21.02), 2, "cold") or node.started["next"][0] <= 21.03


def test_few_busy_containers_serve_many_short_runs():
    """A second container that takes longer to make than the queue takes to end isn't made."""
    node = Node(memory=2048, create=0.3)
    node.submit(0, "first", run=0.005)
    for n in range(40):
        node.submit(1, f"job{n}", run=0.005)
    node.run()
    assert len(node.creations) == 1
    assert max(node.waits("job")) < 0.3


def test_long_queues_get_more_containers():
    """Where waiting costs more than a creation, containers are added, as far as the memory goes."""
    node = Node(memory=512, create=0.3)
    node.submit(0, "first", run=1.0)
    for n in range(8):
        node.submit(5, f"job{n}", run=1.0)
    node.run()
    assert len(node.creations) == 4
    assert max(node.waits("job")) < 2.5


def test_two_actions_do_not_evict_each_other_at_every_call():
    """Two actions called one after the other, with memory for one: the container changes hands by the second, not by call."""
    node = Node(memory=128, create=0.5)
    for n in range(400):
        node.submit(n * 0.05, f"a{n}", action="a")
        node.submit(n * 0.05 + 0.025, f"b{n}", action="b")
    node.run()
    assert len(node.started) == 800
    assert len(node.creations) < 12
    assert max(node.waits()) < 12


def test_saturated_actions_share_by_time_slices():
    """Two actions with endless queues and memory for one container: each serves for `starvation`, none waits for ever."""
    node = Node(memory=128, create=0.5, starvation=2.0)
    for n in range(200):
        node.submit(0, f"a{n}", run=0.1, action="a")
        node.submit(0, f"b{n}", run=0.1, action="b")
    node.run()
    assert node.started["b0"][0] < 4.0
    assert len(node.creations) <= 40 / 1.3 + 2  # a slice of 2 s, less 0.6 s to remove one container and create the other


def test_two_namespaces_share_fairly():
    """One namespace floods the node with its actions; the other's containers are created in turn with them, not after them."""
    node = Node(memory=512, create=0.2, starvation=60.0)
    for n in range(40):
        node.submit(0, f"flood{n}", namespace="ann", action=f"a{n}", run=0.5)
    for n in range(5):
        node.submit(0.1, f"calm{n}", namespace="bob", action=f"b{n}", run=0.5)
    node.run()
    calm, flood = sorted(node.waits("calm")), sorted(node.waits("flood"))
    assert calm[-1] < flood[len(flood) // 2]


def test_a_flood_of_one_action_does_not_keep_another_namespace_out():
    """Busy containers with an endless queue of their own give way to a namespace that has none, after `starvation`."""
    node = Node(memory=512, create=0.2, starvation=2.0)
    for n in range(400):
        node.submit(0, f"flood{n}", namespace="ann", run=0.2)
    node.submit(1, "calm", namespace="bob", run=0.2)
    node.run()
    assert node.waits("calm")[0] < 3.0
    assert node.started["flood399"][0] > 10


def test_a_namespace_gets_its_share_of_saturated_memory():
    """With both namespaces saturated, the later one gets more than one container as long as it holds less than half."""
    node = Node(memory=512, create=0.2, starvation=1.0)
    for n in range(400):
        node.submit(0, f"flood{n}", namespace="ann", run=0.2)
    for n in range(100):
        node.submit(1, f"calm{n}", namespace="bob", run=0.2)
    node.run()
    assert max(node.waits("calm")) < 15
    assert len({cid for id, (_, cid, _) in node.started.items() if id.startswith("calm")}) == 2


def test_a_large_action_neither_stops_small_ones_nor_starves():
    """Small ones go on while it waits; after `starvation` the memory is collected for it piece by piece."""
    node = Node(memory=512, create=0.2, starvation=2.0)
    for n in range(200):
        node.submit(n * 0.05, f"small{n}", action=f"s{n % 4}", run=0.15)
    node.submit(1, "large", action="large", memory=512, run=0.1)
    node.run()
    assert node.started["small30"][0] < 3.0 < node.started["large"][0] < 4.0
    assert len(node.started) == 201


def test_alone_means_alone():
    """Jobs that run alone overlap with nothing; what was there before them ends first; the rest goes on after them."""
    node = Node(memory=512, create=0.1)
    for n in range(10):
        node.submit(0, f"before{n}", action=f"a{n % 3}", run=0.5)
    node.submit(0.3, "alone1", action="a1", alone=True, run=1.0)
    node.submit(0.3, "alone2", action="fresh", memory=512, alone=True, run=1.0)
    for n in range(10):
        node.submit(0.4, f"after{n}", action=f"a{n % 3}", run=0.5)
    node.run()
    assert len(node.started) == 22
    spans = {
        id: (start, start + node.runs[id] + (0 if how == "warm" else node.init)) for id, (start, _, how) in node.started.items()
    }
    for alone in ("alone1", "alone2"):
        for other, (start, end) in spans.items():
            assert other == alone or end <= spans[alone][0] + 1e-9 or start >= spans[alone][1] - 1e-9
    assert spans["alone1"][0] < spans["alone2"][0] < min(spans[f"after{n}"][0] for n in range(10))


def test_stem_cells_start_first_calls_quickly():
    """A first call of an unknown action takes a stem cell, and the cell is replaced while the memory is spare."""
    node = Node(memory=1024, create=0.5, stem_cells=(StemCell("python:3", "", 128, 2),))
    node.submit(2, "one", action="a")
    node.submit(2, "two", action="b")
    node.submit(4, "three", action="c")
    node.run()
    assert [node.started[id][2] for id in ("one", "two", "three")] == ["prewarmed"] * 3
    assert max(node.waits()) == 0
    assert "2 prewarm" in repr(node.pool)
