"""Documents with revisions on SQLite: optimistic concurrency as CouchDB has it, `<generation>-<hash>`."""

from __future__ import annotations

import sqlite3

from store.contract import StoredDoc
from store.errors import Conflict, NotFound
from store.revisions import next_revision


def current(connection: sqlite3.Connection, table: str, doc_id: str) -> StoredDoc | None:
    """The newest revision of a document that is not deleted."""
    row = connection.execute(f"SELECT rev, body FROM {table} WHERE doc_id = ? AND body IS NOT NULL", (doc_id,)).fetchone()
    return StoredDoc(doc_id, row[0], row[1]) if row else None


def put(
    connection: sqlite3.Connection, table: str, doc_id: str, body: bytes, rev: str | None, columns: dict[str, str | int]
) -> str:
    """Write the revision after `rev` with one statement and return it. Raises Conflict."""
    row = connection.execute(f"SELECT generation, rev, body IS NULL FROM {table} WHERE doc_id = ?", (doc_id,)).fetchone()
    generation, newest, deleted = row or (0, None, True)
    if rev != (None if deleted else newest):
        raise Conflict(f"{doc_id} is at revision {None if deleted else newest}, not {rev}")
    written = next_revision(generation, body)
    values = {"doc_id": doc_id, "generation": generation + 1, "rev": written, "body": body, **columns}
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))
    return written


def delete(connection: sqlite3.Connection, table: str, doc_id: str, rev: str) -> None:
    """Take the body away; the generation stays. Raises Conflict or NotFound."""
    found = current(connection, table, doc_id)
    if found is None:
        raise NotFound(f"there is no {doc_id}")
    if found.rev != rev:
        raise Conflict(f"{doc_id} is at revision {found.rev}, not {rev}")
    connection.execute(f"UPDATE {table} SET body = NULL, generation = generation + 1 WHERE doc_id = ?", (doc_id,))
