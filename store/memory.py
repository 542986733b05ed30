"""The whole store in memory, for tests and the simulation: answers at once, and fails on demand.

It outlives the node that uses it, so a node's crash and restart is a new Journal on the same MemoryStore.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from messages.wire import ActivationRecord, Identity
from store.contract import ActivationQuery, EntityRow, JournalDocument, StoredDoc
from store.errors import Conflict, NotFound, StoreError, StoreRefused
from store.identities import credentials, identity, limits_id
from store.records import ENTITY_FACTOR, MAX_BODY, decode_record, encode_record, path_filter
from store.revisions import next_revision

Hook = Callable[[str, str], Awaitable[None]]
EntityRows = list[EntityRow]
Identities = list[Identity]
Matches = list[tuple[int, str, bytes]]


class Faults:
    """What goes wrong next. Operations are `<part>.<method>`, for instance `journal.create`.

    `hook(operation, "before" | "after")`, if set, is awaited around each operation and may wait or raise: after "before"
    nothing is applied, after "after" it is.
    """

    def __init__(self) -> None:
        self.hook: Hook | None = None
        self._planned: dict[tuple[str, str], list[StoreError]] = {}

    def fail_next(self, operation: str, when: str, error: StoreError, times: int = 1) -> None:
        """Raise `error` at the next `times` calls, `when` "before" it is applied or "after" (the answer is lost)."""
        self._planned.setdefault((operation, when), []).extend([error] * times)

    async def at(self, operation: str, when: str) -> None:
        """The store's own call at both points of an operation."""
        if self.hook is not None:
            await self.hook(operation, when)
        if self._planned and (errors := self._planned.get((operation, when))):
            raise errors.pop(0)


class MemoryLog:
    """Implements DocumentLog. `documents` is there for tests to look at and to damage."""

    def __init__(self, faults: Faults | None = None, max_body: int = MAX_BODY) -> None:
        self.documents: dict[str, dict[int, bytes]] = {}
        self.faults = faults or Faults()
        self.max_body = max_body

    async def create(self, stream: str, n: int, body: bytes) -> None:
        """See DocumentLog."""
        await self.faults.at("journal.create", "before")
        if len(body) > self.max_body:
            raise StoreRefused(f"{stream} document {n} has {len(body)} bytes; at most {self.max_body} are taken")
        documents = self.documents.setdefault(stream, {})
        if n in documents:
            raise Conflict(f"{stream} has a document {n} already")
        documents[n] = body
        await self.faults.at("journal.create", "after")

    async def read(self, stream: str, n: int) -> bytes | None:
        """See DocumentLog."""
        await self.faults.at("journal.read", "before")
        return self.documents.get(stream, {}).get(n)

    async def last(self, stream: str) -> JournalDocument | None:
        """See DocumentLog."""
        await self.faults.at("journal.last", "before")
        documents = self.documents.get(stream)
        if not documents:
            return None
        n = max(documents)
        return JournalDocument(n, documents[n])

    async def range(self, stream: str, first: int, last: int) -> list[JournalDocument]:
        """See DocumentLog."""
        await self.faults.at("journal.range", "before")
        documents = self.documents.get(stream, {})
        inside = range(first, last + 1) if last - first < len(documents) else sorted(documents)
        return [JournalDocument(n, documents[n]) for n in inside if n in documents and first <= n <= last]

    async def numbers(self, stream: str, below: int) -> list[int]:
        """See DocumentLog."""
        await self.faults.at("journal.numbers", "before")
        return sorted(n for n in self.documents.get(stream, {}) if n < below)

    async def delete(self, stream: str, numbers: Sequence[int]) -> None:
        """See DocumentLog."""
        await self.faults.at("journal.delete", "before")
        for n in numbers:
            self.documents.get(stream, {}).pop(n, None)
        await self.faults.at("journal.delete", "after")

    async def streams(self) -> list[str]:
        """See DocumentLog."""
        await self.faults.at("journal.streams", "before")
        return sorted(stream for stream, documents in self.documents.items() if documents)


