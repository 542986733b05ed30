"""DocumentLog on SQLite: table `journal`, primary key (stream, n)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from store.contract import JournalDocument
from store.errors import Conflict, StoreRefused
from store.sqlite_worker import Reader, Writer


def _inserting(stream: str, n: int, body: bytes) -> Callable[[sqlite3.Connection], None]:
    def insert(connection: sqlite3.Connection) -> None:
        try:
            connection.execute("INSERT INTO journal (stream, n, body) VALUES (?, ?, ?)", (stream, n, body))
        except sqlite3.IntegrityError:
            raise Conflict(f"{stream} has a document {n} already") from None

    return insert


class SqliteLog:
    """Implements DocumentLog."""

    def __init__(self, writer: Writer, reader: Reader, max_body: int) -> None:
        self._writer = writer
        self._reader = reader
        self._max_body = max_body

    async def create(self, stream: str, n: int, body: bytes) -> None:
        """See DocumentLog."""
        if len(body) > self._max_body:
            raise StoreRefused(f"{stream} document {n} has {len(body)} bytes; at most {self._max_body} are taken")
        await self._writer.submit(_inserting(stream, n, body), single=True)

    async def read(self, stream: str, n: int) -> bytes | None:
        """See DocumentLog."""
        rows = await self._rows("SELECT n, body FROM journal WHERE stream = ? AND n = ?", stream, n)
        return rows[0].body if rows else None

    async def last(self, stream: str) -> JournalDocument | None:
        """See DocumentLog."""
        rows = await self._rows("SELECT n, body FROM journal WHERE stream = ? ORDER BY n DESC LIMIT 1", stream)
        return rows[0] if rows else None

    async def range(self, stream: str, first: int, last: int) -> list[JournalDocument]:
        """See DocumentLog."""
        return await self._rows(
            "SELECT n, body FROM journal WHERE stream = ? AND n BETWEEN ? AND ? ORDER BY n", stream, first, last
        )

    async def numbers(self, stream: str, below: int) -> list[int]:
        """See DocumentLog."""
        sql = "SELECT n FROM journal WHERE stream = ? AND n < ? ORDER BY n"
        return await self._reader.submit(lambda c: [n for (n,) in c.execute(sql, (stream, below))])

    async def delete(self, stream: str, numbers: Sequence[int]) -> None:
        """See DocumentLog."""
        keys = [(stream, n) for n in numbers]
        sql = "DELETE FROM journal WHERE stream = ? AND n = ?"
        await self._writer.submit(lambda c: c.executemany(sql, keys) and None, savepoint=True)

    async def streams(self) -> list[str]:
        """See DocumentLog."""
        return await self._reader.submit(_streams)

    async def _rows(self, sql: str, *parameters: str | int) -> list[JournalDocument]:
        return await self._reader.submit(lambda c: [JournalDocument(n, body) for n, body in c.execute(sql, parameters)])


def _streams(connection: sqlite3.Connection) -> list[str]:
    """Skips from name to name through the primary key instead of reading every row."""
    names: list[str] = []
    after = ""
    while row := connection.execute("SELECT stream FROM journal WHERE stream > ? ORDER BY stream LIMIT 1", (after,)).fetchone():
        after = row[0]
        names.append(after)
    return names
