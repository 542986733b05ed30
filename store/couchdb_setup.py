"""The databases and design documents, made on the first start; by several processes at once, and again, with no harm."""

from __future__ import annotations

import time

import msgspec

from store.couchdb_client import Client, Database, DatabaseMissing, Untrusted
from store.couchdb_views import DATABASES, Design
from store.errors import Conflict, StoreError, StoreFailed, StoreRefused, StoreUnavailable, StoreUnusable

PATIENCE = 10.0
"""Seconds that a database which is just starting may take to answer."""

PAUSE = 0.25


def prepare(client: Client, patience: float = PATIENCE) -> None:
    """Make what is missing. Raises StoreUnusable with what to do about it; never asks again after a 401."""
    place = client.settings.url
    until = time.monotonic() + patience
    while True:
        try:
            _welcome(client)
            for name, designs in DATABASES.items():
                _database(client, name, designs)
            return
        except Untrusted as error:
            raise StoreUnusable(f"{error}: store-ca names whom to trust") from None
        except StoreUnavailable as error:
            if time.monotonic() > until:
                raise StoreUnusable(f"{error}: is a CouchDB running at {place}? --store names it") from None
        except StoreError as error:
            raise StoreUnusable(f"{error}") from None
        time.sleep(PAUSE)


def _welcome(client: Client) -> None:
    """Whether this is a CouchDB that knows us. Raises StoreUnusable."""
    try:
        found = msgspec.json.decode(client.ask("GET", ("",)).body)
    except StoreFailed as error:
        who = client.settings.user or "nobody (no user in the address)"
        raise StoreUnusable(f"{error}; the user is {who}") from None
    except (StoreRefused, msgspec.MsgspecError):
        found = None
    if not isinstance(found, dict) or not ("couchdb" in found or "express-pouchdb" in found):
        raise StoreUnusable(f"{client.settings.url} answers, but is no CouchDB: check --store")


def _database(client: Client, name: str, designs: dict[str, Design]) -> None:
    database = client.database(name)
    try:
        client.ask("GET", (database.name,))
    except DatabaseMissing:
        _create(client, database, name)
    for design, content in designs.items():
        _design(database, f"_design/{design}", content)


def _create(client: Client, database: Database, name: str) -> None:
    """The journal's database has one shard and one copy: more copies could accept two writers, more shards cost a sync each."""
    try:
        client.ask("PUT", (database.name,), {"q": 1, "n": 1} if name == "journal" else None)
    except Conflict:
        pass  # another process was first
    except (StoreFailed, StoreRefused) as error:
        who = client.settings.user or "nobody"
        raise StoreUnusable(f"database {database.name} is missing and {who} may not create it ({error})") from None


def _design(database: Database, doc_id: str, content: Design) -> None:
    if database.get(doc_id) is not None:
        return
    try:
        database.put(doc_id, msgspec.json.encode(content))
    except Conflict:
        pass
    except (StoreFailed, StoreRefused) as error:
        raise StoreUnusable(f"{doc_id} is missing in {database.name} and can't be written ({error})") from None
