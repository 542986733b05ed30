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
from store.couchdb_worker import Health, Workers
from store.errors import Conflict, StoreError, StoreFailed
from store.records import ENTITY_FACTOR, MAX_BODY

INSTALLATION = "installation"
"""Id of the document with the installation's id, in the journal's database."""

APPENDERS = 2
"""Threads for appends: one for each stream that a node usually has. Each stream has one append under way."""

READERS = 4
"""Threads for everything but appends and records."""


WATCH_EVERY = 2.0
"""Seconds without an answer to anything after which the database is asked for one."""

BEAT_TIMEOUT = 5.0
"""Seconds without an answer to a heartbeat: the lease is twice that."""


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class CouchStore:
    """Implements Store. Made by `CouchStore.open`."""

    def __init__(self, settings: CouchSettings, max_body: int = MAX_BODY, wall_ms: Callable[[], int] = _wall_ms) -> None:
        self.settings = settings
        self._health = Health()
        self._appends = Workers("journal", APPENDERS, self._connect, self._health)
        self._records = Workers("records", 1, self._connect, self._health)
        self._beats = Workers("heartbeats", 1, self._connect_quick, self._health)
        self._rest = Workers("rest", READERS, self._connect, self._health)
        self._watching: asyncio.Task[None] | None = None
        self._installation = ""
        self.journal = CouchLog(self._appends, self._rest, max_body)
        self.activations = CouchActivations(self._records, self._rest, max_body, wall_ms)
        self.entities = CouchEntities(self._rest, max_body * ENTITY_FACTOR)
        self.subjects = CouchSubjects(self._rest, max_body)
        self.heartbeats = CouchHeartbeats(self._beats)

    def _connect(self) -> Client:
        return Client(self.settings)

    def _connect_quick(self) -> Client:
        return Client(structs.replace(self.settings, read_timeout=BEAT_TIMEOUT))

    @classmethod
    async def open(cls, settings: CouchSettings, max_body: int = MAX_BODY, patience: float = PATIENCE) -> CouchStore:
        """Make the databases where they are missing. Raises StoreUnusable with what to do about it."""
        store = cls(settings, max_body)
        try:
            await store._rest.run(lambda client: prepare(client, patience))
            store._installation = await store._rest.run(lambda client: _installation_id(client.database(DATABASE)))
        except BaseException:
            await store.close()
            raise
        store._watching = asyncio.get_running_loop().create_task(store._watch())
        return store

    def cost(self) -> dict[str, int]:
        """See Store."""
        sent = [workers.sent for workers in self._workers()]
        return {"requests": sum(requests for requests, _ in sent), "documents": sum(documents for _, documents in sent)}

    async def installation_id(self) -> str:
        """See Store."""
        return self._installation

    def outage(self) -> float:
        """See Store."""
        return self._health.outage()

    async def _watch(self) -> None:
        """Ask for a sign of life where nobody else does: an outage of an idle node is seen, and its end."""
        name = self.settings.prefix + DATABASE
        while True:
            await asyncio.sleep(WATCH_EVERY)
            if time.monotonic() - self._health.answered_at < WATCH_EVERY:
                continue
            try:
                await self._beats.run(lambda client: client.ask("GET", (name,)))
            except StoreFailed:
                return  # credentials are not tried again; the next write tells the node
            except StoreError:
                continue

    async def vacuum(self, pages: int) -> int:
        """See Store: CouchDB compacts by itself."""
        return 0

    async def close(self) -> None:
        """See Store."""
        if self._watching is not None:
            self._watching.cancel()
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
