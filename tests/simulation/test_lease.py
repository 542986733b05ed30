"""Run-ahead needs a lease: what a confirmed write proves, and for how long."""

from __future__ import annotations

import pytest
from msgspec import Raw

from messages.events import Accepted
from messages.record import storable
from store.errors import StoreUnavailable
from store.journal import Journal, JournalHooks
from store.journal_queue import JournalSettings
from store.memory import MemoryStore
from tests.simulation.network import Network, RemoteLog
from tests.simulation.world import Process, World


class Owner:
    """A process with an open journal."""

    def __init__(self) -> None:
        self.world = World(5)
        self.network = Network(self.world, MemoryStore())
        self.process = Process(self.world, "p")
        hooks = JournalHooks(storable, lambda event: None, lambda: None, lambda error: None)
        log = RemoteLog(self.network, self.process)
        settings = JournalSettings(lease=10.0)
        self.journal = Journal(
            log, "s", writer="w", clock=self.process, spawn=self.process.spawn, hooks=hooks, settings=settings
        )
        self.process.spawn(self.journal.open())
        self.pass_time(1.0)

    def pass_time(self, seconds: float) -> None:
        passed = []
        self.world.at(seconds, lambda: passed.append(True))
        self.world.run(lambda: bool(passed), seconds + 1)
        self.world.run(lambda: not self.process.ready or self.process.paused, 1.0)

    def append(self, activation_id: str) -> None:
        self.journal.append(Accepted(activation_id, Raw(b"{}"), 1))


def test_a_confirmed_write_counts_for_the_lease() -> None:
    """And no longer."""
    owner = Owner()
    owner.append("a")
    owner.pass_time(1.0)
    assert owner.journal.prompt()
    owner.pass_time(10.0)
    assert not owner.journal.prompt()


def test_an_answer_that_is_read_late_proves_nothing_of_now() -> None:
    """The process slept between the store's yes and its reading it; another may own the stream since."""
    owner = Owner()
    owner.pass_time(11.0)
    owner.append("a")
    owner.world.run(lambda: bool(owner.network.handed_over[1:]), 1.0)
    owner.process.paused = True
    owner.pass_time(12.0)
    owner.process.paused = False
    owner.pass_time(0.1)
    assert owner.journal.waiting == 0
    assert not owner.journal.prompt()


@pytest.mark.parametrize("lost", [1, 3])
def test_a_document_read_back_proves_no_more_than_its_first_sending(lost: int) -> None:
    """That it is there says nothing of what came after it."""
    owner = Owner()
    owner.pass_time(11.0)
    faults = owner.network.store.journal.faults
    faults.fail_next("journal.create", "after", StoreUnavailable("lost"), lost)
    owner.append("a")
    owner.world.run(lambda: owner.journal._under_way is not None and owner.journal._under_way.uncertain, 1.0)
    owner.process.paused = True
    owner.pass_time(12.0)
    owner.process.paused = False
    owner.pass_time(10.0)
    assert owner.journal.waiting == 0
    assert not owner.journal.prompt()
    owner.append("b")
    owner.pass_time(1.0)
    assert owner.journal.prompt()
