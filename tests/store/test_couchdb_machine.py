"""CouchDB and the memory store answer alike, whatever is asked of them in whatever order, with answers lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from store.contract import ActivationQuery, EntityRow, Store, StoredDoc
from store.couchdb import CouchStore
from store.couchdb_client import parse_url
from store.errors import StoreError, StoreUnavailable
from store.memory import MemoryStore
from tests.contract.store_suite import entity, record, row, subject
from tests.support.couchdb import faults
from tests.support.couchdb.server import CouchServer

names = st.sampled_from("abc")
paths = st.sampled_from(["guest", "guest/pkg", "guest/p", "other"])
collections = st.sampled_from(["actions", "packages", "triggers", "rules"])
which = st.sampled_from(["newest", "newest", "newest", "stale", "none", "nonsense"])
small = st.integers(0, 6)
bounds = st.none() | small
Ask = Callable[[Store, "Revisions"], Awaitable[object]]


class Revisions:
    """What one store answered for each document: revisions are named by their place, as stores make them differently."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}

    def chosen(self, doc_id: str, wanted: str) -> str | None:
        known = self.known.get(doc_id, [])
        if wanted == "newest" and known:
            return known[-1]
        if wanted == "stale" and len(known) > 1:
            return known[-2]
        return "1-nonsense" if wanted == "nonsense" else None

    async def put(self, doc_id: str, written: Awaitable[str]) -> str:
        self.known.setdefault(doc_id, []).append(await written)
        return self.known[doc_id][-1].partition("-")[0]

    async def delete(self, doc_id: str, deleted: Awaitable[None]) -> None:
        await deleted
        self.known.pop(doc_id, None)


