"""Which store a setting names."""

from __future__ import annotations

from pathlib import Path

from store.contract import Store
from store.errors import StoreUnusable
from store.sqlite import SqliteStore


async def open_store(store: str, data_dir: Path) -> Store:
    """The store that `--store` names. Raises StoreUnusable with what to do about it."""
    if store == "sqlite":
        return await SqliteStore.open(data_dir)
    raise StoreUnusable(f"--store {store!r} is not known: this release has `sqlite`")
