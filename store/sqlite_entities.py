"""EntityStore on SQLite."""

from __future__ import annotations

from store import sqlite_documents as documents
from store.contract import EntityRow, StoredDoc
from store.errors import StoreRefused
from store.sqlite_worker import Reader, Writer

_LISTED = """CASE WHEN collection = 'actions' AND length(body) > 65536 AND json_valid(CAST(body AS TEXT))
    THEN CAST(json_remove(CAST(body AS TEXT), '$.exec.code') AS BLOB) ELSE body END"""
"""A large action without its code: a page of them would fill the memory. Everything else stays as it was written."""


class SqliteEntities:
    """Implements EntityStore."""

    def __init__(self, writer: Writer, reader: Reader, max_body: int) -> None:
        self._writer = writer
        self._reader = reader
        self._max_body = max_body

    async def get(self, doc_id: str) -> StoredDoc | None:
        """See EntityStore."""
        return await self._reader.submit(lambda c: documents.current(c, "entities", doc_id))

    async def revision(self, doc_id: str) -> str | None:
        """See EntityStore."""
        sql = "SELECT rev FROM entities WHERE doc_id = ? AND body IS NOT NULL"
        row = await self._reader.submit(lambda c: c.execute(sql, (doc_id,)).fetchone())
        return None if row is None else str(row[0])

    async def put(self, row: EntityRow, body: bytes, rev: str | None) -> str:
        """See EntityStore."""
        if len(body) > self._max_body:
            raise StoreRefused(f"{row.doc_id} has {len(body)} bytes; at most {self._max_body} are taken")
        columns: dict[str, str | int] = {
            "collection": row.collection, "root": row.path.partition("/")[0], "path": row.path, "updated": row.updated,
        }  # fmt: skip
        return await self._writer.submit(lambda c: documents.put(c, "entities", row.doc_id, body, rev, columns))

    async def delete(self, doc_id: str, rev: str) -> None:
        """See EntityStore."""
        await self._writer.submit(lambda c: documents.delete(c, "entities", doc_id, rev))

    async def list(self, collection: str, path: str, *, limit: int = 0, skip: int = 0, exact: bool = False) -> list[StoredDoc]:
        """See EntityStore."""
        where = _where(path, exact)
        sql = f"SELECT doc_id, rev, {_LISTED} FROM entities WHERE {where} ORDER BY updated DESC, doc_id DESC LIMIT ? OFFSET ?"
        parameters = (collection, path, limit or -1, skip)
        return await self._reader.submit(lambda c: [StoredDoc(*row) for row in c.execute(sql, parameters)])

    async def count(self, collection: str, path: str, *, exact: bool = False) -> int:
        """See EntityStore."""
        sql = f"SELECT count(*) FROM entities WHERE {_where(path, exact)}"
        return await self._reader.submit(lambda c: int(c.execute(sql, (collection, path)).fetchone()[0]))


def _where(path: str, exact: bool) -> str:
    column = "path" if exact or "/" in path else "root"
    return f"collection = ? AND {column} = ? AND body IS NOT NULL"
