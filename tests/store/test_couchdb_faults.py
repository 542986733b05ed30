"""What goes wrong between a store and its database: nothing is lost, nothing is written twice, nobody is locked out."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
import pytest_asyncio
from msgspec import structs

from store import couchdb_worker
from store.contract import ActivationQuery
from store.couchdb import CouchStore
from store.couchdb_client import CouchSettings, parse_url
from store.couchdb_log import doc_id
from store.couchdb_views import DATABASES
from store.errors import Conflict, NotFound, StoreFailed, StoreRefused, StoreUnavailable, StoreUnusable
from tests.contract.journal_tools import STREAM, Owner, accepted, finished
from tests.contract.store_suite import entity, record, row, says, subject
from tests.support.couchdb import faults
from tests.support.couchdb.routes import Answer, Couch, Request
from tests.support.couchdb.server import ADMIN, CouchServer

pytestmark = pytest.mark.nodejs
UNCERTAIN = {
    "429": faults.status(429, "too_many_requests"), "500": faults.status(500), "503": faults.status(503),
    "reset": faults.reset, "lost answer": faults.lost_answer, "a proxy's page": faults.page,
    "202": faults.taken,
    "locked": faults.status(403, "forbidden", "Account is temporarily locked due to multiple authentication failures"),
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[CouchServer]:
    server = CouchServer().start()
    yield server
    server.close()
    sent = " ".join(path for _, path in server.faults.seen)
    assert not any(word in sent for word in ("batch=", "new_edits", "_local"))


def settings(server: CouchServer, **other: object) -> CouchSettings:
    return structs.replace(parse_url(server.url), **other)


@pytest_asyncio.fixture
async def store(server: CouchServer) -> AsyncIterator[CouchStore]:
    opened = await CouchStore.open(settings(server))
    server.faults.seen.clear()
    yield opened
    await opened.close()


# The journal


@pytest.mark.parametrize("fault", UNCERTAIN.values(), ids=UNCERTAIN)
@pytest.mark.parametrize("times", [1, 3])
async def test_an_uncertain_append_is_settled(server: CouchServer, store: CouchStore, fault: faults.Fault, times: int) -> None:
    """The same bytes again until it is certain: the event is told once, and one document holds it."""
    owner = Owner(store.journal)
    await owner.journal.open()
    server.faults.plan(fault, times, "PUT", "ev%3A")
    owner.append(accepted("a"))
    await owner.flush()
    owner.append(finished("a"))
    await owner.flush()
    assert owner.told == ["accepted a", "finished a"] and owner.trouble == []
    again = Owner(store.journal)
    assert [each.id for each in (await again.journal.open()).live] == ["a"]
    assert await store.journal.numbers(STREAM, 100) == [1, 2, 3, 4]


async def test_a_write_that_a_restart_took_away(tmp_path) -> None:
    """Applied, not answered, gone after the restart: it is created again under its number."""
    server = CouchServer(tmp_path / "couch.jsonl").start()
    store = await CouchStore.open(settings(server))
    owner = Owner(store.journal)
    await owner.journal.open()
    server.faults.plan(faults.lost_answer, 1, "PUT", "ev%3A")
    owner.append(accepted("a"))
    await owner.settle()
    server.restart(forget_last=True)
    await owner.flush()
    server.restart()
    again = Owner(store.journal)
    assert [each.id for each in (await again.journal.open()).live] == ["a"]
    assert await store.journal.numbers(STREAM, 100) == [1, 2, 3]
    await store.close()
    server.close()


@pytest.mark.parametrize("retry_first", [True, False])
async def test_a_put_that_is_applied_late(server: CouchServer, store: CouchStore, retry_first: bool) -> None:
    """After its retry, or just before it: one document, the event durable, the owner not fenced by itself."""
    release = threading.Event()
    threads: list[threading.Thread] = []

    def late(couch: Couch, request: Request) -> Answer:
        def apply() -> None:
            release.wait(10)
            couch.handle(request)

        threads.append(threading.Thread(target=apply))
        threads[0].start()
        raise faults.Lost

    owner = Owner(store.journal)
    await owner.journal.open()
    server.faults.plan(late, 1, "PUT", "ev%3A")
    owner.append(accepted("a"))
    await owner.settle()
    if not retry_first:
        release.set()
        threads[0].join()
    await owner.flush()
    release.set()
    threads[0].join()
    owner.append(accepted("b"))
    await owner.flush()
    assert owner.told == ["accepted a", "accepted b"] and owner.trouble == []
    assert await store.journal.numbers(STREAM, 100) == [1, 2, 3]


async def test_an_answer_that_takes_too_long(server: CouchServer) -> None:
    """No answer in time is uncertain, and the retry finds its own document."""
    store = await CouchStore.open(settings(server, read_timeout=0.3))
    server.faults.plan(faults.slow(0.6), 1, "PUT", "ev%3A")
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        await store.journal.create("s", 1, b"x")
    with pytest.raises(Conflict):
        await store.journal.create("s", 1, b"x")
    assert await store.journal.read("s", 1) == b"x"
    await store.close()


async def test_a_document_that_couchdb_refuses_ends_alone(server: CouchServer, store: CouchStore) -> None:
    """413 for a whole commit: halved until the one that is refused stands alone; the rest is durable."""
    owner = Owner(store.journal)
    await owner.journal.open()

    def choosy(couch: Couch, request: Request) -> Answer:
        if b"poison" in request.body:
            return faults.status(413, "document_too_large")(couch, request)
        return couch.handle(request)

    server.faults.plan(choosy, 1000, "PUT", "ev%3A")
    for name in ("a", "b", "poison", "c", "d"):
        owner.append(accepted(name))
    await owner.flush()
    assert owner.told == [f"accepted {name}" for name in "abcd"]
    assert owner.trouble == [("refused", "poison")]


async def test_a_database_that_is_gone_is_no_empty_journal(server: CouchServer, store: CouchStore) -> None:
    """A missing database is uncertain: a read of it never says that a document isn't there."""
    await store.journal.create("s", 1, b"x")
    del server.couch.databases["journal"]
    for ask in (store.journal.read("s", 1), store.journal.last("s"), store.journal.create("s", 2, b"y"), store.journal.streams()):
        with pytest.raises(StoreUnavailable, match="Database does not exist"):
            await ask