class MemoryActivations:
    """Implements ActivationStore. Keeps the records as bytes, as a real store does."""

    def __init__(self, faults: Faults | None = None, max_body: int = MAX_BODY) -> None:
        self.records: dict[tuple[str, str], tuple[str, int, int, bytes]] = {}
        self.faults = faults or Faults()
        self.max_body = max_body

    async def write(self, records: Sequence[ActivationRecord]) -> list[bool]:
        """See ActivationStore."""
        await self.faults.at("activations.write", "before")
        rows = [
            (
                (r.namespace, r.activation_id),
                (path_filter(r), r.start, max(r.start, r.end), encode_record(r, self.max_body)),
            )
            for r in records
        ]
        written = []
        for key, row in rows:
            written.append(key not in self.records)
            self.records.setdefault(key, row)
        await self.faults.at("activations.write", "after")
        return written

    async def get(self, namespace: str, activation_id: str) -> ActivationRecord | None:
        """See ActivationStore."""
        await self.faults.at("activations.get", "before")
        row = self.records.get((namespace, activation_id))
        return decode_record(row[3]) if row else None

    async def exist(self, ids: Sequence[tuple[str, str]]) -> set[str]:
        """See ActivationStore."""
        await self.faults.at("activations.exist", "before")
        return {pair[1] for pair in ids if pair in self.records}

    async def list(self, query: ActivationQuery) -> list[ActivationRecord]:
        """See ActivationStore."""
        await self.faults.at("activations.list", "before")
        found = self._matching(query)[query.skip :]
        return [decode_record(body) for _, _, body in (found[: query.limit] if query.limit else found)]

    async def count(self, query: ActivationQuery) -> int:
        """See ActivationStore."""
        await self.faults.at("activations.count", "before")
        return len(self._matching(query))

    async def delete_older(self, before: int, batch: int = 500) -> int:
        """See ActivationStore."""
        await self.faults.at("activations.delete_older", "before")
        old = sorted((end, key) for key, (_, _, end, _) in self.records.items() if end < before)[:batch]
        for _, key in old:
            del self.records[key]
        return len(old)

    def _matching(self, query: ActivationQuery) -> Matches:
        since = query.since if query.since is not None else float("-inf")
        upto = query.upto if query.upto is not None else float("inf")
        found = [
            (start, activation_id, body)
            for (namespace, activation_id), (name, start, _, body) in self.records.items()
            if namespace == query.namespace and query.name in {None, name} and since <= start <= upto
        ]
        return sorted(found, key=lambda row: row[:2], reverse=True)


class _Documents:
    """Documents with revisions; deleted ones keep their generation."""

    def __init__(self, max_body: int) -> None:
        self._docs: dict[str, StoredDoc] = {}
        self._generations: dict[str, int] = {}
        self._max_body = max_body

    def get(self, doc_id: str) -> StoredDoc | None:
        return self._docs.get(doc_id)

    def all(self) -> list[StoredDoc]:
        return [self._docs[doc_id] for doc_id in sorted(self._docs)]

    def put(self, doc_id: str, body: bytes, rev: str | None) -> str:
        if len(body) > self._max_body:
            raise StoreRefused(f"{doc_id} has {len(body)} bytes; at most {self._max_body} are taken")
        found = self._docs.get(doc_id)
        if rev != (found.rev if found else None):
            raise Conflict(f"{doc_id} is at revision {found.rev if found else None}, not {rev}")
        generation = self._generations.get(doc_id, 0)
        written = StoredDoc(doc_id, next_revision(generation, body), body)
        self._docs[doc_id], self._generations[doc_id] = written, generation + 1
        return written.rev

    def delete(self, doc_id: str, rev: str) -> None:
        found = self._docs.get(doc_id)
        if found is None:
            raise NotFound(f"there is no {doc_id}")
        if found.rev != rev:
            raise Conflict(f"{doc_id} is at revision {found.rev}, not {rev}")
        del self._docs[doc_id]
        self._generations[doc_id] += 1


class MemoryEntities:
    """Implements EntityStore."""

    def __init__(self, faults: Faults | None = None, max_body: int = MAX_BODY) -> None:
        self.faults = faults or Faults()
        self._documents = _Documents(max_body * ENTITY_FACTOR)
        self._rows: dict[str, EntityRow] = {}

    async def get(self, doc_id: str) -> StoredDoc | None:
        """See EntityStore."""
        await self.faults.at("entities.get", "before")
        return self._documents.get(doc_id)

    async def revision(self, doc_id: str) -> str | None:
        """See EntityStore."""
        await self.faults.at("entities.revision", "before")
        found = self._documents.get(doc_id)
        return found.rev if found else None

    async def put(self, row: EntityRow, body: bytes, rev: str | None) -> str:
        """See EntityStore."""
        await self.faults.at("entities.put", "before")
        written = self._documents.put(row.doc_id, body, rev)
        self._rows[row.doc_id] = row
        await self.faults.at("entities.put", "after")
        return written

    async def delete(self, doc_id: str, rev: str) -> None:
        """See EntityStore."""
        await self.faults.at("entities.delete", "before")
        self._documents.delete(doc_id, rev)
        del self._rows[doc_id]
        await self.faults.at("entities.delete", "after")

    async def list(self, collection: str, path: str, *, limit: int = 0, skip: int = 0, exact: bool = False) -> list[StoredDoc]:
        """See EntityStore."""
        await self.faults.at("entities.list", "before")
        found = self._matching(collection, path, exact)[skip:]
        docs = (self._documents.get(row.doc_id) for row in (found[:limit] if limit else found))
        return [doc for doc in docs if doc is not None]

    async def count(self, collection: str, path: str, *, exact: bool = False) -> int:
        """See EntityStore."""
        await self.faults.at("entities.count", "before")
        return len(self._matching(collection, path, exact))

    def _matching(self, collection: str, path: str, exact: bool) -> EntityRows:
        inside = "" if exact else f"{path}/"
        rows = [
            row
            for row in self._rows.values()
            if row.collection == collection and (row.path == path or (inside and row.path.startswith(inside)))
        ]
        return sorted(rows, key=lambda row: (row.updated, row.doc_id), reverse=True)


