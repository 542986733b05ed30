"""The CouchDB store keeps the contract over the strict server, and what a network and a real CouchDB add to it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from store.contract import DocumentLog, Store
from store.couchdb import CouchStore
from store.couchdb_client import parse_url
from tests.contract.journal_suite import JournalSuite
from tests.contract.store_log_suite import DocumentLogSuite
from tests.contract.store_suite import StoreSuite
from tests.support.couchdb.server import CouchServer

pytestmark = pytest.mark.nodejs
_prefixes = (f"t{n}_" for n in itertools.count())


@pytest.fixture(scope="module")
def shared() -> Iterator[CouchServer]:
    """One server for all tests that need no faults; each has databases of its own."""
    server = CouchServer().start()
    yield server
    server.close()


@pytest_asyncio.fixture
async def store(shared: CouchServer) -> AsyncIterator[CouchStore]:
    opened = await CouchStore.open(parse_url(shared.url, next(_prefixes)))
    yield opened
    await opened.close()


class TestCouchLog(DocumentLogSuite):
    @pytest.fixture
    def log(self, store: Store) -> DocumentLog:
        return store.journal


class TestJournalOnCouch(JournalSuite):
    @pytest.fixture
    def log(self, store: Store) -> DocumentLog:
        return store.journal


class TestCouchStore(StoreSuite):
    pass
