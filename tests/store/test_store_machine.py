"""SQLite and the memory store answer alike, whatever is asked of them in whatever order, over restarts."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from store.contract import ActivationQuery, Store
from store.errors import StoreError
from store.memory import MemoryStore
from store.sqlite import SqliteStore
from tests.contract.store_suite import record, row, subject

MEMORY = "/dev/shm"
"""A file system without fsync, where there is one: what is compared does not depend on it, and a busy disk takes long."""

names = st.sampled_from("abc")
paths = st.sampled_from(["guest", "guest/pkg", "guest/p", "other"])
collections = st.sampled_from(["actions", "rules"])
small = st.integers(0, 6)
bounds = st.none() | small


class BothStores(RuleBasedStateMachine):
    """Each rule does the same to both and compares the answers; an error must be of the same class."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.path = Path(tempfile.mkdtemp(dir=MEMORY if Path(MEMORY).is_dir() else None))
        self.sqlite = self.open()
        self.memory = MemoryStore(max_body=2000)
        self.revs: list[str] = ["1-nonsense"]

    def open(self) -> SqliteStore:
        return self.loop.run_until_complete(SqliteStore.open(self.path, max_body=2000))

    def both(self, ask: Callable[[Store], Awaitable[object]]) -> object:
        answers = [self.loop.run_until_complete(self.answer(ask, store)) for store in (self.sqlite, self.memory)]
        assert answers[0] == answers[1]
        return answers[0]

    async def answer(self, ask: Callable[[Store], Awaitable[object]], store: Store) -> object:
        try:
            return await ask(store)
        except StoreError as error:
            return type(error)

    def keep(self, answer: object) -> None:
        if isinstance(answer, str):
            self.revs.append(answer)

    @rule(stream=names, n=small, size=st.sampled_from([0, 10, 2000, 2001]))
    def create(self, stream: str, n: int, size: int) -> None:
        self.both(lambda store: store.journal.create(stream, n, b"x" * size))

    @rule(stream=names, numbers=st.lists(small, max_size=3))
    def delete_documents(self, stream: str, numbers: list[int]) -> None:
        self.both(lambda store: store.journal.delete(stream, numbers))

    @rule(stream=names, first=small, last=small)
    def read_documents(self, stream: str, first: int, last: int) -> None:
        self.both(lambda store: store.journal.range(stream, first, last))
        self.both(lambda store: store.journal.numbers(stream, last))
        self.both(lambda store: store.journal.last(stream))
        self.both(lambda store: store.journal.read(stream, first))
        self.both(lambda store: store.journal.streams())

    @rule(ids=st.lists(st.tuples(small, small, paths), max_size=4), size=st.sampled_from([1, 1, 1, 3000]))
    def write_records(self, ids: list[tuple[int, int, str]], size: int) -> None:
        records = [record(i, "guest", "hello", start, path=f"{path}/hello", logs=["x" * size]) for i, start, path in ids]
        self.both(lambda store: store.activations.write(records))

    @rule(name=st.none() | st.sampled_from(["hello", "pkg/hello"]), since=bounds, upto=bounds, limit=small, skip=small)
    def list_records(self, name: str | None, since: int | None, upto: int | None, limit: int, skip: int) -> None:
        query = ActivationQuery("guest", name, since, upto, limit, skip)
        self.both(lambda store: store.activations.list(query))
        self.both(lambda store: store.activations.count(query))

    @rule(before=small, batch=st.integers(1, 3))
    def delete_old(self, before: int, batch: int) -> None:
        # Of records that ended at the same time any may go first: only whole batches are comparable.
        self.both(lambda store: store.activations.delete_older(before + 5))

    @rule(collection=collections, path=paths, name=names, updated=small, data=st.data())
    def put_entity(self, collection: str, path: str, name: str, updated: int, data: st.DataObject) -> None:
        entity = row(name, path, collection, updated)
        current = self.loop.run_until_complete(self.memory.entities.get(entity.doc_id))
        rev = data.draw(st.sampled_from([current.rev if current else None, *self.revs[-2:], None]))
        self.keep(self.both(lambda store: store.entities.put(entity, name.encode() * updated, rev)))

    @rule(path=paths, name=names, data=st.data())
    def delete_entity(self, path: str, name: str, data: st.DataObject) -> None:
        current = self.loop.run_until_complete(self.memory.entities.get(f"{path}/{name}"))
        rev = data.draw(st.sampled_from([current.rev if current else self.revs[-1], self.revs[0]]))
        self.both(lambda store: store.entities.delete(f"{path}/{name}", rev))

    @rule(collection=collections, path=paths, limit=small, skip=small, exact=st.booleans())
    def list_entities(self, collection: str, path: str, limit: int, skip: int, exact: bool) -> None:
        self.both(lambda store: store.entities.list(collection, path, limit=limit, skip=skip, exact=exact))
        self.both(lambda store: store.entities.count(collection, path, exact=exact))

    @rule(name=names, key=names, blocked=st.booleans(), data=st.data())
    def put_subject(self, name: str, key: str, blocked: bool, data: st.DataObject) -> None:
        doc_id, body = data.draw(
            st.sampled_from([(name, subject(name, (name, "u", key), blocked=blocked)), (f"{name}/limits", b'{"firesPerMinute":3}')])
        )
        current = self.loop.run_until_complete(self.memory.subjects.get(doc_id))
        rev = data.draw(st.sampled_from([current.rev if current else None, self.revs[-1]]))
        self.keep(self.both(lambda store: store.subjects.put(doc_id, body, rev)))

    @precondition(lambda self: self.loop.run_until_complete(self.memory.subjects.list()))
    @rule(data=st.data())
    def delete_subject(self, data: st.DataObject) -> None:
        doc = data.draw(st.sampled_from(self.loop.run_until_complete(self.memory.subjects.list())))
        self.both(lambda store: store.subjects.delete(doc.id, doc.rev))

    @rule(name=names)
    def who(self, name: str) -> None:
        self.both(lambda store: store.subjects.by_key("u", name))
        self.both(lambda store: store.subjects.by_namespace(name))
        self.both(lambda store: store.subjects.list())

    @rule()
    def restart(self) -> None:
        self.loop.run_until_complete(self.sqlite.close())
        self.sqlite = self.open()

    @rule(pages=small)
    def vacuum(self, pages: int) -> None:
        assert self.loop.run_until_complete(self.sqlite.vacuum(pages)) <= pages

    def teardown(self) -> None:
        self.loop.run_until_complete(self.sqlite.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.path)


BothStores.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestBothStores = BothStores.TestCase
