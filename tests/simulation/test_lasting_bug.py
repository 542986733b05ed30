"""A bug that doesn't go away: the actor is restarted a few times, then the process ends and leaves everything to the next."""

from __future__ import annotations

import pytest

from actors.activation_router import ActivationRouter
from actors.log_reader import LogReader
from actors.result_writer import ResultWriter
from messages.commands import FinishedDurable, LogChunk, Up
from tests.oracle import check
from tests.simulation.scenario import Options, Simulation


@pytest.mark.parametrize(("kind", "message"), [(ActivationRouter, Up), (ResultWriter, FinishedDurable), (LogReader, LogChunk)])
def test_an_actor_that_always_fails_ends_the_process(monkeypatch: pytest.MonkeyPatch, kind: type, message: type) -> None:
    """And nothing that was accepted is lost: the process that follows has no such bug and does it all."""
    simulation = Simulation(1, Options(actions=("quick", "never", "wrong"), times=4))
    honest = kind.HANDLERS[message]

    def handler(self, received) -> None:
        if len(simulation.nodes) == 1:
            raise RuntimeError("bug")
        honest(self, received)

    monkeypatch.setattr(kind, "HANDLERS", kind.HANDLERS | {message: handler})
    history = simulation.run()
    assert len(simulation.nodes) == 2
    history.violations = simulation.world.violations
    history.supervised = 10
    for submitted in history.submitted.values():
        submitted.expect = None
    check(history)
