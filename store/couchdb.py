"""The store on CouchDB: upstream's databases and one for the journal, through `cloudant`, in threads of their own."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable

import msgspec
from msgspec import structs

from store.couchdb_activations import CouchActivations
from store.couchdb_client import Client, CouchSettings, Database
from store.couchdb_entities import CouchEntities
from store.couchdb_heartbeats import CouchHeartbeats
from store.couchdb_log import DATABASE, CouchLog
from store.couchdb_setup import PATIENCE, prepare
from store.couchdb_subjects import CouchSubjects
from store.couchdb_worker import Workers
from store.errors import Conflict
from store.records import ENTITY_FACTOR, MAX_BODY

INSTALLATION = "installation"
"""Id of the document with the installation's id, in the journal's database."""

READERS = 4
"""Threads for everything but appends and records."""


BEAT_TIMEOUT = 5.0
"""Seconds without an answer to a heartbeat: the lease is twice that."""


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class CouchStore:
    """Implements Store. Made by `CouchStore.open`."""

    def __init__(self, settings: CouchSettings, max_body: int = MAX_BODY, wall_ms: Callable[[], int] = _wall_ms) -> None:
        self.settings = settings
        self._appends = Workers("journal", 1, self._connect)
        self._records = Workers("records", 1, self._connect)
        self._beats = Workers("heartbeats", 1, lambda: Client(structs.replace(settings, read_timeout=BEAT_TIMEOUT)))
        self._rest = Workers("rest", READERS, self._connect)
        self.journal = CouchLog(self._appends, self._rest, max_body)
        self.activations = CouchActivations(self._records, self._rest, max_body, wall_ms)
        self.entities = CouchEntities(self._rest, max_body * ENTITY_FACTOR)
        self.subjects = CouchSubjects(self._rest, max_body)
        self.heartbeats = CouchHeartbeats(self._beats)

    def _connect(self) -> Client:
        return Client(self.settings)

    @classmethod
    async def open(cls, settings: CouchSettings, max_body: int = MAX_BODY, patience: float = PATIENCE) -> CouchStore:
        """Make the databases where they are missing. Raises StoreUnusable with what to do about it."""
        store = cls(settings, max_body)
        try:
            await store._rest.run(lambda client: prepare(client, patience))
        except BaseException:
            await store.close()
            raise
        return store

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return sum(workers.requests for workers in self._workers())

    async def installation_id(self) -> str:
        """See Store."""
        return await self._rest.run(lambda client: _installation_id(client.database(DATABASE)))

    async def vacuum(self, pages: int) -> int:
        """See Store: CouchDB compacts by itself."""
        return 0

    async def close(self) -> None:
        """See Store."""
        await asyncio.gather(*(workers.close() for workers in self._workers()))

    def _workers(self) -> tuple[Workers, ...]:
        return self._appends, self._records, self._beats, self._rest


def _installation_id(database: Database) -> str:
    """The id that is there, or a fresh one: of several first starts one makes it."""
    while True:
        found = database.get(INSTALLATION)
        if found is not None:
            return str(msgspec.json.decode(found)["value"])
        with contextlib.suppress(Conflict):
            database.put(INSTALLATION, msgspec.json.encode({"value": uuid.uuid4().hex}))
