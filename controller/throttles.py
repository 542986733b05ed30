"""How much a namespace may ask for: invocations and fires a minute, invocations at a time (openwhisk-controller.md 5.1).

Counted in memory, as upstream: a window is a minute of the wall clock, every request counts, refused ones too, and a controller
among several allows its share and a fifth more.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from controller import errors
from controller.limits import UNLIMITED, Effective
from messages.wire import Identity

MINUTE = 60_000
DILATION = 1.2
"""What the shares of several controllers add up to, as a part of the limit: their load is never quite even (upstream's number)."""


class RateWindow:
    """Counts by key within the minute of `wall_ms`; all counts end with it."""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._minute = 0
        self._counts: dict[str, int] = {}

    def count(self, key: str) -> int:
        """One more; how many this makes."""
        minute = self._wall_ms() // MINUTE
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        self._counts[key] = found = self._counts.get(key, 0) + 1
        return found


def share(limit: int, controllers: int) -> int:
    """What one of so many controllers allows. 0 stays 0: nothing is allowed."""
    if controllers <= 1 or limit <= 0:
        return limit
    return max(1, math.ceil(limit * DILATION) // controllers)


class Throttles:
    """Asked before anything else is looked at, for whoever pays: the caller, or the owner of a web action.

    `in_flight` gives the unfinished invocations of a namespace by its name, `controllers` how many share the load.
    """

    def __init__(
        self,
        effective: Callable[[Identity], Effective],
        wall_ms: Callable[[], int],
        in_flight: Callable[[str], int],
        controllers: Callable[[], int],
    ) -> None:
        self._effective = effective
        self._in_flight = in_flight
        self._controllers = controllers
        self._invocations = RateWindow(wall_ms)
        self._fires = RateWindow(wall_ms)

    def invocation(self, identity: Identity) -> None:
        """Count one. Raises ApiError 429: the rate first, then what runs at the same time."""
        limits = self._effective(identity)
        self._rate(self._invocations, identity, limits.invocations_per_minute)
        if limits.concurrent_invocations == UNLIMITED:
            return
        running = self._in_flight(identity.namespace.name)
        allowed = share(limits.concurrent_invocations, self._controllers())
        if running >= allowed:
            raise errors.too_many_concurrent(running, allowed)

    def fire(self, identity: Identity) -> None:
        """Count one fire of a trigger. Raises ApiError 429."""
        self._rate(self._fires, identity, self._effective(identity).fires_per_minute)

    def _rate(self, window: RateWindow, identity: Identity, limit: int) -> None:
        if limit == UNLIMITED:
            return
        count, allowed = window.count(identity.namespace.uuid), share(limit, self._controllers())
        if count > allowed:
            raise errors.too_many_requests(count, allowed)
