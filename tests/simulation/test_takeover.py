"""Three nodes, their deaths, pauses and returns, outages of the store: one record for each id, code never twice at once."""

from __future__ import annotations

import contextlib
import os

import pytest

from messages.action import ActionDoc, Exec
from messages.wire import Limits, encode
from store.contract import EntityRow
from store.memory import MemoryStore
from tests.simulation.containers import Machine, Odds, Script
from tests.simulation.members import Broker, Member, message, shown
from tests.simulation.network import Network, at_once
from tests.simulation.world import WALL, Stuck, World

SEEDS = range(int(os.environ.get("REWHISK_TAKEOVERS", "20")))
NODES, MESSAGES = 3, 15
CALM = 90.0
"""Seconds after which nothing goes wrong any more."""


class Schedule:
    """One run from its seed."""

    def __init__(self, seed: int) -> None:
        self.world = world = World(seed)
        self.machine = Machine(world, Odds(survive=bool(seed % 2)), 10_000)
        self.store = MemoryStore()
        self.network = Network(world, self.store)
        self.broker = Broker(world)
        self.lives = dict.fromkeys(range(NODES), 0)
        self.nodes: dict[int, Member] = {}
        self.posted: list[str] = []
        doc = ActionDoc("guest", "hello", Exec("python:3", code="x"), Limits(timeout=30_000), "0.0.1", False, [], [])
        at_once(self.store.entities.put(EntityRow("actions", "guest", "hello", 1), encode(doc), None))
        for number in range(NODES):
            self.start(number)
        self.plan()

    def start(self, number: int) -> None:
        if number not in self.nodes or not self.nodes[number].process.alive:
            self.nodes[number] = Member(self.world, self.machine, self.network, self.broker, number, self.lives[number])
            self.lives[number] += 1

    def plan(self) -> None:
        rng, world = self.world.rng, self.world
        for n in range(MESSAGES):
            world.at(rng.uniform(1, 60), lambda n=n: self.post(f"{n + 1:032x}", rng.randrange(NODES)))
        for _ in range(rng.randrange(1, 4)):
            begin, number = rng.uniform(5, 50), rng.randrange(NODES)
            what = rng.choice([self.kill, self.pause, self.outage])
            world.at(begin, lambda what=what, number=number: what(number))
        if rng.random() < 0.3:
            self.network.lost = rng.uniform(0, 0.2)
        world.at(CALM, self.calm)

    def post(self, activation_id: str, number: int) -> None:
        rng = self.world.rng
        self.machine.scripts[activation_id] = Script("hello", run=(10, 29) if rng.random() < 0.4 else (0.01, 0.9))
        self.posted.append(activation_id)
        text = message(activation_id, "hello", rng.random() < 0.5, WALL + int(self.world.now * 1000))
        for _ in range(1 + (rng.random() < 0.2)):
            self.broker.post(f"invoker{number}", text)

    def kill(self, number: int) -> None:
        node = self.nodes[number]
        if node.process.alive:
            node.process.kill("by the schedule")
            self.machine.died(node.process)
        if self.world.rng.random() < 0.6:
            self.world.at(self.world.rng.uniform(1, 60), lambda: self.start(number))

    def pause(self, number: int) -> None:
        process = self.nodes[number].process
        process.paused = True

        def go_on() -> None:
            process.paused = False

        self.world.at(self.world.rng.uniform(2, 50), go_on)

    def outage(self, number: int) -> None:
        self.network.outage = True
        self.world.at(self.world.rng.uniform(2, 45), lambda: setattr(self.network, "outage", False))

    def calm(self) -> None:
        self.network.calm()
        for node in self.nodes.values():
            node.process.paused = False

    def over(self) -> bool:
        freed = {ack.id for ack in self.broker.acks if ack.sender is not None}
        return self.world.now > CALM + 5 and set(self.posted) <= freed and all(self.record(id) for id in self.posted)

    def record(self, activation_id: str) -> object:
        return at_once(self.store.activations.get("guest", activation_id))

    def run(self) -> None:
        try:
            self.world.run(self.over, 1200.0, max_steps=1_500_000)
        finally:
            self.close()

    def close(self) -> None:
        for process in list(self.world.processes):
            process.kill("the end")


@pytest.mark.parametrize("seed", SEEDS)
def test_every_schedule(seed: int) -> None:
    """Each id has its record, its slot is freed under the number it was posted to, and what was told is what the record says."""
    schedule = Schedule(seed)
    schedule.run()
    assert schedule.world.violations == []
    for ack in schedule.broker.acks:
        record = schedule.record(ack.id)
        if ack.record is not None:
            assert shown(ack.record)["response"] == shown(record)["response"]
        assert ack.is_system_error is not True


def test_the_simulation_sees_code_that_runs_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A taker that does not wait for what may still run elsewhere is found out."""
    monkeypatch.setattr("transport.rerun.Held.hold", lambda held, command: False)
    for seed in range(60):
        schedule = Schedule(seed)
        with contextlib.suppress(Stuck):
            schedule.run()
        if any("at the same time" in each for each in schedule.world.violations):
            return
    raise AssertionError("nothing was found in 60 schedules")


def test_an_outage_longer_than_the_takeover_moves_nothing() -> None:
    """Three nodes, the store away for three times as long: each has its own stream afterwards."""
    schedule = Schedule(0)
    schedule.world._later.clear()
    world = schedule.world
    world.at(10, lambda: setattr(schedule.network, "outage", True))
    world.at(75, lambda: setattr(schedule.network, "outage", False))
    schedule.world.run(lambda: world.now > 200, 300, max_steps=1_500_000)
    assert [node.member.taken() for node in schedule.nodes.values()] == [[], [], []]
    assert all(node.ready and not node.fenced for node in schedule.nodes.values())
    schedule.close()
