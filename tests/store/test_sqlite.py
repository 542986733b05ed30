"""The SQLite store keeps the contract, and what a file on a disk adds to it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio

from store.contract import ActivationQuery, DocumentLog, Store
from store.errors import Conflict, StoreFailed, StoreRefused, StoreUnavailable, StoreUnusable
from store.open import open_store
from store.sqlite import SqliteStore
from store.sqlite_schema import FILE_NAME
from tests.contract.store_log_suite import DocumentLogSuite
from tests.contract.store_suite import StoreSuite, record, row, subject


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path)
    yield opened
    await opened.close()


class TestSqliteLog(DocumentLogSuite):
    @pytest.fixture
    def log(self, store: Store) -> DocumentLog:
        return store.journal


class TestSqliteStore(StoreSuite):
    pass


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """Each part, and the installation's id."""
    first = await open_store("sqlite", tmp_path)
    installation = await first.installation_id()
    await first.journal.create("invoker0", 1, b"doc")
    await first.activations.write([record(1)])
    rev = await first.entities.put(row("a"), b"body", None)
    await first.subjects.put("alice", subject("alice", ("home", "u1", "k1")), None)
    await first.close()
    second = await open_store("sqlite", tmp_path)
    assert await second.installation_id() == installation
    assert await second.journal.read("invoker0", 1) == b"doc"
    assert await second.activations.count(ActivationQuery("guest")) == 1
    found = await second.entities.get("guest/a")
    assert found is not None and found.rev == rev
    assert await second.subjects.by_key("u1", "k1") is not None
    await second.close()


