"""What every store promises; each implementation passes the same suite in `tests/contract/`.

All methods are coroutines called on the node's loop; implementations do their blocking work in threads of their own.
Documents are raw JSON bytes: a store neither rewords nor interprets what it need not index. Entities, subjects and heartbeats
are JSON objects; their fields may come back in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from messages.wire import ActivationRecord, Identity


class StoredDoc(Struct, frozen=True):
    """A document with the revision that the next write must name."""

    id: str
    rev: str
    body: bytes


class JournalDocument(Struct, frozen=True):
    """Document `n` of a stream."""

    n: int
    body: bytes


class DocumentLog(Protocol):
    """Numbered documents per stream, created once, never changed: what the journal stands on.

    Any method may raise StoreUnavailable (no certain answer) or StoreFailed.
    """

    async def create(self, stream: str, n: int, body: bytes) -> None:
        """Durable on return. Raises Conflict if number `n` exists, StoreRefused if `body` will never be taken."""

    async def read(self, stream: str, n: int) -> bytes | None:
        """The body of document `n`, or None."""

    async def last(self, stream: str) -> JournalDocument | None:
        """The document with the highest number, or None for a new stream."""

    async def range(self, stream: str, first: int, last: int) -> list[JournalDocument]:
        """Documents `first` to `last`, both included, ascending; missing numbers are simply not there."""

    async def numbers(self, stream: str, below: int) -> list[int]:
        """All numbers below `below`, ascending: what compaction chooses from."""

    async def delete(self, stream: str, numbers: Sequence[int]) -> None:
        """Remove these documents; those that are gone already don't matter. In small batches: never blocks appends for long."""

    async def streams(self) -> list[str]:
        """Names of all streams."""


class ActivationQuery(Struct, frozen=True):
    """What to list. `since` and `upto` (epoch ms, both included) bound `start`; `name` is `action` or `package/action`.

    `full` False: of the records only what a list shows is wanted; subject, logs and result may be missing.
    """

    namespace: str
    name: str | None = None
    since: int | None = None
    upto: int | None = None
    limit: int = 30
    skip: int = 0
    full: bool = True


class ActivationStore(Protocol):
    """Activation records, written once."""

    async def write(self, records: Sequence[ActivationRecord]) -> list[bool]:
        """Durable on return. For each record: True if written now, False if one with its id was already there.

        Raises StoreRefused if one of them will never be taken; of the others none or some are written: a batch of more than
        one is then written again one by one.
        """

    async def get(self, namespace: str, activation_id: str) -> ActivationRecord | None:
        """The record, or None."""

    async def exist(self, ids: Sequence[tuple[str, str]]) -> set[str]:
        """Which of these (namespace, activation id) have a record: the activation ids. One request."""

    async def list(self, query: ActivationQuery) -> list[ActivationRecord]:
        """Newest `start` first. Limit 0 means no limit."""

    async def count(self, query: ActivationQuery) -> int:
        """How many match, `limit` and `skip` left aside."""

    async def delete_older(self, before: int, batch: int = 500) -> int:
        """Delete at most `batch` records that ended before `before` (epoch ms); how many were deleted.

        A record without an end (a trigger's: 0) is as old as its start; a store may go by the start always.
        """


class EntityRow(Struct, frozen=True):
    """What the store indexes of an entity. `collection`: actions, packages, triggers, rules."""

    collection: str
    path: str
    name: str
    updated: int

    @property
    def doc_id(self) -> str:
        """`namespace[/package]/name`: all collections of a namespace share one id space."""
        return f"{self.path}/{self.name}"


class EntityStore(Protocol):
    """Actions, packages, triggers and rules: documents with revisions (optimistic concurrency)."""

    async def get(self, doc_id: str) -> StoredDoc | None:
        """The newest revision, or None."""

    async def revision(self, doc_id: str) -> str | None:
        """What `get` would tell as its revision, without the document."""

    async def put(self, row: EntityRow, body: bytes, rev: str | None) -> str:
        """Write and return the new revision. `rev` None creates. Raises Conflict. Durable on return."""

    async def delete(self, doc_id: str, rev: str) -> None:
        """Raises Conflict or NotFound. Durable on return."""

    async def list(self, collection: str, path: str, *, limit: int = 0, skip: int = 0, exact: bool = False) -> list[StoredDoc]:
        """Newest `updated` first. `path` is a namespace (with its packages' actions unless `exact`) or `namespace/package`.

        Actions may come without their `exec.code`, where leaving it out is cheaper.
        """

    async def count(self, collection: str, path: str, *, exact: bool = False) -> int:
        """How many `list` would give without limit and skip."""


class SubjectStore(Protocol):
    """Who may do what: subjects with their namespaces and keys, and limits per namespace (upstream's documents)."""

    async def by_key(self, uuid: str, key: str) -> Identity | None:
        """The identity that these credentials select; None if unknown or blocked."""

    async def by_namespace(self, namespace: str) -> Identity | None:
        """The identity that owns a namespace, key included; None if unknown or blocked."""

    async def get(self, doc_id: str) -> StoredDoc | None:
        """A subject (`_id` = subject) or limits (`<namespace>/limits`) document."""

    async def put(self, doc_id: str, body: bytes, rev: str | None) -> str:
        """Write and return the new revision. Raises Conflict."""

    async def delete(self, doc_id: str, rev: str) -> None:
        """Raises Conflict or NotFound."""

    async def list(self) -> list[StoredDoc]:
        """All subject and limits documents, by id."""


class HeartbeatStore(Protocol):
    """Who lives: a document `node:<stream>` of each node and `controller:<id>` of each controller, replaced every few seconds.

    They tell liveness and addresses, and fence nothing.
    """

    async def get(self, doc_id: str) -> StoredDoc | None:
        """The newest revision, or None."""

    async def put(self, doc_id: str, body: bytes, rev: str | None) -> str:
        """Write and return the new revision. `rev` None creates. Raises Conflict."""

    async def list(self, kind: str) -> list[StoredDoc]:
        """All documents whose id begins with `<kind>:`, by id."""


class Store(Protocol):
    """One store with all its parts, opened by `store.open.open_store`."""

    @property
    def journal(self) -> DocumentLog:
        """The journals' documents."""

    @property
    def activations(self) -> ActivationStore:
        """Activation records."""

    @property
    def entities(self) -> EntityStore:
        """Actions, packages, triggers, rules."""

    @property
    def subjects(self) -> SubjectStore:
        """Subjects and limits."""

    @property
    def heartbeats(self) -> HeartbeatStore:
        """Who lives."""

    async def installation_id(self) -> str:
        """Random, made on first start, kept in the store: the label of this installation's containers."""

    def outage(self) -> float:
        """Seconds for which the store has given no certain answer; 0 while it answers, and where it is no other process."""

    def cost(self) -> dict[str, int]:
        """`requests` sent to a database server and `documents` written by them so far; empty where there is no server."""

    async def vacuum(self, pages: int) -> int:
        """Give at most `pages` pages of deleted data back to the disk; how many were. 0 where the store does so itself."""

    async def close(self) -> None:
        """Finish what waits, then close."""
