"""An actor that fails at one of its messages, in a simulated node that is otherwise in good health."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from actors.base import NodeActor
from messages.commands import LookedUp, Repeated
from tests.oracle import History, check
from tests.simulation.scenario import Options, Simulation

ACTIONS = ("quick", "never", "wrong", "many", "exits", "mute", "tired")


class Injected(RuntimeError):
    """The bug."""


class Injection:
    """Fails at the `at`-th message to an actor of class `kind`: before its handler runs, or after it did all it does."""

    def __init__(self, kind: type[NodeActor], at: int, position: str) -> None:
        self.kind = kind
        self.at = at
        self.position = position
        self.seen = 0
        self.message: object = None

    def __repr__(self) -> str:
        return f"<Injection {self.kind.__name__} {self.position} message {self.at}: {self.message!r:.200}>"

    def receive(self, actor: NodeActor, message: object, sender: object, honest) -> None:
        fails = isinstance(actor, self.kind) and type(message) in actor.HANDLERS
        self.seen += fails
        if not fails or self.seen != self.at:
            honest(actor, message, sender)
            return
        self.message = message
        if self.position == "after":
            honest(actor, message, sender)
        raise Injected(str(type(message).__name__))


@contextmanager
def injected(injection: Injection) -> Iterator[None]:
    """While the simulation runs."""
    honest = NodeActor.receiveMessage
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NodeActor, "receiveMessage", lambda self, m, sender: injection.receive(self, m, sender, honest))
        yield


def history_with(injection: Injection, seed: int) -> History:
    """The history, of which the injected failure is no violation and everything else is."""
    simulation = Simulation(seed, Options(actions=ACTIONS))
    with injected(injection):
        history = simulation.run()
    for node in simulation.nodes:
        node.failures = [failure for failure in node.failures if not isinstance(failure[1], Injected)]
    history.violations = simulation.world.violations + simulation._failures()
    history.supervised = 1
    return history


def may_surprise(kind: type[NodeActor]) -> int:
    """How many activations may end with an error record because of one bug: what must not run again after the router's."""
    return 2 if kind.__name__ == "ActivationRouter" else 1


def _surprised(history: History) -> int:
    """How many ended other than their code did; the oracle need not ask again."""
    records = {each["activationId"]: each for each in history.records}
    found = 0
    for submitted in history.submitted.values():
        record = records.get(submitted.id)
        found += record is not None and record["response"]["statusCode"] not in (submitted.expect or ())
        submitted.expect = None
    return found


def sweep(kind: type[NodeActor], position: str, seed: int = 1, stride: int = 1) -> int:
    """Fail at each message in turn; how many there were. Every activation is to end.

    A caller who asks again for what has ended may go without an answer if the bug is in answering him.
    """
    for at in range(1, 10_000, stride):
        injection = Injection(kind, at, position)
        history = history_with(injection, seed)
        if injection.message is None:
            return at - 1
        surprised = _surprised(history)
        try:
            if not isinstance(injection.message, Repeated | LookedUp):
                check(history)
            assert surprised <= may_surprise(kind), f"{surprised} ended other than their code did"
        except AssertionError as error:
            raise AssertionError(f"{injection!r} seed {seed}: {error}") from None
    raise AssertionError("it never ends")
