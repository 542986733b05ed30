"""What is old goes in small steps, and the file shrinks."""

from __future__ import annotations

from pathlib import Path

from store.contract import ActivationQuery
from store.memory import MemoryStore
from store.retention import Retention, Swept
from store.sqlite import SqliteStore
from tests.contract.journal_tools import ManualClock, Owner, life
from tests.contract.store_suite import record

DAY = 86_400_000


async def test_old_records_and_documents_go_and_the_file_shrinks(tmp_path: Path) -> None:
    """Records by their end, documents by compaction; pages go back to the disk."""
    store = await SqliteStore.open(tmp_path)
    owner = Owner(store.journal, ManualClock(), snapshot_every=5, keep_ms=1000)
    await owner.journal.open()
    for i in range(20):
        for event in life(f"a{i}"):
            owner.append(event)
        await owner.flush()
    now = 100 * DAY
    old = [record(i, start=now - 8 * DAY, logs=["x" * 9000]) for i in range(1200)]
    await store.activations.write([*old, record(5000, start=now - 6 * DAY)])
    retention = Retention(store, owner.journal.compact, tmp_path, keep_activations=7 * DAY)
    swept = await retention.tick(now)
    assert swept.records == 1200
    assert swept.documents >= 14
    assert swept.pages > 2000
    assert await store.activations.count(ActivationQuery("guest")) == 1
    assert await retention.tick(now) == Swept(0, 0, 0)
    await store.close()
    assert (tmp_path / "rewhisk.db").stat().st_size < 300_000


async def test_a_backlog_is_worked_off_over_several_ticks() -> None:
    """One tick deletes a bounded number of records."""
    store = MemoryStore()
    await store.activations.write([record(i, logs=[]) for i in range(12_000)])

    async def compact(now: int) -> int:
        return 0

    retention = Retention(store, compact, Path("/"), keep_activations=0)
    swept = [(await retention.tick(DAY)).records for _ in range(3)]
    assert swept == [10_000, 2_000, 0]


def test_low_disk_is_told(tmp_path: Path) -> None:
    """By the room that the data directory's disk has left."""
    store = MemoryStore()

    async def compact(now: int) -> int:
        return 0

    retention = Retention(store, compact, tmp_path, 0, low=1)
    free = retention.free_bytes()
    assert free > 1
    assert not retention.low_disk()
    assert Retention(store, compact, tmp_path, 0, low=2 * free).low_disk()
