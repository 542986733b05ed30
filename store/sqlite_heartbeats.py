"""HeartbeatStore on SQLite: for nodes that share a data directory."""

from __future__ import annotations

from store import sqlite_documents as documents
from store.contract import StoredDoc
from store.sqlite_worker import Reader, Writer


class SqliteHeartbeats:
    """Implements HeartbeatStore."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def get(self, doc_id: str) -> StoredDoc | None:
        """See HeartbeatStore."""
        return await self._reader.submit(lambda c: documents.current(c, "heartbeats", doc_id))

    async def put(self, doc_id: str, body: bytes, rev: str | None) -> str:
        """See HeartbeatStore."""
        return await self._writer.submit(lambda c: documents.put(c, "heartbeats", doc_id, body, rev, {}), savepoint=True)

    async def list(self, kind: str) -> list[StoredDoc]:
        """See HeartbeatStore."""
        sql = "SELECT doc_id, rev, body FROM heartbeats WHERE body IS NOT NULL AND doc_id >= ? AND doc_id < ? ORDER BY doc_id"
        bounds = (f"{kind}:", f"{kind};")  # the character after the colon
        return await self._reader.submit(lambda c: [StoredDoc(*row) for row in c.execute(sql, bounds)])
