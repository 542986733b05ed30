"""EntityStore on CouchDB: upstream's database `whisks`, its documents, views and attachments."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from store import couchdb_documents as documents
from store.contract import EntityRow, StoredDoc
from store.couchdb_client import Client, Database, Row, decode
from store.couchdb_code import attach, detach, without_code
from store.couchdb_exact import Fields
from store.couchdb_views import ENTITIES
from store.couchdb_worker import Workers
from store.errors import StoreRefused, StoreUnavailable

DATABASE = "whisks"
_HIGH = "\ufff0"
EntityDocs = list[StoredDoc]
Rows = list[Row]
_TYPES = {"actions": "action", "packages": "package", "triggers": "trigger", "rules": "rule"}


class CouchEntities:
    """Implements EntityStore. Code in a list's documents is left out where it is an attachment."""

    def __init__(self, workers: Workers, max_body: int) -> None:
        self._workers = workers
        self._max_body = max_body

    async def get(self, doc_id: str) -> StoredDoc | None:
        """See EntityStore."""
        return await self._workers.run(lambda client: _get(_database(client), doc_id))

    async def revision(self, doc_id: str) -> str | None:
        """See EntityStore."""
        return await self._workers.run(lambda client: _database(client).revision(doc_id))

    async def put(self, row: EntityRow, body: bytes, rev: str | None) -> str:
        """See EntityStore."""
        if len(body) > self._max_body:
            raise StoreRefused(f"{row.doc_id} has {len(body)} bytes; at most {self._max_body} are taken")
        fields = documents.fields_of(row.doc_id, body)
        fields.setdefault("entityType", Raw(msgspec.json.encode(_TYPES[row.collection])))
        fields.setdefault("updated", Raw(msgspec.json.encode(row.updated)))
        detached, attachments = detach(fields, lambda: str(uuid.uuid4()))
        return await self._workers.run(lambda client: documents.put(_database(client), row.doc_id, detached, rev, attachments))

    async def delete(self, doc_id: str, rev: str) -> None:
        """See EntityStore."""
        await self._workers.run(lambda client: documents.delete(_database(client), doc_id, rev))

    async def list(self, collection: str, path: str, *, limit: int = 0, skip: int = 0, exact: bool = False) -> list[StoredDoc]:
        """See EntityStore."""
        if exact:
            found = await self._exact(collection, path)
            return found[skip : skip + limit if limit else None]
        cut = {"limit": limit} if limit else {}
        rows = await self._rows(collection, path, reduce=False, include_docs=True, skip=skip, **cut)
        return [_listed(row) for row in rows]

    async def count(self, collection: str, path: str, *, exact: bool = False) -> int:
        """See EntityStore."""
        if exact:
            return len(await self._exact(collection, path))
        rows = await self._rows(collection, path, reduce=True)
        return int(decode(rows[0].value, int)) if rows else 0

    async def _exact(self, collection: str, path: str) -> EntityDocs:
        rows = await self._rows(collection, path, reduce=False, include_docs=True)
        return [_listed(row) for row in rows if row.id.rpartition("/")[0] == path]

    async def _rows(self, collection: str, path: str, **more: Any) -> Rows:
        return await self._workers.run(
            lambda client: _database(client).rows(
                "_design", ENTITIES, "_view", collection,
                startkey=[path, _HIGH, _HIGH], endkey=[path, 0], descending=True, **more,
            )
        )  # fmt: skip


def _database(client: Client) -> Database:
    return client.database(DATABASE)


def _get(database: Database, doc_id: str) -> StoredDoc | None:
    """The document with its code. Between its two reads the document may change: then it is read again."""
    for _ in range(3):
        found = database.get(doc_id)
        if found is None:
            return None
        written, fields = documents.read_fields(found)
        fields.pop("_attachments", None)
        whole = attach(fields, _fetcher(database, doc_id, written.rev))
        if whole is not None:
            return StoredDoc(written.id, written.rev, msgspec.json.encode(whole))
    raise StoreUnavailable(f"{doc_id}: its code is not there")


def _fetcher(database: Database, doc_id: str, rev: str) -> Callable[[str], bytes | None]:
    return lambda name: database.get(doc_id, name, rev=rev)


def _listed(row: Row) -> StoredDoc:
    written, fields = documents.read_fields(row.doc)
    fields.pop("_attachments", None)
    return StoredDoc(written.id, written.rev, msgspec.json.encode(_without_code(fields)))


def _without_code(fields: Fields) -> Fields:
    return without_code(fields) if "exec" in fields else fields