# Records


async def test_half_a_bulk(server: CouchServer, store: CouchStore) -> None:
    """What was applied is found there when the same batch comes again."""
    records = [record(i) for i in range(6)]
    server.faults.plan(faults.half_bulk, 1, "POST", "_bulk_docs")
    with pytest.raises(StoreUnavailable):
        await store.activations.write(records)
    assert await store.activations.write(records) == [False] * 3 + [True] * 3
    assert await store.activations.count(ActivationQuery("guest")) == 6


@pytest.mark.parametrize("fault", UNCERTAIN.values(), ids=UNCERTAIN)
async def test_an_uncertain_bulk(server: CouchServer, store: CouchStore, fault: faults.Fault) -> None:
    """Is told so; again it succeeds, and each record is there once."""
    server.faults.plan(fault, 1, "POST", "_bulk_docs")
    with pytest.raises(StoreUnavailable):
        await store.activations.write([record(1), record(2)])
    await store.activations.write([record(1), record(2)])
    assert await store.activations.count(ActivationQuery("guest")) == 2


async def test_a_record_that_couchdb_refuses(server: CouchServer, store: CouchStore) -> None:
    """Nothing of its batch is stored, and its neighbours can be written without it."""
    bad = structs.replace(record(2), annotations=[])
    bad = structs.replace(bad, response=structs.replace(bad.response, result=msgspec.Raw(b'{"t":"\\ud800"}')))
    with pytest.raises(StoreRefused):
        await store.activations.write([record(1), bad])
    assert await store.activations.count(ActivationQuery("guest")) == 0
    assert await store.activations.write([record(1)]) == [True]