class MemorySubjects:
    """Implements SubjectStore."""

    def __init__(self, faults: Faults | None = None, max_body: int = MAX_BODY) -> None:
        self.faults = faults or Faults()
        self._documents = _Documents(max_body)

    async def by_key(self, uuid: str, key: str) -> Identity | None:
        """See SubjectStore."""
        await self.faults.at("subjects.by_key", "before")
        found = [each for each in self._identities() if each.authkey["api_key"] == f"{uuid}:{key}"]
        if len(found) > 1:
            raise StoreRefused("these credentials select more than one namespace")
        return found[0] if found else None

    async def by_namespace(self, namespace: str) -> Identity | None:
        """See SubjectStore."""
        await self.faults.at("subjects.by_namespace", "before")
        return next((each for each in reversed(self._identities()) if each.namespace.name == namespace), None)

    async def get(self, doc_id: str) -> StoredDoc | None:
        """See SubjectStore."""
        await self.faults.at("subjects.get", "before")
        return self._documents.get(doc_id)

    async def put(self, doc_id: str, body: bytes, rev: str | None) -> str:
        """See SubjectStore."""
        await self.faults.at("subjects.put", "before")
        written = self._documents.put(doc_id, body, rev)
        await self.faults.at("subjects.put", "after")
        return written

    async def delete(self, doc_id: str, rev: str) -> None:
        """See SubjectStore."""
        await self.faults.at("subjects.delete", "before")
        self._documents.delete(doc_id, rev)
        await self.faults.at("subjects.delete", "after")

    async def list(self) -> list[StoredDoc]:
        """See SubjectStore."""
        await self.faults.at("subjects.list", "before")
        return self._documents.all()

    def _identities(self) -> Identities:
        found: Identities = []
        for doc in self._documents.all():
            for each in credentials(doc.body):
                limits = self._documents.get(limits_id(each.name))
                found.append(identity(doc.id, each, limits.body if limits else None))
        return found


class MemoryHeartbeats:
    """Implements HeartbeatStore."""

    def __init__(self, faults: Faults | None = None, max_body: int = MAX_BODY) -> None:
        self.faults = faults or Faults()
        self._documents = _Documents(max_body)

    async def get(self, doc_id: str) -> StoredDoc | None:
        """See HeartbeatStore."""
        await self.faults.at("heartbeats.get", "before")
        return self._documents.get(doc_id)

    async def put(self, doc_id: str, body: bytes, rev: str | None) -> str:
        """See HeartbeatStore."""
        await self.faults.at("heartbeats.put", "before")
        written = self._documents.put(doc_id, body, rev)
        await self.faults.at("heartbeats.put", "after")
        return written

    async def list(self, kind: str) -> list[StoredDoc]:
        """See HeartbeatStore."""
        await self.faults.at("heartbeats.list", "before")
        return [doc for doc in self._documents.all() if doc.id.startswith(f"{kind}:")]


class MemoryStore:
    """Implements Store."""

    def __init__(self, installation: str = "memory", max_body: int = MAX_BODY) -> None:
        self.faults = Faults()
        self.journal = MemoryLog(self.faults, max_body)
        self.activations = MemoryActivations(self.faults, max_body)
        self.entities = MemoryEntities(self.faults, max_body)
        self.subjects = MemorySubjects(self.faults, max_body)
        self.heartbeats = MemoryHeartbeats(self.faults, max_body)
        self._installation = installation

    async def installation_id(self) -> str:
        """See Store."""
        return self._installation

    def outage(self) -> float:
        """See Store."""
        return 0.0

    def cost(self) -> dict[str, int]:
        """See Store."""
        return {}

    async def vacuum(self, pages: int) -> int:
        """See Store."""
        return 0

    async def close(self) -> None:
        """See Store. What is stored stays: another node may open it."""
