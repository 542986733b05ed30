"""ActivationStore on CouchDB: upstream's database `activations`, its documents and views."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from messages.wire import ActivationRecord, KeyValue, Response
from store.contract import ActivationQuery
from store.couchdb_client import Client, Database, Row, decode
from store.couchdb_documents import read_fields
from store.couchdb_exact import Fields, split
from store.couchdb_views import FILTERED, RECORDS
from store.couchdb_worker import Workers
from store.errors import StoreRefused, StoreUnavailable
from store.records import decode_record, encode_record

DATABASE = "activations"
MAX_BULK = 8_000_000
"""Bytes in one request, unless one record is larger: an answer comes before the time is out."""

Rows = list[Row]
_HIGH = "\ufff0"
_FIELDS = msgspec.json.Decoder(Fields).decode


def document(record: ActivationRecord, max_body: int, now: int) -> dict[str, Any]:
    """The record in upstream's form. Raises StoreRefused as `encode_record`."""
    body = encode_record(record, max_body)
    try:
        fields = split(_FIELDS(body))
    except msgspec.MsgspecError as error:  # a lone surrogate in a result, for instance
        raise StoreRefused(f"record {record.activation_id} is not valid JSON: {error}") from None
    return {"_id": record.doc_id, **fields, "entityType": "activation", "updated": now}


def record_of(found: bytes | Raw) -> ActivationRecord:
    """The record in a document."""
    return decode_record(msgspec.json.encode(read_fields(found)[1]))


class _Summary(Struct, frozen=True, rename="camel"):
    """The value of a row of the view. A record without an end has no status code there."""

    namespace: str
    name: str
    version: str
    activation_id: str
    start: int
    annotations: list[KeyValue] = []
    publish: bool | UnsetType = UNSET
    cause: str | UnsetType | None = UNSET
    end: int = 0
    duration: int | UnsetType = UNSET
    status_code: int = 0


def _listed(row: Row) -> ActivationRecord:
    """What a list shows of a record."""
    found = decode(row.value, _Summary)
    return ActivationRecord(
        found.namespace, found.name, "", found.activation_id, found.start, found.end, Response(found.status_code), found.version,
        found.annotations, publish=found.publish, duration=found.duration, cause=found.cause or UNSET,
    )  # fmt: skip


class CouchActivations:
    """Implements ActivationStore. `wall_ms` dates the documents' field `updated`."""

    def __init__(self, writers: Workers, readers: Workers, max_body: int, wall_ms: Callable[[], int]) -> None:
        self._writers = writers
        self._readers = readers
        self._max_body = max_body
        self._wall_ms = wall_ms

    async def write(self, records: Sequence[ActivationRecord]) -> list[bool]:
        """See ActivationStore."""
        now = self._wall_ms()
        return await self._writers.run(
            lambda client: _write(_database(client), [document(record, self._max_body, now) for record in records])
        )

    async def get(self, namespace: str, activation_id: str) -> ActivationRecord | None:
        """See ActivationStore."""
        found = await self._readers.run(lambda client: _database(client).get(f"{namespace}/{activation_id}"))
        return None if found is None else record_of(found)

    async def exist(self, ids: Sequence[tuple[str, str]]) -> set[str]:
        """See ActivationStore."""
        if not ids:
            return set()
        keys = [f"{namespace}/{activation_id}" for namespace, activation_id in ids]
        rows = await self._readers.run(lambda client: _database(client).rows_of(keys))
        return {pair[1] for pair, row in zip(ids, rows, strict=True) if not row.missing}

    async def list(self, query: ActivationQuery) -> list[ActivationRecord]:
        """See ActivationStore."""
        limit = {"limit": query.limit} if query.limit else {}
        rows = await self._rows(query, reduce=False, include_docs=query.full, skip=query.skip, **limit)
        return [record_of(row.doc) if query.full else _listed(row) for row in rows]

    async def count(self, query: ActivationQuery) -> int:
        """See ActivationStore."""
        rows = await self._rows(query, reduce=True)
        return int(decode(rows[0].value, int)) if rows else 0

    async def delete_older(self, before: int, batch: int = 500) -> int:
        """See ActivationStore; by upstream's view `byDate`, which goes by the start."""
        return await self._readers.run(lambda client: _delete_older(_database(client), before, batch))

    async def _rows(self, query: ActivationQuery, **more: Any) -> Rows:
        design, key = (RECORDS, query.namespace) if query.name is None else (FILTERED, f"{query.namespace}/{query.name}")
        upper = _HIGH if query.upto is None else query.upto
        if query.upto is not None and query.upto < (query.since or 0):
            return []  # CouchDB refuses a range that ends before it begins
        return await self._readers.run(
            lambda client: _database(client).rows(
                "_design", design, "_view", "activations",
                startkey=[key, upper, _HIGH], endkey=[key, query.since or 0], descending=True, **more,
            )
        )  # fmt: skip


def _database(client: Client) -> Database:
    return client.database(DATABASE)


def _write(database: Database, documents: Sequence[dict[str, Any]]) -> list[bool]:
    """In requests of a bounded size. A conflict means that the record is there.

    Answers are told apart by their ids: not every server keeps the order of what it was sent. Of two with one id the first is sent.
    """
    firsts: dict[str, dict[str, Any]] = {}
    for each in documents:
        firsts.setdefault(each["_id"], each)
    written: set[str] = set()
    for part in _parts(list(firsts.values())):
        for result in database.bulk(part):
            if result.error and result.error != "conflict":
                text = f"record {result.id}: {result.error} {result.reason}"
                raise StoreRefused(text) if result.error in {"forbidden", "doc_validation"} else StoreUnavailable(text)
            if not result.error:
                written.add(result.id)
    return [firsts[each["_id"]] is each and each["_id"] in written for each in documents]


def _parts(documents: Sequence[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    size = 0
    for each in documents:
        own = sum(len(bytes(value)) for value in each.values() if isinstance(value, Raw))
        if part and size + own > MAX_BULK:
            yield part
            part, size = [], 0
        part.append(each)
        size += own
    if part:
        yield part


def _delete_older(database: Database, before: int, batch: int) -> int:
    rows = database.rows("_design", "activations", "_view", "byDate", endkey=before - 1, limit=batch)
    doomed = [decode(row.value, tuple[str, str]) for row in rows]
    results = database.bulk([{"_id": found, "_rev": rev, "_deleted": True} for found, rev in doomed]) if doomed else []
    failed = next((result for result in results if result.error and result.error != "conflict"), None)
    if failed is not None:
        raise StoreUnavailable(f"record {failed.id} was not deleted: {failed.error} {failed.reason}")
    return len(results)
