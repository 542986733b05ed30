"""Databases of documents with revisions, and the file that keeps them over a restart."""

from __future__ import annotations

import json
import re
import uuid
from base64 import b64decode, b64encode
from binascii import Error
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path
from typing import Any

from tests.support.couchdb.values import CONFLICT, Refusal, bad, write

MAX_DOCUMENT = 8_000_000
REV = re.compile(r"\d+-\S+")
_DROPPED = {"_revs_info", "_conflicts", "_local_seq", "_deleted_conflicts", "_revisions"}
_KNOWN = {"_id", "_rev", "_deleted", "_attachments"}
UNKNOWN_REV = (409, "not_found", "missing_rev")


@dataclass
class Attachment:
    content_type: str
    data: bytes
    revpos: int

    def stub(self) -> dict[str, Any]:
        digest = b64encode(md5(self.data).digest()).decode()
        return {
            "content_type": self.content_type, "revpos": self.revpos, "digest": f"md5-{digest}",
            "length": len(self.data), "stub": True,
        }  # fmt: skip


@dataclass
class Revision:
    rev: str
    deleted: bool
    fields: dict[str, Any]
    attachments: dict[str, Attachment]

    def shown(self, doc_id: str) -> dict[str, Any]:
        found = {"_id": doc_id, "_rev": self.rev, **self.fields}
        if self.deleted:
            found["_deleted"] = True
        if self.attachments:
            found["_attachments"] = {name: each.stub() for name, each in sorted(self.attachments.items())}
        return found


@dataclass
class Database:
    """`shards`: how many copies of the index; only shown. `warm`: something was written since it was opened."""

    name: str
    shards: int = 2
    documents: dict[str, list[Revision]] = field(default_factory=dict)
    security: dict[str, Any] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    warm: bool = False

    def leaf(self, doc_id: str) -> Revision | None:
        found = self.documents.get(doc_id)
        return found[-1] if found else None

    def current(self, doc_id: str) -> Revision | None:
        """The newest revision unless it is a deletion."""
        found = self.leaf(doc_id)
        return None if found is None or found.deleted else found

    def find(self, doc_id: str, rev: str | None) -> Revision:
        """Raises Refusal 404 as CouchDB words it."""
        if rev is not None:
            check_rev(rev)
            for each in self.documents.get(doc_id, []):
                if each.rev == rev:
                    return each
            raise Refusal(404, "not_found", "missing")
        found = self.leaf(doc_id)
        if found is None or found.deleted:
            raise Refusal(404, "not_found", "missing" if found is None else "deleted")
        return found

    def ids(self) -> list[str]:
        """Ids of all documents, in the order of their bytes."""
        return sorted((doc_id for doc_id, revs in self.documents.items() if not revs[-1].deleted), key=str.encode)

    def write(self, doc_id: str, fields: dict[str, Any], rev: str | None, *, deleted: bool, parts: Any = None) -> Revision:
        """A new revision. Raises Refusal on a conflict."""
        leaf = self.leaf(doc_id)
        if leaf is None:
            generation = 0
            if rev is not None:
                if not self.warm:
                    raise Refusal(*CONFLICT)
                generation = int(rev.partition("-")[0])  # a parent that never was: CouchDB may take it
        elif leaf.deleted:
            if rev is not None or deleted:
                raise Refusal(*CONFLICT)
            generation = int(leaf.rev.partition("-")[0])
        else:
            if rev != leaf.rev:
                raise Refusal(*CONFLICT)
            generation = int(leaf.rev.partition("-")[0])
        before = leaf.attachments if leaf is not None and not leaf.deleted else {}
        attachments = _attachments(doc_id, parts or {}, before, generation + 1)
        made = Revision(_revision(generation, leaf, fields, attachments, deleted), deleted, fields, attachments)
        self.add(doc_id, made)
        return made

    def add(self, doc_id: str, made: Revision) -> None:
        self.documents.setdefault(doc_id, []).append(made)
        self.changes.append(doc_id)
        self.warm = True


def check_rev(rev: Any) -> str:
    if not isinstance(rev, str) or not REV.fullmatch(rev):
        raise bad("Invalid rev format")
    return rev