class Alike(RuleBasedStateMachine):
    """Each rule does the same to both and compares the answers; an error must be of the same class."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.server = CouchServer().start()
        self.couch = self.loop.run_until_complete(self.open())
        self.stores: list[tuple[Store, Revisions]] = [(self.couch, Revisions()), (MemoryStore(max_body=2000), Revisions())]

    async def open(self) -> CouchStore:
        return await CouchStore.open(parse_url(self.server.url), max_body=2000)

    def both(self, ask: Ask) -> None:
        answers = [self.loop.run_until_complete(self.answer(ask, *each)) for each in self.stores]
        assert answers[0] == answers[1]

    async def answer(self, ask: Ask, store: Store, revisions: Revisions) -> object:
        while True:
            try:
                return _comparable(await ask(store, revisions))
            except StoreUnavailable:
                continue  # as every caller may
            except StoreError as error:
                return type(error)

    @rule(method=st.sampled_from(["POST", "GET"]), fault=st.sampled_from([faults.lost_answer, faults.reset, faults.status(503)]))
    def trouble(self, method: str, fault: faults.Fault) -> None:
        self.server.faults.plan(fault, 1, method)

    @rule(method=st.sampled_from(["PUT", "DELETE"]))
    def trouble_with_a_document(self, method: str) -> None:
        self.server.faults.plan(faults.lost_answer, 1, method, "whisks/")

    @rule(stream=names, n=small, size=st.sampled_from([0, 10, 2000, 2001]))
    def create(self, stream: str, n: int, size: int) -> None:
        self.both(lambda store, _: store.journal.create(stream, n, b"x" * size))

    @rule(stream=names, numbers=st.lists(small, max_size=3))
    def delete_documents(self, stream: str, numbers: list[int]) -> None:
        self.both(lambda store, _: store.journal.delete(stream, numbers))

    @rule(stream=names, first=small, last=small)
    def read_documents(self, stream: str, first: int, last: int) -> None:
        self.both(lambda store, _: store.journal.range(stream, first, last))
        self.both(lambda store, _: store.journal.numbers(stream, last))
        self.both(lambda store, _: store.journal.last(stream))
        self.both(lambda store, _: store.journal.read(stream, first))
        self.both(lambda store, _: store.journal.streams())

    @rule(ids=st.lists(st.tuples(small, small, paths), max_size=4), size=st.sampled_from([1, 1, 1, 3000]))
    def write_records(self, ids: list[tuple[int, int, str]], size: int) -> None:
        records = [record(i, "guest", "hello", start, path=f"{path}/hello", logs=["x" * size]) for i, start, path in ids]

        async def write(store: Store, _: Revisions) -> None:
            await store.activations.write(records)

        self.both(write)

    @rule(name=st.none() | st.sampled_from(["hello", "pkg/hello"]), since=bounds, upto=bounds, limit=small, skip=small)
    def list_records(self, name: str | None, since: int | None, upto: int | None, limit: int, skip: int) -> None:
        query = ActivationQuery("guest", name, since, upto, limit, skip)
        self.both(lambda store, _: store.activations.list(query))
        self.both(lambda store, _: store.activations.count(query))
        self.both(lambda store, _: store.activations.exist([("guest", f"{i:032x}") for i in range(7)]))

    @rule(collection=collections, path=paths, name=names, updated=small, wanted=which)
    def put_entity(self, collection: str, path: str, name: str, updated: int, wanted: str) -> None:
        at = row(name, path, collection, updated)
        self.both(lambda store, revs: revs.put(at.doc_id, _put(store, at, revs.chosen(at.doc_id, wanted))))

    @rule(path=paths, name=names, wanted=which)
    def delete_entity(self, path: str, name: str, wanted: str) -> None:
        doc_id = f"{path}/{name}"
        self.both(lambda store, revs: revs.delete(doc_id, store.entities.delete(doc_id, revs.chosen(doc_id, wanted) or "1-none")))

    @rule(collection=collections, path=paths, limit=small, skip=small, exact=st.booleans())
    def list_entities(self, collection: str, path: str, limit: int, skip: int, exact: bool) -> None:
        self.both(lambda store, _: store.entities.list(collection, path, limit=limit, skip=skip, exact=exact))
        self.both(lambda store, _: store.entities.count(collection, path, exact=exact))
        self.both(lambda store, _: store.entities.get(f"{path}/a"))

    @rule(name=names, key=names, blocked=st.booleans(), limits=st.booleans(), wanted=which)
    def put_subject(self, name: str, key: str, blocked: bool, limits: bool, wanted: str) -> None:
        doc_id = f"{name}/limits" if limits else name
        body = b'{"firesPerMinute":3}' if limits else subject(name, (name, "u", key), blocked=blocked)
        self.both(lambda store, revs: revs.put(doc_id, store.subjects.put(doc_id, body, revs.chosen(doc_id, wanted))))

    @rule(name=names, wanted=which)
    def delete_subject(self, name: str, wanted: str) -> None:
        self.both(lambda store, revs: revs.delete(name, store.subjects.delete(name, revs.chosen(name, wanted) or "1-none")))

    @rule(name=names)
    def who(self, name: str) -> None:
        self.both(lambda store, _: store.subjects.by_key("u", name))
        self.both(lambda store, _: store.subjects.by_namespace(name))
        self.both(lambda store, _: store.subjects.list())

    def teardown(self) -> None:
        self.server.faults.clear()
        self.loop.run_until_complete(self.couch.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.server.close()


async def _put(store: Store, at: EntityRow, rev: str | None) -> str:
    return await store.entities.put(at, entity(at, version=str(at.updated)), rev)


def _comparable(answer: object) -> object:
    """Documents without what stores make differently: the revision but for its generation, and the order of fields."""
    if isinstance(answer, list):
        return [_comparable(each) for each in answer]
    if isinstance(answer, StoredDoc):
        content: Any = msgspec.json.decode(answer.body)
        return answer.id, answer.rev.partition("-")[0], content
    return answer


Alike.TestCase.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)
TestAlike = pytest.mark.nodejs(Alike.TestCase)
