"""The crash cases: an event and a position in its append, and what goes on then; one full product, one covering choice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, product

from messages.events import KINDS
from store.failpoint import POSITIONS

COMPOSED = frozenset({"child_assigned"})
"""Events that only compositions have: test_compositions.py kills at these."""

EVENTS = [event for event in KINDS if event not in COMPOSED]
OUTCOMES = ("success", "application error", "timeout")
KINDS_RUN = ("python:3", "nodejs:20")


@dataclass(frozen=True)
class Case:
    """Where the node dies, and what it was doing."""

    event: str
    position: str
    blocking: bool
    warm: bool
    outcome: str
    kind: str

    @property
    def name(self) -> str:
        """As the test's id."""
        how = ("blocking" if self.blocking else "async", "warm" if self.warm else "cold", self.outcome.replace(" ", "-"))
        return "-".join((self.event, self.position, *how, self.kind.split(":", maxsplit=1)[0]))

    @property
    def factors(self) -> tuple[object, ...]:
        """All but the position."""
        return (self.event, self.blocking, self.warm, self.outcome, self.kind)


def full() -> list[Case]:
    """Every event (read from the events' table) x every position x every other factor."""
    return [Case(*values) for values in product(EVENTS, POSITIONS, (True, False), (True, False), OUTCOMES, KINDS_RUN)]


def pairs(cases: Iterable[Case]) -> set[tuple[int, object, int, object]]:
    """Pairs of values of different factors that occur together."""
    return {(i, a, j, b) for case in cases for (i, a), (j, b) in combinations(enumerate(case.factors), 2)}


def covering() -> list[Case]:
    """Every event x position once; of what is possible there, each time what covers most pairs of factors that no case had yet."""
    chosen: list[Case] = []
    covered: set[tuple[int, object, int, object]] = set()
    everything = full()
    for event, position in product(EVENTS, POSITIONS):
        possible = [case for case in everything if (case.event, case.position) == (event, position)]
        best = max(possible, key=lambda case: len(pairs([case]) - covered))
        chosen.append(best)
        covered |= pairs([best])
    return chosen
