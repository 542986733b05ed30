"""Which store a setting names."""

from __future__ import annotations

from pathlib import Path

from store.contract import Store
from store.errors import StoreUnusable
from store.sqlite import SqliteStore


async def open_store(
    store: str, data_dir: Path, prefix: str = "", ca: Path | None = None, patience: float = 10.0
) -> Store:  # fmt: skip
    """The store that `--store` names.

    For a CouchDB: `prefix` of its databases, `ca` a file of certificates, `patience` seconds that it may take to come up.

    Raises StoreUnusable with what to do about it.
    """
    if store == "sqlite":
        return await SqliteStore.open(data_dir)
    if not store.startswith(("http://", "https://")):
        raise StoreUnusable(f"--store {store!r} is not known: there are sqlite and http://user:password@host:port")
    from store.couchdb import CouchStore
    from store.couchdb_client import parse_url

    try:
        settings = parse_url(store, prefix, str(ca) if ca is not None else None)
    except ValueError as error:
        raise StoreUnusable(f"--store {error}") from None
    return await CouchStore.open(settings, patience=patience)
