"""The way to the store: requests take time, may be applied after their sender died, and may lose their answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from store.errors import StoreError, StoreUnavailable
from store.memory import MemoryStore
from tests.simulation.world import Process, World


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits: what the memory store is without hooks."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited")


class Network:
    """Carries requests to one MemoryStore. `lost` and `refused` are chances of losing an answer or a request."""

    def __init__(self, world: World, store: MemoryStore) -> None:
        self.world = world
        self.store = store
        self.outage = False
        self.lost = 0.0
        self.refused = 0.0
        self.slow = 0.0
        self.documents: dict[tuple[str, int], bytes] = {}
        """Every journal document that was ever taken: compaction deletes, this does not."""
        self.handed_over: list[bytes] = []
        """Every journal document that was ever sent."""

    def calm(self) -> None:
        self.outage, self.lost, self.refused, self.slow = False, 0.0, 0.0, 0.0

    def _delay(self) -> float:
        rng = self.world.rng
        if self.slow and rng.random() < self.slow:
            return rng.uniform(0.5, 8.0)
        return rng.uniform(0.0002, 0.006)

    async def request(self, process: Process, operation: str, perform: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        world = self.world
        answer = process.create_future()

        def give(result: Any, error: StoreError | None) -> None:
            if not answer.done():
                if error is None:
                    answer.set_result(result)
                else:
                    answer.set_exception(error)

        def arrive() -> None:
            if self.outage or world.rng.random() < self.refused:
                reply(None, StoreUnavailable(f"{operation}: outage"))
                return
            result, error = None, None
            try:
                result = at_once(perform())
            except StoreError as raised:
                error = raised
            world.trace(process.name, operation, type(error).__name__ if error else "ok")
            if world.rng.random() < self.lost:
                error = StoreUnavailable(f"{operation}: the answer was lost")
            reply(result, error)

        def reply(result: Any, error: StoreError | None) -> None:
            world.at(self._delay(), lambda: process.post(give, result, error))

        in_flight = world.at(self._delay(), arrive)

        def sender_died() -> None:
            if world.rng.random() < 0.5:
                in_flight.cancel()

        process.on_death.append(sender_died)
        try:
            return await answer
        finally:
            process.on_death.remove(sender_died)


class Remote:
    """One part of the store as one process sees it: the same methods, over the network."""

    def __init__(self, network: Network, process: Process, name: str) -> None:
        self._network = network
        self._process = process
        self._name = name
        self._part = getattr(network.store, name)

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        bound = getattr(self._part, method)

        async def call(*args: Any, **named: Any) -> Any:
            return await self._network.request(self._process, f"{self._name}.{method}", lambda: bound(*args, **named))

        return call


class RemoteLog(Remote):
    """The journal, whose documents are kept for the oracle."""

    def __init__(self, network: Network, process: Process) -> None:
        super().__init__(network, process, "journal")

    async def create(self, stream: str, n: int, body: bytes) -> None:
        network = self._network
        network.handed_over.append(body)

        async def perform() -> None:
            await network.store.journal.create(stream, n, body)
            network.documents[stream, n] = body

        await network.request(self._process, f"journal.create {n}", perform)
