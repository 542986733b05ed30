"""What the pool expects things to cost: learned from facts, used to weigh waiting against creating. In seconds."""

from __future__ import annotations

from typing import Generic, TypeVar

UNKNOWN_CREATE = 0.5
"""Seconds a creation is taken to last before one was measured: the middle of what `docker run` takes on a quiet machine."""
WEIGHT = 0.25
"""How much the newest measurement counts: after eight of them nine tenths of an old level are forgotten."""
REMEMBERED = 4096
"""Actions whose times are remembered; above that the one measured longest ago is forgotten."""
FIRST_DELAY, LAST_DELAY = 0.1, 10.0
"""Seconds before a failed creation is tried again: the first, doubling up to the last."""

SHORT = 0.005
"""Seconds: runs this short gain nothing from one more container at work, as starting one costs the machine about as much."""
HOLD = 0.025
"""Seconds, at most, that a run waits for a container at work while another one is idle: nobody feels it, and a run that turns out
long holds up nobody for longer."""
RISE = 0.05
"""How much of a measurement above the lowest one counts: the lowest must be able to rise again, slowly."""

K = TypeVar("K")


def worth_it(waiting: int, servers: int, run: float | None, cost: float) -> bool:
    """Whether one more container (ready after `cost` seconds) beats waiting for those that are there or on their way.

    `waiting` jobs share `servers` places, each run taking `run` seconds (None: never measured). What the last of them can
    expect to wait is `waiting * run / servers`; a new container helps only if it is there before. Without any place, or
    without knowledge, a container is made.
    """
    if servers == 0 or run is None:
        return True
    return waiting * run / servers > cost


class Average(Generic[K]):
    """Exponentially weighted averages by key, at most REMEMBERED of them."""

    def __init__(self) -> None:
        self._values: dict[K, float] = {}

    def learn(self, key: K, seconds: float) -> None:
        """Take a measurement in. A clock that went backwards counts as 0."""
        old = self._values.pop(key, None)
        self._values[key] = max(0.0, seconds) if old is None else old + WEIGHT * (max(0.0, seconds) - old)
        if len(self._values) > REMEMBERED:
            del self._values[next(iter(self._values))]

    def get(self, key: K) -> float | None:
        """The average in seconds, None if nothing is known."""
        return self._values.get(key)


class Lowest(Average[K]):
    """The lower edge of what was measured: a loop that is late makes times longer, never shorter."""

    def learn(self, key: K, seconds: float) -> None:
        """Take a measurement in."""
        old = self._values.pop(key, None)
        self._values[key] = seconds if old is None else min(seconds, old + RISE * (seconds - old))
        if len(self._values) > REMEMBERED:
            del self._values[next(iter(self._values))]


class Estimates:
    """What runs, inits and creations take: runs and inits by action (name, revision), creations by (kind, image)."""

    def __init__(self) -> None:
        self.runs: Average[tuple[str, str]] = Average()
        self.shortest: Lowest[tuple[str, str]] = Lowest()
        self.inits: Average[tuple[str, str]] = Average()
        self.creations: Average[tuple[str, str]] = Average()

    def init(self, action: tuple[str, str]) -> float:
        """Seconds to make an empty container the action's; 0 if not known."""
        return self.inits.get(action) or 0.0

    def cold(self, action: tuple[str, str], image: tuple[str, str]) -> float:
        """Seconds from nothing to a container of the action that can run it."""
        create = self.creations.get(image)
        return (UNKNOWN_CREATE if create is None else create) + self.init(action)


class BackOff:
    """Keeps a failing image or driver from being hammered: by (kind, image), cleared by the first run that succeeds.

    A container that ends before anything was run in it has failed as one that could not be created.
    """

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], tuple[float, float]] = {}  # -> (delay, not before)
        self._failed: list[tuple[str, str]] = []

    def failed(self, image: tuple[str, str]) -> None:
        """A creation failed; its delay begins with the next `settle`."""
        self._failed.append(image)

    def settle(self, now: float) -> None:
        """Begin the delays of what failed since the last call. Failures of the same moment count once."""
        for image in dict.fromkeys(self._failed):
            delay, until = self._until.get(image, (0.0, 0.0))
            if until <= now:  # those that were begun together fail together: one step, not four
                delay = min(LAST_DELAY, delay * 2 or FIRST_DELAY)
                self._until[image] = (delay, now + delay)
        self._failed.clear()

    def succeeded(self, image: tuple[str, str]) -> None:
        """A creation worked: forget the failures."""
        self._until.pop(image, None)

    def until(self, image: tuple[str, str]) -> float:
        """When the next creation may begin (0.0: at any time)."""
        return self._until[image][1] if image in self._until else 0.0
