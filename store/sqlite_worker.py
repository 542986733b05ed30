"""Threads that own SQLite connections and bring results back to the loop in batches.

Rules
- One writer. All writes that wait share one transaction, so one fsync; whatever arrives meanwhile goes into the next. No timer.
- An operation runs in the thread, with the connection. It either is one statement, which SQLite undoes by itself when it
  fails, or asks for a savepoint of its own.
- What makes the whole transaction uncertain (full disk, locked, I/O error) rolls it back and fails every waiter of it.
- The waiters of a transaction get their answers by one call into the loop, in the order of their requests.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeVar, cast

from store.errors import StoreError, StoreFailed, StoreRefused, StoreUnavailable
from store.sqlite_errors import store_error

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
Connect = Callable[[], sqlite3.Connection]
_Outcome = tuple["asyncio.Future[object]", object, BaseException | None]

MAX_BATCH = 1000
"""Operations in one transaction: keeps one commit, and the wait for it, short."""


class _Job(NamedTuple):
    operation: Operation[object]
    future: asyncio.Future[object]
    savepoint: bool
    single: bool


def _deliver(outcomes: list[_Outcome]) -> None:
    for future, value, error in outcomes:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


class _Worker:
    """A thread with a connection of its own and a queue of operations."""

    def __init__(self, name: str, path: str, connect: Connect, jobs: SimpleQueue[_Job | None] | None = None) -> None:
        self._path = path
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self.jobs: SimpleQueue[_Job | None] = jobs or SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    async def start(self) -> None:
        """Open the connection in the thread. Raises what `connect` raises."""
        ready = self._loop.create_future()
        self._opened = ready
        self._thread.start()
        await ready

    def submit(self, operation: Operation[T], *, savepoint: bool = False, single: bool = False) -> asyncio.Future[T]:
        """Run `operation` in the thread; the future answers on the loop.

        `savepoint`: it writes by more than one statement; `single`: it is one statement, which alone needs no transaction.
        """
        future: asyncio.Future[object] = self._loop.create_future()
        if self._closed:
            future.set_exception(StoreUnavailable(f"{self._path}: the store is closed"))
        else:
            self.jobs.put(_Job(operation, future, savepoint, single))
        return cast("asyncio.Future[T]", future)

    async def close(self) -> None:
        """Finish what is queued, then close the connection."""
        if self._closed:
            return
        self._closed = True
        if self._thread.ident is not None:
            # Also when this thread has ended: readers share a queue, it may have taken the end meant for another.
            self.jobs.put(None)
            await self._loop.run_in_executor(None, self._thread.join)

    def _main(self) -> None:
        try:
            connection = self._connect()
        except (StoreError, OSError, sqlite3.Error) as error:
            self._answer([(self._opened, None, error)])
            return
        self._answer([(self._opened, None, None)])
        try:
            self._serve(connection)
        finally:
            connection.close()

    def _serve(self, connection: sqlite3.Connection) -> None:
        raise NotImplementedError

    def _answer(self, outcomes: list[_Outcome]) -> bool:
        """Hand answers to the loop; False if there is no loop any more to take them."""
        try:
            self._loop.call_soon_threadsafe(_deliver, outcomes)
        except RuntimeError:
            return False
        return True

    def _attempt(self, connection: sqlite3.Connection, job: _Job) -> _Outcome:
        """Run one operation; what goes wrong in it is its waiter's. The supervisor of all operations."""
        try:
            return job.future, job.operation(connection), None
        except sqlite3.Error as error:
            return job.future, None, store_error(error, self._path) or error
        except (OverflowError, UnicodeError) as error:
            return job.future, None, StoreRefused(f"a value that SQLite can't hold: {error}")
        except Exception as error:  # noqa: BLE001 an operation's bug must not end the thread that all depend on
            return job.future, None, error


class Reader(_Worker):
    """Answers reads one by one; several readers may share one queue."""

    def _serve(self, connection: sqlite3.Connection) -> None:
        while (job := self.jobs.get()) is not None:
            if not self._answer([self._attempt(connection, job)]):
                return


class Writer(_Worker):
    """Runs all writes, as many as wait in one transaction."""

    def _serve(self, connection: sqlite3.Connection) -> None:
        running = True
        while running:
            batch: list[_Job] = []
            job = self.jobs.get()
            while job is not None:
                batch.append(job)
                if len(batch) == MAX_BATCH:
                    break
                try:
                    job = self.jobs.get_nowait()
                except Empty:
                    break
            running = job is not None
            if batch:
                running = self._answer(self._transact(connection, batch)) and running

    def _transact(self, connection: sqlite3.Connection, batch: list[_Job]) -> list[_Outcome]:
        """One transaction for the batch: an outcome for each, or one uncertain error for all."""
        if len(batch) == 1 and batch[0].single:
            return [self._attempt(connection, batch[0])]  # two changes of thread less than with BEGIN and COMMIT
        outcomes: list[_Outcome] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in batch:
                outcome = self._within(connection, job)
                if isinstance(outcome[2], StoreUnavailable | StoreFailed):
                    _roll_back(connection)
                    return [(each.future, None, outcome[2]) for each in batch]
                outcomes.append(outcome)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(connection)
            mapped = store_error(error, self._path) or StoreFailed(f"{self._path}: {error}")
            return [(each.future, None, mapped) for each in batch]
        return outcomes

    def _within(self, connection: sqlite3.Connection, job: _Job) -> _Outcome:
        if not job.savepoint:
            return self._attempt(connection, job)
        connection.execute("SAVEPOINT job")
        outcome = self._attempt(connection, job)
        if outcome[2] is not None and connection.in_transaction:
            connection.execute("ROLLBACK TO job")
        if connection.in_transaction:
            connection.execute("RELEASE job")
        return outcome


def _roll_back(connection: sqlite3.Connection) -> None:
    """Undo the transaction, unless SQLite did so itself (it does after some errors)."""
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            if connection.in_transaction:
                raise
