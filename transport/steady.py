"""Whether the wall clock can be trusted to tell how old something is: a step against the monotonic clock suspends that."""

from __future__ import annotations

from actors.ports import Clock

STEP = 5.0
"""Seconds by which the two clocks may drift apart before that is a step (design.md, contract 5)."""


class SteadyClock:
    """`steady()` is false from a step on for `suspend` seconds; then the clocks are compared anew."""

    def __init__(self, clock: Clock, suspend: float) -> None:
        self._clock = clock
        self._suspend = suspend
        self._offset = self._difference()
        self._until = float("-inf")

    def _difference(self) -> float:
        return self._clock.wall_ms() / 1000 - self._clock.monotonic()

    def steady(self) -> bool:
        """Whether ages by the wall clock mean anything now."""
        now, difference = self._clock.monotonic(), self._difference()
        if abs(difference - self._offset) > STEP:
            self._offset, self._until = difference, now + self._suspend
        return now >= self._until
