"""SubjectStore on SQLite: the documents, and their credentials indexed in table `identities`."""

from __future__ import annotations

import sqlite3

from messages.wire import Identity
from store import sqlite_documents as documents
from store.contract import StoredDoc
from store.errors import StoreRefused
from store.identities import Credentials, credentials, identity, limits_id
from store.sqlite_worker import Reader, Writer


class SqliteSubjects:
    """Implements SubjectStore."""

    def __init__(self, writer: Writer, reader: Reader, max_body: int) -> None:
        self._writer = writer
        self._reader = reader
        self._max_body = max_body

    async def by_key(self, uuid: str, key: str) -> Identity | None:
        """See SubjectStore."""
        return await self._reader.submit(lambda c: _select(c, "uuid = ? AND key = ?", (uuid, key), unique=True))

    async def by_namespace(self, namespace: str) -> Identity | None:
        """See SubjectStore."""
        return await self._reader.submit(lambda c: _select(c, "namespace = ?", (namespace,), unique=False))

    async def get(self, doc_id: str) -> StoredDoc | None:
        """See SubjectStore."""
        return await self._reader.submit(lambda c: documents.current(c, "subjects", doc_id))

    async def put(self, doc_id: str, body: bytes, rev: str | None) -> str:
        """See SubjectStore."""
        if len(body) > self._max_body:
            raise StoreRefused(f"{doc_id} has {len(body)} bytes; at most {self._max_body} are taken")
        return await self._writer.submit(lambda c: _put(c, doc_id, body, rev), savepoint=True)

    async def delete(self, doc_id: str, rev: str) -> None:
        """See SubjectStore."""
        await self._writer.submit(lambda c: _delete(c, doc_id, rev), savepoint=True)

    async def list(self) -> list[StoredDoc]:
        """See SubjectStore."""
        sql = "SELECT doc_id, rev, body FROM subjects WHERE body IS NOT NULL ORDER BY doc_id"
        return await self._reader.submit(lambda c: [StoredDoc(*row) for row in c.execute(sql)])


def _put(connection: sqlite3.Connection, doc_id: str, body: bytes, rev: str | None) -> str:
    written = documents.put(connection, "subjects", doc_id, body, rev, {})
    connection.execute("DELETE FROM identities WHERE subject = ?", (doc_id,))
    rows = [(doc_id, found.name, found.uuid, found.key) for found in credentials(body)]
    connection.executemany("INSERT INTO identities (subject, namespace, uuid, key) VALUES (?, ?, ?, ?)", rows)
    return written


def _delete(connection: sqlite3.Connection, doc_id: str, rev: str) -> None:
    documents.delete(connection, "subjects", doc_id, rev)
    connection.execute("DELETE FROM identities WHERE subject = ?", (doc_id,))


def _select(connection: sqlite3.Connection, where: str, parameters: tuple[str, ...], *, unique: bool) -> Identity | None:
    sql = f"SELECT subject, namespace, uuid, key FROM identities WHERE {where} ORDER BY subject DESC LIMIT 2"
    rows = connection.execute(sql, parameters).fetchall()
    if not rows:
        return None
    if unique and len(rows) > 1:
        raise StoreRefused("these credentials select more than one namespace")
    subject, namespace, uuid, key = rows[0]
    limits = documents.current(connection, "subjects", limits_id(namespace))
    return identity(subject, Credentials(namespace, uuid, key), limits.body if limits else None)
