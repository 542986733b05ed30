"""All who are told what the core of a node does: metrics, the latest history, spans if they are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from config.settings import Settings
from transport.history import History
from transport.metrics import Metrics
from transport.spans import open_spans


class Observers:
    """`observe` is an Instrument. Raises ConfigError if spans are wanted and their libraries are missing."""

    def __init__(
        self, settings: Settings, wall_ms: Callable[[], int], live: Callable[[], int], status: Callable[[], Mapping[str, Any]]
    ) -> None:
        self.metrics = Metrics(live, status)
        self._spans = open_spans(settings.otlp, f"invoker{settings.id}")
        self.history = History(wall_ms, self._spans.add if self._spans is not None else None)

    def observe(self, step: str, facts: Mapping[str, object]) -> None:
        """Tell all of them."""
        self.metrics.observe(step, facts)
        self.history.observe(step, facts)

    async def close(self) -> None:
        """What waits to be sent is sent, within bounds."""
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close)
