"""Sequences, conductors and fired triggers in many schedules: each finishes once, with every child once, whatever goes wrong.

`REWHISK_COMPOSED=n` sets how many schedules there are.
"""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace

from actors import composing
from actors.composer import Composer
from messages.wire import decode_message
from tests.oracle import Broken, check
from tests.simulation.composing import Composing
from tests.simulation.scenario import Options
from tests.support.supervision import Injected, Injection, injected

SCHEDULES = int(os.environ.get("REWHISK_COMPOSED", "200"))


def test_every_schedule_keeps_the_contract() -> None:
    """No seed of the range breaks it."""
    wrong = []
    for seed in range(SCHEDULES):
        try:
            check(Composing(seed).run())
        except Exception as error:
            wrong.append(f"seed {seed}: {error!r:.1000}")
    assert not wrong, "\n".join(wrong)


def test_a_seed_gives_the_same_trace_again() -> None:
    """Nothing but the seed decides."""

    def trace_of(seed: int) -> str:
        simulation = Composing(seed)
        simulation.run()
        return simulation.world.trace_hash()

    assert trace_of(17) == trace_of(17) != trace_of(18)


def caught(seeds: int, *because: str) -> None:
    for seed in range(seeds):
        try:
            check(Composing(seed).run())
        except Broken as error:
            if any(each in str(error) for each in because):
                return
    pytest.fail(f"not caught within {seeds} seeds")


def test_a_composer_that_forgets_its_children_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes the steps again that were made before the crash."""

    def anew(self, work, event):
        work.tally = type(work.tally)(steps=event.tally.steps + 1)

    monkeypatch.setattr(Composer, "_call_again", anew)
    caught(300, "has an illegal life", "succeeded with")


def test_a_child_that_is_sent_anew_under_another_id_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if ids did not follow from the parent: a second child in the place of the first."""

    def other(self, work, event):
        message = decode_message(event.message)
        call = composing.Call(event.child[::-1], message.action.fqn)
        call.message, call.node = replace(message, activation_id=call.child), event.node
        work.tally, work.calls[call.child] = event.tally, call
        self._assign(work, call)

    monkeypatch.setattr(Composer, "_call_again", other)
    caught(300, "succeeded with", "its record says")


@pytest.mark.parametrize(("seed", "position"), [(2, "before"), (3, "after")])
def test_a_bug_in_the_composer_ends_one_composition_at_most(seed: int, position: str) -> None:
    """It fails at each of its messages in turn: everything accepted comes to its end, nothing runs twice."""
    for at in range(1, 1000, 2):
        injection = Injection(Composer, at, position)
        simulation = Composing(seed, Options(actions=("quick",), times=3))
        with injected(injection):
            history = simulation.run()
        if injection.message is None:
            assert at > 10
            return
        for node in simulation.nodes:
            node.failures = [failure for failure in node.failures if not isinstance(failure[1], Injected)]
        twice = [each for each in simulation.world.violations if each.endswith("ended twice")]  # the first end counts
        history.violations = [each for each in simulation.world.violations if each not in twice] + simulation._failures()
        history.supervised = 1
        for submitted in history.submitted.values():
            submitted.expect = submitted.steps = None
        try:
            check(history)
        except Broken as error:
            raise AssertionError(f"{injection!r}: {error}") from None
    raise AssertionError("it never ends")