async def test_large_batches_go_in_parts(server: CouchServer, store: CouchStore) -> None:
    """No request is much larger than the largest document."""
    records = [record(i, logs=["x" * 3_000_000]) for i in range(5)]
    assert await store.activations.write(records) == [True] * 5
    assert sum(path.endswith("_bulk_docs") for _, path in server.faults.seen) == 3


# Entities and subjects


@pytest.mark.parametrize("fault", UNCERTAIN.values(), ids=UNCERTAIN)
async def test_an_uncertain_entity_write_is_settled(server: CouchServer, store: CouchStore, fault: faults.Fault) -> None:
    """By reading back: one generation each, whatever the answer."""
    first = row("a")
    server.faults.plan(fault, 1, "PUT")
    rev = await store.entities.put(first, entity(first), None)
    assert rev.startswith("1-")
    server.faults.plan(fault, 1, "PUT")
    rev = await store.entities.put(first, entity(first, version="2"), rev)
    assert rev.startswith("2-")
    server.faults.plan(fault, 1, "DELETE")
    await store.entities.delete("guest/a", rev)
    with pytest.raises(NotFound):
        await store.entities.delete("guest/a", rev)


async def test_another_writer_during_the_uncertainty(server: CouchServer, store: CouchStore) -> None:
    """What stands there is not what was written: a conflict, and the other's stays."""
    at = row("a")

    def raced(couch: Couch, request: Request) -> Answer:
        couch.handle(Request("PUT", request.path, request.headers, b'{"exec":{},"version":"other"}', request.base))
        raise faults.Lost

    server.faults.plan(raced, 1, "PUT")
    with pytest.raises(Conflict):
        await store.entities.put(at, entity(at), None)
    found = says(await store.entities.get("guest/a"))
    assert isinstance(found, dict) and found["version"] == "other"


async def test_an_outage_is_told_in_the_end(server: CouchServer, store: CouchStore) -> None:
    """A person's write does not wait for ever."""
    at = row("a")
    server.faults.plan(faults.status(503), 100)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.entities.put(at, entity(at), None)
    assert time.monotonic() - began < 10


# Credentials and rights


async def test_a_wrong_password_is_tried_once(server: CouchServer) -> None:
    """Five would lock the user out. The error names the user and shows no password."""
    with pytest.raises(StoreUnusable, match="admin") as told:
        await CouchStore.open(settings(server, password="not-the-password"))
    assert "not-the-password" not in str(told.value) and "401" in str(told.value)
    assert len(server.faults.seen) == 1


async def test_a_password_that_changed_meanwhile(server: CouchServer, store: CouchStore) -> None:
    """Is a failure that ends the node, not an outage that is retried."""
    server.couch.access.admins[ADMIN[0]] = "changed"
    with pytest.raises(StoreFailed, match="--store"):
        await store.journal.create("s", 1, b"x")
    assert len(server.faults.seen) == 1


async def test_a_user_without_rights(server: CouchServer) -> None:
    """Which database, and what is missing."""
    server.couch.access.admins.clear()
    server.couch.users.write("org.couchdb.user:bob", {"password": "b"}, None, deleted=False)
    with pytest.raises(StoreUnusable, match="subjects is missing and bob may not create it"):
        await CouchStore.open(settings(server, user="bob", password="b"))


async def test_nobody_listens() -> None:
    """Said after the patience of a start, with the address and without the password."""
    with pytest.raises(StoreUnusable, match=r"http://127.0.0.1:9: .*refused.*is a CouchDB running") as told:
        await CouchStore.open(parse_url("http://u:hidden-word@127.0.0.1:9"), patience=0.3)
    assert "hidden-word" not in str(told.value)


