"""Threads that talk to a CouchDB, a client each, and bring answers back to the loop.

What waits is bounded: when the database is slow or away, callers are told so at once instead of queueing without end.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import NamedTuple, TypeVar, cast

from store.couchdb_client import Client
from store.errors import StoreUnavailable

T = TypeVar("T")
log = logging.getLogger("rewhisk.store")
Operation = Callable[[Client], T]

MAX_WAITING = 1000
"""Requests that may wait for a thread."""

LOG_AFTER = 1.0
"""Seconds without a certain answer that are worth a line in the log."""

CLOSE = 2.0
"""Seconds that a request under way may keep the store from closing; the thread then ends with the process."""


class Health:
    """Since when the database has given no certain answer. Told by all workers of a store, on the loop."""

    def __init__(self) -> None:
        self.answered_at = time.monotonic()
        self._failing_since: float | None = None
        self._logged = False

    def told(self, failure: BaseException | None) -> None:
        """A request came back. An outage is logged once, and its end."""
        now = time.monotonic()
        if isinstance(failure, StoreUnavailable):
            self._failing_since = self._failing_since or now
            if not self._logged and now - self._failing_since >= LOG_AFTER:
                self._logged = True
                log.warning("the database gives no answer: %s", failure)
            return
        if self._logged:
            log.warning("the database answers again after %.0f s", self.outage())
        self.answered_at, self._failing_since, self._logged = now, None, False

    def outage(self) -> float:
        """Seconds; 0 while it answers."""
        return 0.0 if self._failing_since is None else time.monotonic() - self._failing_since


class _Job(NamedTuple):
    operation: Operation[object]
    future: asyncio.Future[object]


class Workers:
    """`count` threads that share one queue."""

    def __init__(self, name: str, count: int, connect: Callable[[], Client], health: Health | None = None) -> None:
        self._health = health or Health()
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting = 0
        self._closed = False
        self._connect = connect
        self._clients: list[Client] = []
        self._threads = [threading.Thread(target=self._main, name=f"couchdb-{name}-{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    @property
    def sent(self) -> tuple[int, int]:
        """Requests sent and documents written so far."""
        return sum(client.requests for client in self._clients), sum(client.documents for client in self._clients)

    async def run(self, operation: Operation[T]) -> T:
        """What `operation` returns, run in one of the threads with its client. Raises what it raises."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._waiting >= MAX_WAITING:
            raise StoreUnavailable(f"{self._waiting} requests wait for the database")
        future: asyncio.Future[object] = self._loop.create_future()
        self._waiting += 1
        self._jobs.put(_Job(operation, future))
        return cast("T", await future)

    async def close(self) -> None:
        """Finish what is queued and can be in time, then close the connections."""
        if self._closed:
            return
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        await self._loop.run_in_executor(None, self._join)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(CLOSE)

    def _main(self) -> None:
        client = self._connect()
        self._clients.append(client)
        while (job := self._jobs.get()) is not None:
            value: object = None
            failure: BaseException | None = None
            try:
                value = job.operation(client)
            except Exception as error:  # noqa: BLE001 an operation's failure is its waiter's, the thread goes on
                failure = error
            try:
                self._loop.call_soon_threadsafe(self._deliver, job.future, value, failure)
            except RuntimeError:
                break  # no loop any more
        client.close()

    def _deliver(self, future: asyncio.Future[object], value: object, failure: BaseException | None) -> None:
        self._waiting -= 1
        self._health.told(failure)
        if future.done():
            return
        if failure is None:
            future.set_result(value)
        else:
            future.set_exception(failure)
