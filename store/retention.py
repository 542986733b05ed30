"""Deleting what is old enough, in small steps, and watching the room on the disk. Driven by the node's tick."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct

from store.contract import Store

BATCH = 500
"""Records deleted in one transaction: writes that wait behind it wait a few milliseconds."""

VACUUM_PAGES = 1000
"""Pages of 4 KiB given back in one transaction."""

STEPS = 20
"""Batches in one tick: a long backlog is worked off over several."""


class Swept(Struct, frozen=True):
    """What one tick did: records and journal documents deleted, pages given back to the disk."""

    records: int
    documents: int
    pages: int


class Retention:
    """`keep_activations` in ms. `compact` is the owner's `Journal.compact`; `low` in bytes is when readiness goes off."""

    def __init__(
        self,
        store: Store,
        compact: Callable[[int], Awaitable[int]],
        data_dir: Path,
        keep_activations: int,
        low: int = 256 * 1024 * 1024,
    ) -> None:
        self._store = store
        self._compact = compact
        self._data_dir = data_dir
        self._keep = keep_activations
        self._low = low

    async def tick(self, now: int) -> Swept:
        """One round at wall-clock `now` (epoch ms). Raises StoreUnavailable (the next round goes on) and StoreFailed."""
        records = 0
        for _ in range(STEPS):
            deleted = await self._store.activations.delete_older(now - self._keep, BATCH)
            records += deleted
            if deleted < BATCH:
                break
        documents = await self._compact(now)
        pages = 0
        for _ in range(STEPS):
            freed = await self._store.vacuum(VACUUM_PAGES)
            pages += freed
            if freed < VACUUM_PAGES:
                break
        return Swept(records, documents, pages)

    def free_bytes(self) -> int:
        """Room left on the data directory's disk. Raises OSError."""
        return shutil.disk_usage(self._data_dir).free

    def low_disk(self) -> bool:
        """Whether there is so little room that the node should take no more work before writes fail."""
        return self.free_bytes() < self._low
