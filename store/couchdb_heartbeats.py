"""HeartbeatStore on CouchDB: documents of the journal's database."""

from __future__ import annotations

import msgspec

from store import couchdb_documents as documents
from store.contract import StoredDoc
from store.couchdb_client import Client, Database
from store.couchdb_log import DATABASE
from store.couchdb_worker import Workers


class CouchHeartbeats:
    """Implements HeartbeatStore, with a thread of its own: liveness must not wait behind somebody's list."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    async def get(self, doc_id: str) -> StoredDoc | None:
        """See HeartbeatStore."""
        return await self._workers.run(lambda client: documents.get(_database(client), doc_id))

    async def put(self, doc_id: str, body: bytes, rev: str | None) -> str:
        """See HeartbeatStore."""
        fields = documents.fields_of(doc_id, body)
        return await self._workers.run(lambda client: documents.put(_database(client), doc_id, fields, rev))

    async def list(self, kind: str) -> list[StoredDoc]:
        """See HeartbeatStore."""
        start, end = (msgspec.json.encode(f"{kind}{mark}").decode() for mark in ":;")  # `;` is the character after the colon
        rows = await self._workers.run(
            lambda client: _database(client).rows("_all_docs", startkey=start, endkey=end, inclusive_end=False, include_docs=True)
        )
        return [documents.stored_doc(row.doc) for row in rows]


def _database(client: Client) -> Database:
    return client.database(DATABASE)