async def test_something_else_listens(server: CouchServer) -> None:
    """Another web server is named as such."""
    server.faults.plan(lambda couch, request: Answer(200, {"Content-Type": "application/json"}, b"{}"), 100)
    with pytest.raises(StoreUnusable, match="is no CouchDB"):
        await CouchStore.open(settings(server), patience=0.3)


def test_no_password_in_any_repr() -> None:
    """Not even by accident."""
    assert "hidden-word" not in repr(parse_url("http://u:hidden-word@h:1"))


# Starting and connections


async def test_several_first_starts_at_once(server: CouchServer) -> None:
    """Databases, design documents and the installation's id are made once; the journal has one shard."""
    stores = await asyncio.gather(*(CouchStore.open(settings(server)) for _ in range(4)))
    assert len({await store.installation_id() for store in stores}) == 1
    for name, designs in DATABASES.items():
        found = server.couch.databases[name]
        assert {design: found.current(f"_design/{design}").rev[:2] for design in designs} == dict.fromkeys(designs, "1-")
        assert found.shards == (1 if name == "journal" else 2)
    for store in stores:
        await store.close()


async def test_a_design_document_that_is_there_stays(server: CouchServer, store: CouchStore) -> None:
    """Upstream's own, for instance."""
    whisks = server.couch.databases["whisks"]
    rev = whisks.current("_design/whisks.v2.1.0").rev
    whisks.write("_design/whisks.v2.1.0", {"views": {}}, rev, deleted=False)
    again = await CouchStore.open(settings(server))
    assert whisks.current("_design/whisks.v2.1.0").fields == {"views": {}}
    await again.close()


async def test_kept_connections_that_were_closed(server: CouchServer, store: CouchStore) -> None:
    """As a server does after some idle time: nobody notices."""
    await store.subjects.put("alice", subject("alice", ("home", "u1", "k1")), None)
    await store.journal.create("s", 1, b"x")
    couch = server.couch
    server.stop()
    server.start()
    server.couch = couch
    assert await store.subjects.by_key("u1", "k1") is not None
    await store.journal.create("s", 2, b"y")


async def test_an_outage_is_logged_once(server: CouchServer, store: CouchStore, caplog, monkeypatch) -> None:
    """With its reason, and its end; a blip is not."""
    monkeypatch.setattr(couchdb_worker, "LOG_AFTER", 0.2)
    server.faults.plan(faults.status(503), 1)
    with pytest.raises(StoreUnavailable):
        await store.journal.create("s", 1, b"x")
    await store.journal.create("s", 1, b"x")
    assert caplog.messages == []
    server.stop()
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        with pytest.raises(StoreUnavailable):
            await store.journal.create("s", 2, b"x")
    assert store.outage() >= 0.2
    server.start()
    await store.journal.create("s", 2, b"x")
    assert store.outage() == 0
    began, ended = caplog.messages
    assert "gives no answer" in began and "refused" in began and ADMIN[1] not in began
    assert "answers again" in ended


async def test_what_waits_is_bounded(server: CouchServer, store: CouchStore, monkeypatch) -> None:
    """A database that hangs fills no memory: who comes when many wait is told at once."""
    monkeypatch.setattr(couchdb_worker, "MAX_WAITING", 8)
    server.faults.plan(faults.slow(0.5), 8)
    asked = [asyncio.create_task(store.entities.get(f"guest/{i}")) for i in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable, match="8 requests wait"):
        await store.entities.get("guest/x")
    assert await asyncio.gather(*asked) == [None] * 8


async def test_the_journals_documents_are_as_designed(server: CouchServer, store: CouchStore) -> None:
    """`ev:<stream>:<12 digits>` with the body's fields as they are; events one string."""
    owner = Owner(store.journal)
    await owner.journal.open()
    found = server.couch.databases["journal"].current(doc_id(STREAM, 1))
    assert doc_id(STREAM, 1) == "ev:invoker0:000000000001"
    assert set(found.fields) == {"epoch", "writer", "snapshot", "sha", "events"}
    assert isinstance(found.fields["events"], str)
