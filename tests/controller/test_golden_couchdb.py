"""The same API on CouchDB: the recorded exchanges of all entities once more, and documents in upstream's shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from config.limits import SystemLimits
from store.couchdb import CouchStore
from store.couchdb_client import parse_url
from tests.controller.serving import API, serving
from tests.controller.test_golden import NEEDS_CODE, code
from tests.golden_replay import DEVIATIONS, replay
from tests.support.couchdb.server import CouchServer

pytestmark = pytest.mark.nodejs


@pytest.fixture
def server() -> Iterator[CouchServer]:
    server = CouchServer().start()
    yield server
    server.close()


@pytest_asyncio.fixture
async def couch(server: CouchServer) -> AsyncIterator[CouchStore]:
    opened = await CouchStore.open(parse_url(server.url))
    yield opened
    await opened.close()


@pytest.mark.parametrize("group", ["actions", "packages", "bindings", "triggers", "rules", "namespaces"])
async def test_group_is_answered_as_recorded(couch: CouchStore, group: str) -> None:
    """Lists, revisions, conflicts, code: nothing shows which store it is."""
    async with serving(code, store=couch, cors=("*",), limits=SystemLimits(concurrent_invocations=100)) as api:
        skip = NEEDS_CODE.get(group, set())
        good, wrong = await asyncio.to_thread(replay, "127.0.0.1", api.port, group, skip, 5.0)
    unexpected = {name: text for name, text in wrong.items() if f"{group}/{name}" not in DEVIATIONS}
    assert not unexpected, "\n".join(f"{group}/{name}: {text}" for name, text in unexpected.items())
    assert good > 30


async def test_documents_have_upstreams_shape(server: CouchServer, couch: CouchStore) -> None:
    """3.2 to 3.5: what another OpenWhisk's controller or invoker reads in the same database."""
    async with serving(store=couch) as api:
        await api.send("PUT", f"{API}/packages/p", {"publish": True})
        await api.put_action("p/a", parameters=[{"key": "x", "value": 1, "init": True}])
        await api.send("PUT", f"{API}/packages/b", {"binding": {"namespace": "_", "name": "p"}})
        await api.send("PUT", f"{API}/triggers/t", {})
        await api.send("PUT", f"{API}/rules/r", {"trigger": "/_/t", "action": "/_/p/a"})
    docs = {name: _fields(server, name) for name in ("p", "p/a", "b", "t", "r")}
    common = {"namespace": "guest", "version": "0.0.1", "publish": False, "annotations": [], "parameters": []}
    binding = {"namespace": "guest", "name": "p"}
    assert docs["p"] == {**common, "entityType": "package", "name": "p", "binding": {}, "publish": True}
    assert docs["b"] == {
        **common, "entityType": "package", "name": "b", "binding": binding, "annotations": [{"key": "binding", "value": binding}],
    }  # fmt: skip
    assert docs["t"] == {
        **common, "entityType": "trigger", "name": "t", "limits": {},
        "rules": {"guest/r": {"action": {"path": "guest/p", "name": "a"}, "status": "active"}},
    }  # fmt: skip
    assert docs["r"] == {
        "namespace": "guest", "version": "0.0.1", "publish": False, "annotations": [], "entityType": "rule", "name": "r",
        "trigger": {"path": "guest", "name": "t"}, "action": {"path": "guest/p", "name": "a"},
    }  # fmt: skip
    action = docs["p/a"]
    assert (action["entityType"], action["namespace"], action["exec"]["kind"]) == ("action", "guest/p", "nodejs:20")
    assert action["exec"]["code"]["attachmentName"].startswith("mem:")
    assert action["parameters"] == [{"key": "x", "value": 1, "init": True}]
    assert action["limits"] == {"timeout": 60000, "memory": 256, "logs": 10, "concurrency": 1}


def _fields(server: CouchServer, name: str) -> dict[str, Any]:
    """What the document says, apart from the time."""
    found = server.couch.databases["whisks"].current(f"guest/{name}")
    assert found is not None
    fields = json.loads(json.dumps(found.fields))
    assert isinstance(fields.pop("updated"), int)
    return dict(fields)
