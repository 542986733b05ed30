"""The health of one invoker as one controller sees it (openwhisk-invoker.md 8): a table, and what feeds it.

An invoker whose heartbeat this installation's store holds is one of our own: it pings only while it is ready and judges its
containers itself, so it is up by its ping and needs no test activation. Any other has to prove itself as upstream's do.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

PING_PATIENCE = 10.0
"""Seconds without a ping after which an invoker is offline (upstream's)."""
TEST_EVERY = 60.0
"""Seconds between test activations while an invoker is not healthy (upstream's)."""
REMEMBERED = 10
TOLERANCE = 3
"""Of the last REMEMBERED outcomes more than TOLERANCE bad ones of a kind make an invoker unusable (upstream's)."""


class State(StrEnum):
    """What `/invokers` answers."""

    OFFLINE = "down"
    UNHEALTHY = "unhealthy"
    UNRESPONSIVE = "unresponsive"
    HEALTHY = "up"


class Outcome(StrEnum):
    """How an activation ended for its invoker; errors of users are successes."""

    SUCCESS = "success"
    SYSTEM_ERROR = "system error"
    TIMEOUT = "timeout"


class Fact(StrEnum):
    """What moves the state: pings of an invoker that has to prove itself or of our own, and verdicts on the outcomes."""

    PING = "ping"
    OWN_PING = "own ping"
    LEAVES = "leaves"
    SILENT = "silent"
    GOOD = "good"
    FAILS = "fails"
    LATE = "late"


TRANSITIONS: dict[State, dict[Fact, State]] = {
    State.OFFLINE: {
        Fact.PING: State.UNHEALTHY,
        Fact.OWN_PING: State.HEALTHY,
        Fact.LEAVES: State.OFFLINE,
        Fact.SILENT: State.OFFLINE,
        Fact.GOOD: State.OFFLINE,
        Fact.FAILS: State.OFFLINE,
        Fact.LATE: State.OFFLINE,
    },
    **{
        state: {
            Fact.PING: state,
            Fact.OWN_PING: State.HEALTHY,
            Fact.LEAVES: State.OFFLINE,
            Fact.SILENT: State.OFFLINE,
            Fact.GOOD: State.HEALTHY,
            Fact.FAILS: State.UNHEALTHY,
            Fact.LATE: State.UNRESPONSIVE,
        }
        for state in (State.UNHEALTHY, State.UNRESPONSIVE, State.HEALTHY)
    },
}
"""State → fact → next state. Outcomes never bring an offline invoker back: only its ping does."""

_TESTED = (State.UNHEALTHY, State.UNRESPONSIVE)


def verdict(outcomes: list[Outcome], newest: Outcome) -> Fact | None:
    """What the remembered outcomes, `newest` among them, say; None if nothing changes."""
    if outcomes.count(Outcome.SYSTEM_ERROR) > TOLERANCE:
        return Fact.FAILS
    if outcomes.count(Outcome.TIMEOUT) > TOLERANCE:
        return Fact.LATE
    if newest is Outcome.SUCCESS:
        return Fact.GOOD
    if len(outcomes) > TOLERANCE:
        return None
    return Fact.FAILS if newest is Outcome.SYSTEM_ERROR else Fact.LATE


class Health:
    """One invoker's state. After every call ask `take_test` whether a test activation is due."""

    def __init__(self) -> None:
        self.state = State.OFFLINE
        self.own = False
        self.heard = 0.0
        """When the last ping came."""
        self._outcomes: deque[Outcome] = deque(maxlen=REMEMBERED)
        self._test_at: float | None = None

    def __repr__(self) -> str:
        return f"<Health {self.state} {len(self._outcomes)} outcomes>"

    @property
    def usable(self) -> bool:
        """Whether it gets users' work."""
        return self.state is State.HEALTHY

    def pinged(self, enabled: bool, own: bool, now: float) -> bool:
        """A ping came; `own`: of one of our nodes. Whether the state changed."""
        self.heard = now
        self.own = own
        if not enabled:
            return self._move(Fact.LEAVES, now)
        return self._move(Fact.OWN_PING if own else Fact.PING, now)

    def ended(self, outcome: Outcome, now: float) -> bool:
        """An activation ended there. Whether the state changed."""
        self._outcomes.append(outcome)
        if self.own or (self.state is State.HEALTHY and outcome is Outcome.SUCCESS):
            return False
        again = self.state is State.UNHEALTHY and outcome is Outcome.SUCCESS
        fact = verdict(list(self._outcomes), outcome)
        changed = fact is not None and self._move(fact, now)
        if again:
            self._test_at = now  # the errors are to leave the memory as fast as possible
        return changed

    def passed(self, now: float) -> bool:
        """Time passed. Whether the state changed."""
        return self.state is not State.OFFLINE and now - self.heard >= PING_PATIENCE and self._move(Fact.SILENT, now)

    def take_test(self, now: float) -> bool:
        """Whether a test activation is to be sent now; the next one is then due in TEST_EVERY."""
        if self._test_at is None or now < self._test_at:
            return False
        self._test_at = now + TEST_EVERY if self.state in _TESTED else None
        return True

    def _move(self, fact: Fact, now: float) -> bool:
        before, self.state = self.state, TRANSITIONS[self.state][fact]
        if before is self.state:
            return False
        self._test_at = now if self.state in _TESTED else None
        return True
