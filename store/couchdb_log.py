"""DocumentLog on CouchDB: documents `ev:<stream>:<12 digits>` of a database with one shard (design, "Journal").

A journal document's fields stand in the document as they are; a body that is none (a log takes any bytes) is kept as base64.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from store.contract import JournalDocument
from store.couchdb_client import Client, Database, Revision, Row, decode
from store.couchdb_worker import Workers
from store.errors import StoreRefused, StoreUnavailable
from store.journal_codec import Body, encode_body

DATABASE = "journal"
DIGITS = 12
HIGHEST = 10**DIGITS - 1
_decode_body = msgspec.json.Decoder(Body).decode


class _Bytes(Struct, frozen=True):
    """A body that is no journal document."""

    bytes: str


def doc_id(stream: str, n: int) -> str:
    """The id of document `n` of a stream."""
    return f"ev:{stream}:{n:0{DIGITS}}"


def stored_form(body: bytes) -> bytes:
    """The JSON object that stands for `body`."""
    try:
        if encode_body(_decode_body(body)) == body:
            return body
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    return msgspec.json.encode(_Bytes(b64encode(body).decode()))


def body_of(document: bytes | Raw) -> bytes:
    """The bytes that a stored document stands for."""
    try:
        return encode_body(msgspec.json.decode(document, type=Body))
    except msgspec.MsgspecError:
        pass
    try:
        return b64decode(msgspec.json.decode(document, type=_Bytes).bytes)
    except (msgspec.MsgspecError, ValueError):
        return bytes(document)  # somebody's edit: the journal will say which document is damaged


class CouchLog:
    """Implements DocumentLog. Appends have a thread of their own, so that no long read delays them."""

    def __init__(self, appends: Workers, rest: Workers, max_body: int) -> None:
        self._appends = appends
        self._rest = rest
        self._max_body = max_body

    async def create(self, stream: str, n: int, body: bytes) -> None:
        """See DocumentLog."""
        if len(body) > self._max_body:
            raise StoreRefused(f"{stream} document {n} has {len(body)} bytes; at most {self._max_body} are taken")
        document = stored_form(body)
        await self._appends.run(lambda client: _database(client).put(doc_id(stream, n), document))

    async def read(self, stream: str, n: int) -> bytes | None:
        """See DocumentLog."""
        found = await self._appends.run(lambda client: _database(client).get(doc_id(stream, n)))
        return None if found is None else body_of(found)

    async def last(self, stream: str) -> JournalDocument | None:
        """See DocumentLog."""
        rows = await self._rows(stream, HIGHEST, 0, descending=True, limit=1, include_docs=True)
        return _document(rows[0]) if rows else None

    async def range(self, stream: str, first: int, last: int) -> list[JournalDocument]:
        """See DocumentLog."""
        if last < first:
            return []
        return [_document(row) for row in await self._rows(stream, first, last, include_docs=True)]

    async def numbers(self, stream: str, below: int) -> list[int]:
        """See DocumentLog."""
        return [_number(row.id) for row in await self._rows(stream, 0, below - 1)] if below > 0 else []

    async def delete(self, stream: str, numbers: Sequence[int]) -> None:
        """See DocumentLog."""
        ids = [doc_id(stream, n) for n in numbers]
        if ids:
            await self._rest.run(lambda client: remove(_database(client), ids))

    async def streams(self) -> list[str]:
        """See DocumentLog."""
        return await self._rest.run(lambda client: _streams(_database(client)))

    async def _rows(self, stream: str, first: int, last: int, **more: Any) -> list[Row]:
        start, end = doc_id(stream, max(0, min(first, HIGHEST))), doc_id(stream, max(0, min(last, HIGHEST)))
        quoted = {"startkey": msgspec.json.encode(start).decode(), "endkey": msgspec.json.encode(end).decode()}
        return await self._rest.run(lambda client: _database(client).rows("_all_docs", **quoted, **more))


def remove(database: Database, ids: Sequence[str]) -> None:
    """Delete these documents; those that are gone don't matter. Raises StoreUnavailable if one may still be there."""
    rows = [row for row in database.rows_of(ids) if not row.missing]
    doomed = [{"_id": row.id, "_rev": decode(row.value, Revision).rev, "_deleted": True} for row in rows]
    for result in database.bulk(doomed) if doomed else []:
        if result.error and result.error != "conflict":
            raise StoreUnavailable(f"{database.name}: {result.id} was not deleted: {result.error} {result.reason}")


def _database(client: Client) -> Database:
    return client.database(DATABASE)


def _number(found: str) -> int:
    return int(found[-DIGITS:])


def _document(row: Row) -> JournalDocument:
    return JournalDocument(_number(row.id), body_of(row.doc))


def _streams(database: Database) -> list[str]:
    """Skips from name to name through the index of ids instead of reading all of it."""
    names: list[str] = []
    after = "ev:"
    while True:
        start = msgspec.json.encode(after).decode()
        rows = database.rows("_all_docs", startkey=start, endkey='"ev;"', limit=1)
        if not rows:
            return sorted(names)
        names.append(rows[0].id[len("ev:") : -DIGITS - 1])
        after = f"ev:{names[-1]};"
