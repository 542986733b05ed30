"""Time as the event loop has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class LoopClock:
    """A Clock on a running loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        """Clock.monotonic."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Clock.wall_ms."""
        return time.time_ns() // 1_000_000

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Clock.call_later."""
        return self._loop.call_later(seconds, callback)