def check_id(doc_id: Any) -> str:
    if not isinstance(doc_id, str):
        raise bad("Document id must be a string", "illegal_docid")
    if not doc_id:
        raise bad("Document id must not be empty", "illegal_docid")
    if doc_id.startswith("_") and not doc_id.startswith(("_design/", "_local/")):
        raise bad("Only reserved document ids may start with underscore.", "illegal_docid")
    return doc_id


@dataclass
class Parsed:
    """A document as it was sent."""

    doc_id: str | None
    rev: str | None
    fields: dict[str, Any]
    deleted: bool
    attachments: Any


def parse(document: Any) -> Parsed:
    """Raises Refusal for what no document may be."""
    if not isinstance(document, dict):
        raise bad("Document must be a JSON object")
    doc_id = check_id(document["_id"]) if "_id" in document else None
    rev = check_rev(document["_rev"]) if "_rev" in document else None
    deleted = document.get("_deleted", False)
    if not isinstance(deleted, bool):
        raise bad("Bad special document member: _deleted", "doc_validation")
    for name in document:
        if name.startswith("_") and name not in _DROPPED | _KNOWN:
            raise bad(f"Bad special document member: {name}", "doc_validation")
    fields = {name: value for name, value in document.items() if not name.startswith("_")}
    return Parsed(doc_id, rev, fields, deleted, document.get("_attachments"))


def check_size(doc_id: str, fields: dict[str, Any]) -> None:
    if len(write(fields)) > MAX_DOCUMENT:
        raise Refusal(413, "document_too_large", doc_id)


def _revision(
    generation: int, parent: Revision | None, fields: dict[str, Any], attachments: dict[str, Attachment], deleted: bool
) -> str:  # fmt: skip
    """A hash of content and parent, not of the id."""
    stubs = {name: each.stub() for name, each in attachments.items()}
    text = write([parent.rev if parent else None, fields, stubs, deleted])
    return f"{generation + 1}-{md5(text).hexdigest()}"


def _attachments(doc_id: str, parts: Any, before: dict[str, Attachment], generation: int) -> dict[str, Attachment]:
    """What is not named is dropped."""
    found = {}
    for name, part in parts.items():
        if isinstance(part, Attachment):
            found[name] = part
        elif part.get("stub"):
            if name not in before:
                raise Refusal(412, "missing_stub", f"Invalid attachment stub in {doc_id} for {name}")
            found[name] = before[name]
        else:
            try:
                data = b64decode(part.get("data", ""), validate=True)
            except (Error, ValueError):
                raise bad(f"Invalid attachment data for {name}") from None
            found[name] = Attachment(part.get("content_type", "application/octet-stream"), data, generation)
    return found


class Disk:
    """Writes as lines of a file: what a restarted server reads. Without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def load(self) -> dict[str, Database]:
        databases: dict[str, Database] = {}
        if self._path is None or not self._path.exists():
            return databases
        for line in self._path.read_text().split("\n")[:-1]:
            try:
                entry = json.loads(line)
            except ValueError:
                break  # the write that a kill cut off
            _apply(databases, entry)
        for database in databases.values():
            database.warm = False
        return databases

    def keep(self, entry: dict[str, Any]) -> None:
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(entry) + "\n")

    def forget_last(self) -> None:
        """The last write is gone, as after a power cut on a disk that lies."""
        assert self._path is not None
        lines = self._path.read_text().splitlines(keepends=True)
        self._path.write_text("".join(lines[:-1]))


def entry_of(database: str, doc_id: str, made: Revision) -> dict[str, Any]:
    parts = {name: [each.content_type, b64encode(each.data).decode(), each.revpos] for name, each in made.attachments.items()}
    return {"db": database, "id": doc_id, "rev": made.rev, "deleted": made.deleted, "fields": made.fields, "parts": parts}


def _apply(databases: dict[str, Database], entry: dict[str, Any]) -> None:
    name = entry["db"]
    if "id" in entry:
        parts = {part: Attachment(kind, b64decode(data), at) for part, (kind, data, at) in entry["parts"].items()}
        databases[name].add(entry["id"], Revision(entry["rev"], entry["deleted"], entry["fields"], parts))
    elif "shards" in entry:
        databases[name] = Database(name, entry["shards"])
    elif "security" in entry:
        databases[name].security = entry["security"]
    else:
        del databases[name]


def new_id() -> str:
    return uuid.uuid4().hex
