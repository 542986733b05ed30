"""What controllers hear of an invoker each second: that it lives and takes work; that it takes none, once, and then nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from messages.cluster import InvokerId, PingMessage
from messages.wire import encode
from transport.kafka_producer import Outcome, Overflow, Sent, TopicProducer

EVERY = 1.0
"""Seconds; upstream's."""


class Pings:
    """`usable()`: whether the invoker takes work now. A ping that fails is no matter: the next one comes."""

    def __init__(self, producer: TopicProducer, topic: str, instance: InvokerId, usable: Callable[[], bool]) -> None:
        self._producer = producer
        self._topic = topic
        self._instance = instance
        self._usable = usable
        self._silent = True
        """Nothing has to be said: the last word was that it takes none."""
        self._asked: float | None = None

    def unanswered(self) -> float:
        """Seconds since the first ping that the broker has not taken; 0 if it took the last one."""
        return 0.0 if self._asked is None else time.monotonic() - self._asked

    async def run(self) -> None:
        """Ping for ever."""
        while True:
            self.tick()
            await asyncio.sleep(EVERY)

    def tick(self) -> None:
        """One second's ping, if there is one."""
        if self._usable():
            self._silent = False
            self._send(True)
        elif not self._silent:
            self._silent = True
            self._send(False)

    def _send(self, enabled: bool) -> None:
        def told(outcome: Outcome) -> None:
            if isinstance(outcome, Sent):
                self._asked = None

        if self._asked is None:
            self._asked = time.monotonic()
        try:
            self._producer.send(self._topic, encode(PingMessage(self._instance, enabled)), told)
        except Overflow:
            return
