"""A backup is one moment of a store that goes on; a restore is whole or not at all."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from store.contract import ActivationQuery
from store.data_dir import DataDir
from store.errors import DataDirInUse, StoreUnusable
from store.sqlite import SqliteStore
from store.sqlite_backup import backup, restore
from tests.contract.store_suite import record


async def filled(data_dir: Path, count: int) -> SqliteStore:
    data_dir.mkdir(exist_ok=True)
    store = await SqliteStore.open(data_dir)
    await store.activations.write([record(i) for i in range(count)])
    return store


async def count(data_dir: Path) -> int:
    store = await SqliteStore.open(data_dir)
    found = await store.activations.count(ActivationQuery("guest"))
    await store.close()
    return found


async def test_a_backup_while_the_node_writes(tmp_path: Path) -> None:
    """Writes go on meanwhile; the copy is private, has no gap, and restored it is a store that shrinks as the first."""
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    store = await filled(data, 2000)
    done = False

    async def write() -> int:
        n = 0
        while not done:
            n += 1
            await store.journal.create("invoker0", n, b"x" * 100)
        return n

    writing = asyncio.ensure_future(write())
    await asyncio.sleep(0.02)
    await asyncio.to_thread(backup, data, copy)
    done = True
    assert await writing > 5
    await store.close()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "data"]
    await asyncio.to_thread(restore, tmp_path / "new", copy)
    restored = await SqliteStore.open(tmp_path / "new")
    numbers = await restored.journal.numbers("invoker0", 10**9)
    assert numbers == list(range(1, len(numbers) + 1))
    assert await restored.activations.count(ActivationQuery("guest")) == 2000
    assert await restored._writer.submit(lambda c: c.execute("PRAGMA auto_vacuum").fetchone()[0]) == 2
    await restored.close()
    assert (tmp_path / "new" / "rewhisk.db").stat().st_mode & 0o777 == 0o600


async def test_a_backup_replaces_the_one_before(tmp_path: Path) -> None:
    """At once."""
    store = await filled(tmp_path / "data", 1)
    backup(tmp_path / "data", tmp_path / "copy.db")
    await store.activations.write([record(7)])
    backup(tmp_path / "data", tmp_path / "copy.db")
    await store.close()
    restore(tmp_path / "data", tmp_path / "copy.db")
    assert await count(tmp_path / "data") == 2


async def test_restore_replaces_what_was_there(tmp_path: Path) -> None:
    """Also what a killed process had left in the write-ahead log, and also a damaged file."""
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    store = await filled(data, 3)
    backup(data, copy)
    await store.activations.write([record(i) for i in range(10, 20)])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("rewhisk.db", "rewhisk.db-wal"):
        (crashed / name).write_bytes((data / name).read_bytes())
    left = (crashed / "rewhisk.db-wal").read_bytes()
    assert left
    await store.close()
    restore(crashed, copy)
    assert await count(crashed) == 3
    (crashed / "rewhisk.db").write_bytes(b"nonsense" * 999)
    (crashed / "rewhisk.db-wal").write_bytes(left)
    restore(crashed, copy)
    assert await count(crashed) == 3
    assert not list(crashed.glob(".rewhisk*"))


async def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    """While a node owns it."""
    store = await filled(tmp_path / "data", 3)
    backup(tmp_path / "data", tmp_path / "copy.db")
    await store.close()
    node = DataDir.open(tmp_path / "data", "invoker0")
    with pytest.raises(DataDirInUse):
        restore(tmp_path / "data", tmp_path / "copy.db")
    node.close()
    restore(tmp_path / "data", tmp_path / "copy.db")


async def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    """Absent, damaged, another program's, a newer release's: said, and the store stays as it is."""
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    store = await filled(data, 500)
    backup(data, copy)
    await store.close()
    good = copy.read_bytes()
    pages = bytearray(good)
    pages[4096 * 3 : -4096] = b"\x55" * (len(good) - 4096 * 4)
    bad = {"nonsense": b"nonsense" * 999, "empty": b"", "cut": good[: len(good) // 2], "bent": bytes(pages)}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StoreUnusable, match=name):
            restore(data, tmp_path / name)
    with pytest.raises(StoreUnusable, match="not there"):
        restore(data, tmp_path / "absent")
    newer = sqlite3.connect(copy)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StoreUnusable, match="newer release"):
        restore(data, copy)
    assert await count(data) == 500
    assert sorted(path.name for path in data.iterdir()) == ["data.lock", "rewhisk.db"]


async def test_backups_that_cannot_be_made(tmp_path: Path) -> None:
    """No store, no place: said, nothing left behind."""
    with pytest.raises(StoreUnusable, match="nothing to back up"):
        backup(tmp_path, tmp_path / "copy.db")
    await (await filled(tmp_path / "data", 1)).close()
    for target in (tmp_path, Path("/proc/self/copy.db"), tmp_path / "missing" / "copy.db"):
        with pytest.raises(StoreUnusable, match=str(target)):
            backup(tmp_path / "data", target)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


async def test_the_installation_is_the_directory(tmp_path: Path) -> None:
    """A copy that is started elsewhere is another installation; put back, it is the one that was there."""
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    store = await filled(data, 1)
    original = await store.installation_id()
    await store.close()
    backup(data, copy)
    ids = []
    for target in (tmp_path / "new", tmp_path / "new", data):
        restore(target, copy)
        restored = await SqliteStore.open(target)
        ids.append(await restored.installation_id())
        await restored.close()
    assert ids == [ids[0], ids[0], original]
    assert ids[0] != original
