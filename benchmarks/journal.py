"""Appends a second and their latency, beside a bare loop of one fsynced insert an event in the same run.

python benchmarks/journal.py [--seconds 2] [--dir DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from msgspec import Raw

from messages.events import Accepted
from store.errors import StoreError
from store.journal import Journal, JournalHooks
from store.sqlite import SqliteStore

MESSAGE = Raw(json.dumps({"content": "x" * 800}).encode())


class LoopClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def call_later(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, callback)


def never(*_: object) -> None:
    raise AssertionError("the journal ended")


def failed(error: StoreError) -> None:
    raise error


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[int(len(times) * share)] * 1000


def bare(directory: Path, seconds: float) -> dict[str, float]:
    """One insert, one commit, one fsync at a time."""
    connection = sqlite3.connect(directory / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, body BLOB)")
    body, times, end = bytes(MESSAGE), [], time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        connection.execute("INSERT INTO t (n, body) VALUES (?, ?)", (len(times), body))
        times.append(time.perf_counter() - begun)
    connection.close()
    return {"per_second": len(times) / seconds, "p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99)}


async def appending(directory: Path, appenders: int, seconds: float) -> dict[str, float]:
    """Each appender waits for its event to be durable, then appends the next."""
    directory.mkdir()
    store = await SqliteStore.open(directory)
    loop = asyncio.get_running_loop()
    hooks = JournalHooks(storable=lambda event: event, refused=never, fenced=never, failed=failed)
    journal = Journal(store.journal, "invoker0", writer="bench", clock=LoopClock(), spawn=loop.create_task, hooks=hooks)
    await journal.open()
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def appender(number: int) -> None:
        count = 0
        while (begun := time.perf_counter()) < end:
            durable = loop.create_future()
            count += 1
            journal.append(Accepted(f"{number}-{count}", MESSAGE, 1), lambda: durable.set_result(None))  # noqa: B023
            await durable
            times.append(time.perf_counter() - begun)

    cpu = time.thread_time()
    await asyncio.gather(*(appender(i) for i in range(appenders)))
    cpu = time.thread_time() - cpu
    documents = journal.n - 1
    await journal.close()
    await store.close()
    return {
        "per_second": len(times) / seconds, "p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99),
        "loop_cpu_us": cpu / len(times) * 1e6, "events_per_commit": len(times) / documents,
    }  # fmt: skip


async def writing(directory: Path, writers: int, seconds: float) -> dict[str, float]:
    """Small documents written by the store alone: what group commit of the writer thread gives."""
    directory.mkdir()
    store = await SqliteStore.open(directory)
    body, count, end = bytes(MESSAGE), 0, time.perf_counter() + seconds

    async def writer(number: int) -> None:
        nonlocal count
        n = 0
        while time.perf_counter() < end:
            n += 1
            await store.journal.create(f"s{number}", n, body)
            count += 1

    cpu = time.thread_time()
    await asyncio.gather(*(writer(i) for i in range(writers)))
    cpu = time.thread_time() - cpu
    await store.close()
    return {"per_second": count / seconds, "loop_cpu_us": cpu / count * 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--dir", type=Path, default=None, help="on the disk to be measured (default: a temporary directory)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as temporary:
        directory = Path(temporary)
        results = {"bare": bare(directory, arguments.seconds)}
        for count in (1, 16):
            results[f"journal {count}"] = asyncio.run(appending(directory / f"journal{count}", count, arguments.seconds))
            results[f"store {count}"] = asyncio.run(writing(directory / f"store{count}", count, arguments.seconds))
    for name, values in results.items():
        ratio = values["per_second"] / results["bare"]["per_second"]
        shown = "  ".join(f"{key} {value:,.2f}" for key, value in values.items())
        print(f"{name:12} {shown}  ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
