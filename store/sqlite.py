"""The embedded store: everything in one SQLite file of the data directory.

Write-ahead log, synchronous=FULL: an answer comes after the fsync. One writer thread, two readers (see sqlite_worker).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import uuid
from pathlib import Path

from store.records import ENTITY_FACTOR, MAX_BODY
from store.sqlite_activations import SqliteActivations
from store.sqlite_entities import SqliteEntities
from store.sqlite_heartbeats import SqliteHeartbeats
from store.sqlite_log import SqliteLog
from store.sqlite_schema import FILE_NAME, connect_reader, prepare
from store.sqlite_subjects import SqliteSubjects
from store.sqlite_worker import Reader, Writer

READERS = 2


class SqliteStore:
    """Implements Store. Made by `SqliteStore.open`."""

    def __init__(self, path: Path, max_body: int = MAX_BODY) -> None:
        self.path = path
        self._writer = Writer("store-writer", str(path), lambda: prepare(path))
        self._readers = [Reader("store-reader-0", str(path), lambda: connect_reader(path))]
        shared = self._readers[0].jobs
        self._readers += [Reader(f"store-reader-{i}", str(path), lambda: connect_reader(path), shared) for i in range(1, READERS)]
        reader = self._readers[0]
        self.journal = SqliteLog(self._writer, reader, max_body)
        self.activations = SqliteActivations(self._writer, reader, max_body)
        self.entities = SqliteEntities(self._writer, reader, max_body * ENTITY_FACTOR)
        self.subjects = SqliteSubjects(self._writer, reader, max_body)
        self.heartbeats = SqliteHeartbeats(self._writer, reader)

    @classmethod
    async def open(cls, data_dir: Path, max_body: int = MAX_BODY) -> SqliteStore:
        """Open or make `rewhisk.db` in `data_dir`. Raises StoreUnusable with what to do about it."""
        store = cls(data_dir / FILE_NAME, max_body)
        await store._writer.start()
        for reader in store._readers:
            await reader.start()
        return store

    async def installation_id(self) -> str:
        """See Store."""
        return await self._writer.submit(_installation_id)

    def outage(self) -> float:
        """See Store."""
        return 0.0

    def cost(self) -> dict[str, int]:
        """See Store."""
        return {}

    async def vacuum(self, pages: int) -> int:
        """See Store."""
        return await self._writer.submit(lambda connection: _vacuum(connection, pages))

    async def close(self) -> None:
        """See Store."""
        await asyncio.gather(*(reader.close() for reader in self._readers))  # together: they share one queue
        await self._writer.close()


def _installation_id(connection: sqlite3.Connection) -> str:
    fresh = uuid.UUID(bytes=os.urandom(16), version=4).hex
    connection.execute("INSERT INTO meta (name, value) VALUES ('installation', ?) ON CONFLICT DO NOTHING", (fresh,))
    row = connection.execute("SELECT value FROM meta WHERE name = 'installation'").fetchone()
    return str(row[0])


def _vacuum(connection: sqlite3.Connection, pages: int) -> int:
    def free() -> int:
        return int(connection.execute("PRAGMA freelist_count").fetchone()[0])

    before = free()
    for _ in range(min(pages, before)):
        connection.execute("PRAGMA incremental_vacuum(1)")  # sqlite3 takes one step of it, which is one page
    return before - free()
