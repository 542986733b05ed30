"""The CouchDB store keeps the contract over the strict server, and what a network and a real CouchDB add to it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from services.couchdb import CouchDb
from store.contract import DocumentLog, Store
from store.couchdb import CouchStore
from store.couchdb_client import parse_url
from tests.contract.journal_suite import JournalSuite
from tests.contract.store_log_suite import DocumentLogSuite
from tests.contract.store_suite import StoreSuite
from tests.support.couchdb.server import CouchServer

_prefixes = (f"t{n}_" for n in itertools.count())


async def opened(url: str) -> CouchStore:
    """A store with databases of its own."""
    return await CouchStore.open(parse_url(url, next(_prefixes)))


@pytest.fixture(scope="module")
def shared() -> Iterator[CouchServer]:
    """One server for all tests that need no faults."""
    server = CouchServer().start()
    yield server
    server.close()


@pytest.mark.nodejs
class OnStrictServer:
    """What a real CouchDB was recorded saying."""

    @pytest_asyncio.fixture
    async def store(self, shared: CouchServer) -> AsyncIterator[CouchStore]:
        store = await opened(shared.url)
        yield store
        await store.close()


@pytest.mark.couchdb
class OnPouchdb:
    """A real process with its data on disk."""

    @pytest_asyncio.fixture
    async def store(self, couchdb: CouchDb) -> AsyncIterator[CouchStore]:
        store = await opened(couchdb.address)
        yield store
        await store.close()


class _Log:
    @pytest.fixture
    def log(self, store: Store) -> DocumentLog:
        return store.journal


class TestLogOnStrictServer(OnStrictServer, _Log, DocumentLogSuite):
    pass


class TestJournalOnStrictServer(OnStrictServer, _Log, JournalSuite):
    pass


class TestStoreOnStrictServer(OnStrictServer, StoreSuite):
    pass


class TestLogOnPouchdb(OnPouchdb, _Log, DocumentLogSuite):
    pass


class TestJournalOnPouchdb(OnPouchdb, _Log, JournalSuite):
    pass


class TestStoreOnPouchdb(OnPouchdb, StoreSuite):
    pass
