"""SubjectStore on CouchDB: upstream's database `subjects` and its view of identities."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from messages.wire import Identity
from store import couchdb_documents as documents
from store.contract import StoredDoc
from store.couchdb_client import Client, Database
from store.couchdb_views import IDENTITIES
from store.couchdb_worker import Workers
from store.errors import StoreRefused
from store.identities import Credentials, identity

DATABASE = "subjects"


class _Found(Struct, frozen=True):
    """The value of a row of the view."""

    namespace: str
    uuid: str
    key: str


class CouchSubjects:
    """Implements SubjectStore."""

    def __init__(self, workers: Workers, max_body: int) -> None:
        self._workers = workers
        self._max_body = max_body

    async def by_key(self, uuid: str, key: str) -> Identity | None:
        """See SubjectStore."""
        return await self._workers.run(lambda client: _select(_database(client), [uuid, key], limit=2))

    async def by_namespace(self, namespace: str) -> Identity | None:
        """See SubjectStore."""
        return await self._workers.run(lambda client: _select(_database(client), [namespace], limit=1))

    async def get(self, doc_id: str) -> StoredDoc | None:
        """See SubjectStore."""
        return await self._workers.run(lambda client: documents.get(_database(client), doc_id))

    async def put(self, doc_id: str, body: bytes, rev: str | None) -> str:
        """See SubjectStore."""
        if len(body) > self._max_body:
            raise StoreRefused(f"{doc_id} has {len(body)} bytes; at most {self._max_body} are taken")
        fields = documents.fields_of(doc_id, body)
        return await self._workers.run(lambda client: documents.put(_database(client), doc_id, fields, rev))

    async def delete(self, doc_id: str, rev: str) -> None:
        """See SubjectStore."""
        await self._workers.run(lambda client: documents.delete(_database(client), doc_id, rev))

    async def list(self) -> list[StoredDoc]:
        """See SubjectStore."""
        rows = await self._workers.run(lambda client: _database(client).rows("_all_docs", include_docs=True))
        return [documents.stored_doc(row.doc) for row in rows if not row.id.startswith("_design/")]


def _database(client: Client) -> Database:
    return client.database(DATABASE)


def _select(database: Database, key: list[str], limit: int) -> Identity | None:
    """Upstream's question: the view's value names the limits document, which comes with the row."""
    more: dict[str, Any] = {"reduce": False, "include_docs": True, "descending": True, "limit": limit}
    rows = database.rows("_design", IDENTITIES, "_view", "identities", startkey=key, endkey=key, **more)
    if len(rows) > 1:
        raise StoreRefused("these credentials select more than one namespace")
    try:
        found = msgspec.json.decode(rows[0].value, type=_Found) if rows else None
    except msgspec.MsgspecError:
        found = None  # a subject that has no right form opens nothing
    if found is None:
        return None
    limits = None if bytes(rows[0].doc) == b"null" else bytes(rows[0].doc)
    return identity(rows[0].id, Credentials(found.namespace, found.uuid, found.key), limits)