async def test_the_file_is_private_and_durable(store: SqliteStore, tmp_path: Path) -> None:
    """0600 for all three files whatever the umask; write-ahead log; a fsync for each commit; can shrink."""
    await store.journal.create("invoker0", 1, b"x")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"rewhisk.db": 0o600, "rewhisk.db-wal": 0o600, "rewhisk.db-shm": 0o600}
    pragmas = {
        name: await store._writer.submit(lambda c, name=name: c.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("journal_mode", "synchronous", "auto_vacuum")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "auto_vacuum": 2}


async def test_a_file_that_others_could_read_becomes_private(tmp_path: Path) -> None:
    """For instance one copied by hand."""
    await (await SqliteStore.open(tmp_path)).close()
    (tmp_path / "rewhisk.db").chmod(0o644)
    await (await SqliteStore.open(tmp_path)).close()
    assert (tmp_path / "rewhisk.db").stat().st_mode & 0o777 == 0o600


async def test_writes_that_wait_share_a_commit(store: SqliteStore) -> None:
    """Far fewer transactions than writes."""
    commits = 0

    def traced(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    await store._writer.submit(lambda connection: connection.set_trace_callback(traced))
    await asyncio.gather(*(store.journal.create("invoker0", n, b"x") for n in range(500)))
    assert 1 <= commits <= 50
    assert len(await store.journal.numbers("invoker0", 1000)) == 500


async def test_a_bug_in_an_operation_is_its_callers_alone(store: SqliteStore) -> None:
    """The thread that all depend on goes on, and nothing of the operation is left."""

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta (name, value) VALUES ('half', 'done')")
        raise ZeroDivisionError

    answers = await asyncio.gather(
        store.journal.create("invoker0", 1, b"x"),
        store._writer.submit(broken, savepoint=True),
        store.journal.create("invoker0", 2, b"x"),
        store._readers[0].submit(lambda _: 1 // 0),
        return_exceptions=True,
    )
    assert isinstance(answers[1], ZeroDivisionError)
    assert isinstance(answers[3], ZeroDivisionError)
    rows = await store._readers[0].submit(lambda c: c.execute("SELECT name FROM meta WHERE name = 'half'").fetchall())
    assert rows == []
    assert await store.journal.numbers("invoker0", 9) == [1, 2]


async def test_a_caller_that_goes_away_harms_nobody(store: SqliteStore) -> None:
    """A cancelled wait: the write may be applied, others get their answers."""
    waiting = asyncio.ensure_future(store.journal.create("invoker0", 1, b"x"))
    await asyncio.sleep(0)
    waiting.cancel()
    await store.journal.create("invoker0", 2, b"x")
    assert 2 in await store.journal.numbers("invoker0", 9)


async def test_values_that_sqlite_cannot_hold_are_refused(store: SqliteStore) -> None:
    """Text that isn't Unicode, numbers over 64 bits: an answer, not a dead thread."""
    with pytest.raises(StoreRefused):
        await store.entities.get("guest/\ud800")
    with pytest.raises(StoreRefused):
        await store.activations.write([record(1, start=1 << 70)])
    assert await store.entities.get("guest/a") is None


async def test_after_close_nothing_is_taken(tmp_path: Path) -> None:
    """What was queued before is finished; close twice is fine."""
    store = await SqliteStore.open(tmp_path)
    queued = [asyncio.ensure_future(store.journal.create("invoker0", n, b"x")) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    await asyncio.gather(*queued)
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.journal.create("invoker0", 99, b"x")


# Full disks


async def fill(store: SqliteStore, size: int = 5000) -> tuple[list[int], int]:
    """Create until the disk is full: the numbers that were acknowledged, the first that was not."""
    acknowledged: list[int] = []
    while True:
        n = len(acknowledged) + 1
        try:
            await store.journal.create("invoker0", n, os.urandom(size))
        except StoreUnavailable:
            return acknowledged, n
        acknowledged.append(n)


async def test_a_full_disk_is_unavailable_not_lost(store: SqliteStore) -> None:
    """What was acknowledged stays, what wasn't is not there in part, the same write is taken when there is room again."""
    pages = await store._writer.submit(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await store._writer.submit(lambda c: c.execute(f"PRAGMA max_page_count = {pages + 40}").fetchall())
    acknowledged, failed = await fill(store)
    assert len(acknowledged) > 5
    assert await store.journal.numbers("invoker0", 10**6) == acknowledged
    answers = await asyncio.gather(
        store.activations.write([record(i, logs=["x" * 5000]) for i in range(20)]),
        store.journal.create("invoker0", failed, os.urandom(5000)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [StoreUnavailable, StoreUnavailable]
    assert await store.activations.count(ActivationQuery("guest")) == 0
    await store._writer.submit(lambda c: c.execute(f"PRAGMA max_page_count = {pages + 4000}").fetchall())
    await store.journal.create("invoker0", failed, b"room again")
    assert await store.journal.numbers("invoker0", 10**6) == [*acknowledged, failed]


async def test_deleting_makes_room_on_a_full_disk(store: SqliteStore) -> None:
    """Retention is a way out: pages of deleted rows are used again."""
    pages = await store._writer.submit(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
    await store._writer.submit(lambda c: c.execute(f"PRAGMA max_page_count = {pages + 40}").fetchall())
    acknowledged, failed = await fill(store)
    await store.journal.delete("invoker0", acknowledged[:5])
    await store.journal.create("invoker0", failed, os.urandom(5000))


def in_process(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, whose limits and end harm nobody."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=Path(__file__).parents[2])


def test_a_real_disk_that_takes_no_more(tmp_path: Path) -> None:
    """The system refuses to let the file grow (RLIMIT_FSIZE): the process is told to end; all acknowledged is there."""
    done = in_process(
        """
        import asyncio, os, pathlib, resource, sys
        from store.errors import StoreFailed, StoreUnavailable
        from store.sqlite import SqliteStore
        async def main():
            store = await SqliteStore.open(pathlib.Path(sys.argv[1]))
            resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
            n = 0
            try:
                while True:
                    await store.journal.create("invoker0", n + 1, os.urandom(5000))
                    n += 1
            except (StoreFailed, StoreUnavailable) as error:
                print(type(error).__name__, n, flush=True)
            os._exit(0)
        asyncio.run(main())
        """,
        tmp_path,
    )
    assert done.stderr == ""
    kind, acknowledged = done.stdout.split()
    assert kind == "StoreFailed"
    assert int(acknowledged) > 5
    with sqlite3.connect(tmp_path / "rewhisk.db") as connection:
        assert connection.execute("SELECT count(*), max(n) FROM journal").fetchone() == (int(acknowledged), int(acknowledged))
    connection.close()


def test_what_is_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    """Killed while 8 writers append: every number printed as durable is there, and the file opens again."""
    done = in_process(
        """
        import asyncio, os, pathlib, signal, sys
        from store.sqlite import SqliteStore
        async def main():
            store = await SqliteStore.open(pathlib.Path(sys.argv[1]))
            async def writer(k):
                n = 0
                while True:
                    n += 1
                    await store.journal.create(f"s{k}", n, os.urandom(500))
                    os.write(1, f"{k} {n}\\n".encode())
            asyncio.get_running_loop().call_later(0.3, os.kill, os.getpid(), signal.SIGKILL)
            await asyncio.gather(*(writer(k) for k in range(8)))
        asyncio.run(main())
        """,
        tmp_path,
    )
    assert done.returncode == -9
    acknowledged = {(f"s{k}", int(n)) for k, n in (line.split() for line in done.stdout.splitlines())}
    assert len(acknowledged) > 20
    with sqlite3.connect(tmp_path / "rewhisk.db") as connection:
        stored = set(connection.execute("SELECT stream, n FROM journal"))
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert acknowledged <= stored
    for k in range(8):
        numbers = sorted(n for stream, n in stored if stream == f"s{k}")
        assert numbers == list(range(1, len(numbers) + 1))


# Another process on the file


async def test_waits_for_another_writer_then_says_unavailable(store: SqliteStore) -> None:
    """A lock held too long is no answer, and nothing of the batch is applied."""
    await store._writer.submit(lambda c: c.execute("PRAGMA busy_timeout = 50").fetchall())
    other = sqlite3.connect(store.path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.journal.create("invoker0", 1, b"x")
        other.execute("COMMIT")
        await store.journal.create("invoker0", 1, b"x")
    finally:
        other.close()


async def test_two_stores_on_one_file(tmp_path: Path) -> None:
    """The command line beside a node: both write, a number is taken once."""
    first, second = await asyncio.gather(SqliteStore.open(tmp_path), SqliteStore.open(tmp_path))

    async def create(store: SqliteStore, n: int) -> bool:
        try:
            await store.journal.create("invoker0", n, b"x")
        except Conflict:
            return False
        return True

    won = await asyncio.gather(*(create(store, n) for n in range(40) for store in (first, second)))
    assert sum(won) == 40
    await first.close()
    await second.close()


# Files that can't be used


async def refusal(path: Path) -> str:
    with pytest.raises(StoreUnusable) as caught:
        await SqliteStore.open(path)
    text = str(caught.value)
    assert str(path / "rewhisk.db") in text
    return text


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Says which file and what to do, and leaves it as it was."""
    (tmp_path / "rewhisk.db").write_bytes(b"nonsense" * 1000)
    assert "restore" in await refusal(tmp_path)
    assert (tmp_path / "rewhisk.db").read_bytes() == b"nonsense" * 1000


async def test_another_programs_database(tmp_path: Path) -> None:
    """Is not touched."""
    other = sqlite3.connect(tmp_path / "rewhisk.db")
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    assert "another program" in await refusal(tmp_path)


async def test_a_newer_releases_database(tmp_path: Path) -> None:
    """Says so."""
    await (await SqliteStore.open(tmp_path)).close()
    newer = sqlite3.connect(tmp_path / "rewhisk.db")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    assert "newer release" in await refusal(tmp_path)


async def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    """A directory where the file should be, a file system that is read-only: the path and a fix, no traceback."""
    (tmp_path / "rewhisk.db").mkdir()
    assert "--data-dir" in await refusal(tmp_path)
    assert "--data-dir" in await refusal(Path("/proc/self"))


@pytest.mark.parametrize("keep", [0.5, 0.9])
async def test_a_truncated_file(tmp_path: Path, keep: float) -> None:
    """Pages gone from the end: told at opening or at reading, never taken for an empty journal."""
    store = await SqliteStore.open(tmp_path)
    for n in range(1, 40):
        await store.journal.create("invoker0", n, os.urandom(4000))
    await store.close()
    file = tmp_path / "rewhisk.db"
    os.truncate(file, int(file.stat().st_size * keep))
    try:
        damaged = await SqliteStore.open(tmp_path)
    except StoreUnusable as error:
        assert "damaged" in str(error)
        return
    with pytest.raises(StoreFailed, match=r"rewhisk\.db.*restore"):
        await damaged.journal.range("invoker0", 1, 40)
    await damaged.close()


async def test_a_torn_log_ends_before_the_tear(tmp_path: Path) -> None:
    """A crash of the machine in the middle of a write of the log: whole commits before it stay, the half one is not there."""
    store = await SqliteStore.open(tmp_path)
    sizes = []
    for n in range(1, 11):
        await store.journal.create("invoker0", n, os.urandom(3000))
        sizes.append((tmp_path / "rewhisk.db-wal").stat().st_size)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "rewhisk.db").write_bytes((tmp_path / "rewhisk.db").read_bytes())
    log = bytearray((tmp_path / "rewhisk.db-wal").read_bytes())
    await store.close()
    log[sizes[6] + 500] ^= 0xFF
    (copy / "rewhisk.db-wal").write_bytes(log[: sizes[9] - 1000])
    torn = await SqliteStore.open(copy)
    assert await torn.journal.numbers("invoker0", 100) == [1, 2, 3, 4, 5, 6, 7]
    await torn.close()


# Shrinking


async def test_the_file_shrinks_after_deleting(store: SqliteStore, tmp_path: Path) -> None:
    """Incremental vacuum, in steps of the pages asked for."""
    await store.activations.write([record(i, logs=["x" * 20_000]) for i in range(100)])
    while await store.activations.delete_older(10**9, 30):
        pass
    assert await store.vacuum(10) == 10
    while await store.vacuum(200):
        pass
    await store.close()
    assert (tmp_path / "rewhisk.db").stat().st_size < 200_000


async def test_an_unknown_store_is_named(tmp_path: Path) -> None:
    """With what there is."""
    with pytest.raises(StoreUnusable, match=r"'mongodb'.*sqlite"):
        await open_store("mongodb", tmp_path)


async def test_a_file_of_the_first_release_gets_its_heartbeats(tmp_path):
    """They came later: such a file is opened as it is."""
    await (await SqliteStore.open(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as file:
        file.execute("DROP TABLE heartbeats")
    store = await SqliteStore.open(tmp_path)
    try:
        assert await store.heartbeats.list("node") == []
    finally:
        await store.close()
