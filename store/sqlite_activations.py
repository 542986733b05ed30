"""ActivationStore on SQLite: the record's JSON beside the columns that lists need."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from messages.wire import ActivationRecord
from store.contract import ActivationQuery
from store.records import decode_record, encode_record, path_filter
from store.sqlite_worker import Reader, Writer

Row = tuple[str, str, str, int, int, bytes]

_INSERT = """INSERT INTO activations (activation_id, namespace, filter, start, end, body) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING"""


def _inserting(rows: list[Row]) -> Callable[[sqlite3.Connection], list[bool]]:
    return lambda connection: [connection.execute(_INSERT, row).rowcount == 1 for row in rows]


def _where(query: ActivationQuery) -> tuple[str, list[str | int]]:
    clauses = ["namespace = ?"]
    parameters: list[str | int] = [query.namespace]
    for clause, value in (("filter = ?", query.name), ("start >= ?", query.since), ("start <= ?", query.upto)):
        if value is not None:
            clauses.append(clause)
            parameters.append(value)
    return " AND ".join(clauses), parameters


class SqliteActivations:
    """Implements ActivationStore."""

    def __init__(self, writer: Writer, reader: Reader, max_body: int) -> None:
        self._writer = writer
        self._reader = reader
        self._max_body = max_body

    async def write(self, records: Sequence[ActivationRecord]) -> list[bool]:
        """See ActivationStore."""
        rows = [
            (r.activation_id, r.namespace, path_filter(r), r.start, max(r.start, r.end), encode_record(r, self._max_body))
            for r in records
        ]
        return await self._writer.submit(_inserting(rows), savepoint=len(rows) > 1, single=len(rows) == 1)

    async def get(self, namespace: str, activation_id: str) -> ActivationRecord | None:
        """See ActivationStore."""
        sql = "SELECT body FROM activations WHERE activation_id = ? AND namespace = ?"
        row = await self._reader.submit(lambda c: c.execute(sql, (activation_id, namespace)).fetchone())
        return decode_record(row[0]) if row else None

    async def exist(self, ids: Sequence[tuple[str, str]]) -> set[str]:
        """See ActivationStore."""
        sql = "SELECT 1 FROM activations WHERE namespace = ? AND activation_id = ?"
        wanted = list(ids)
        return await self._reader.submit(lambda c: {pair[1] for pair in wanted if c.execute(sql, pair).fetchone()})

    async def list(self, query: ActivationQuery) -> list[ActivationRecord]:
        """See ActivationStore."""
        where, parameters = _where(query)
        sql = f"SELECT body FROM activations WHERE {where} ORDER BY start DESC, activation_id DESC LIMIT ? OFFSET ?"
        parameters += [query.limit or -1, query.skip]
        bodies = await self._reader.submit(lambda c: c.execute(sql, parameters).fetchall())
        return [decode_record(body) for (body,) in bodies]

    async def count(self, query: ActivationQuery) -> int:
        """See ActivationStore."""
        where, parameters = _where(query)
        sql = f"SELECT count(*) FROM activations WHERE {where}"
        return await self._reader.submit(lambda c: int(c.execute(sql, parameters).fetchone()[0]))

    async def delete_older(self, before: int, batch: int = 500) -> int:
        """See ActivationStore."""
        old = "SELECT rowid FROM activations WHERE end < ? AND start < ? ORDER BY end LIMIT ?"
        sql = f"DELETE FROM activations WHERE rowid IN ({old})"
        return await self._writer.submit(lambda c: c.execute(sql, (before, before, batch)).rowcount)
