"""Documents with revisions on CouchDB: written so that an answer that got lost is settled by reading back."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from msgspec import Raw

from store.contract import StoredDoc
from store.couchdb_client import Database, Written
from store.couchdb_exact import Fields, join, loose, split
from store.errors import Conflict, NotFound, StoreRefused, StoreUnavailable

PAUSES = (0.05, 0.2, 0.5)
"""Seconds before each further try of a write without an answer; then the caller is told that it is uncertain."""

_decode_fields = msgspec.json.Decoder(Fields).decode


def fields_of(doc_id: str, body: bytes) -> Fields:
    """The fields of a document to be written. Raises StoreRefused for anything but a JSON object of UTF-8."""
    try:
        fields = _decode_fields(body)
        body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise StoreRefused(f"{doc_id} is not a JSON object") from None
    return {name: value for name, value in fields.items() if name not in {"_id", "_rev", "_attachments"}}


def read_fields(document: bytes | Raw) -> tuple[Written, Fields]:
    """Id with revision, and the fields, of a document that was read. Raises StoreUnavailable if it is no document."""
    try:
        fields = _decode_fields(document)
        written = Written(msgspec.json.decode(fields.pop("_id")), msgspec.json.decode(fields.pop("_rev")))
    except (msgspec.MsgspecError, KeyError) as error:
        raise StoreUnavailable(f"an answer that is no document: {error}") from None
    return written, join(fields)


def stored_doc(document: bytes | Raw) -> StoredDoc:
    """A document as the contract has it."""
    written, fields = read_fields(document)
    fields.pop("_attachments", None)
    return StoredDoc(written.id, written.rev, msgspec.json.encode(fields))


def get(database: Database, doc_id: str) -> StoredDoc | None:
    """The newest revision of a document, or None."""
    found = database.get(doc_id)
    return None if found is None else stored_doc(found)


def put(database: Database, doc_id: str, fields: Fields, rev: str | None, attachments: Any = None) -> str:
    """Write the revision after `rev` and return it. Raises Conflict, StoreRefused; StoreUnavailable if it stays uncertain.

    The revision is compared before: of a document that never was CouchDB may take any.
    """
    if rev is not None and database.revision(doc_id) != rev:
        raise Conflict(f"{doc_id} is not at revision {rev}")
    stored: dict[str, Any] = {"_id": doc_id, **split(fields)}
    if rev is not None:
        stored["_rev"] = rev
    if attachments:
        stored["_attachments"] = attachments
    body = msgspec.json.encode(stored)
    uncertain = False
    for pause in (*PAUSES, None):
        try:
            if uncertain and (written := _settled(database, doc_id, fields, rev)):
                return written
            return database.put(doc_id, body)
        except StoreUnavailable:
            if pause is None:
                raise
            uncertain = True
            time.sleep(pause)
        except Conflict:
            if uncertain and (written := _settled(database, doc_id, fields, rev)):
                return written
            raise
    raise AssertionError("the last try returns or raises")


def _settled(database: Database, doc_id: str, fields: Fields, rev: str | None) -> str | None:
    """The revision that an earlier try made, None if it made none. Raises Conflict if another's stands there."""
    found = database.get(doc_id)
    if found is None:
        return None
    written, there = read_fields(found)
    there.pop("_attachments", None)
    if written.rev == rev:
        return None
    if _loose(there) != _loose(fields):
        raise Conflict(f"{doc_id} is at revision {written.rev}, not {rev}")
    return written.rev


def _loose(fields: Fields) -> Any:
    return {name: loose(bytes(value)) for name, value in fields.items()}


def delete(database: Database, doc_id: str, rev: str) -> None:
    """Raises Conflict, NotFound; StoreUnavailable if it stays uncertain."""
    sent = False
    for pause in (*PAUSES, None):
        try:
            current = database.revision(doc_id)
            if current is None:
                if sent:
                    return
                raise NotFound(f"there is no {doc_id}")
            if current != rev:
                raise Conflict(f"{doc_id} is at revision {current}, not {rev}")
            sent = True
            database.delete(doc_id, rev)
            return
        except StoreUnavailable:
            if pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")
