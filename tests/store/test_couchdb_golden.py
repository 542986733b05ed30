"""CouchDB documents of a real OpenWhisk: all of them are read, and for the same content ours have the same shape."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from controller.entities import ActionEntity, Entities, PackageEntity, RuleEntity, TriggerEntity, decode
from messages.action import decode_action, executable
from store.couchdb import CouchStore
from store.couchdb_client import parse_url
from tests.support.couchdb.server import CouchServer

GOLDEN = Path(__file__).parents[1] / "golden" / "openwhisk-wire.jsonl"
ROWS = [row for row in map(json.loads, GOLDEN.read_text(encoding="utf-8").strip().split("\n")) if "db" in row]
KINDS = {"action": ActionEntity, "package": PackageEntity, "trigger": TriggerEntity, "rule": RuleEntity}
CHANGES = {"_rev", "updated", "_attachments"}
"""What no two stores write alike. Attachments are compared by themselves."""

DEVIATIONS = {
    "whisk.system/invokerHealthTestAction0": "exec.code: plain text upstream, written by its controller past its own attachments",
    "guest/big": "one write with the attachment inside makes revision 1, where upstream's two make revision 2",
}
"""Document → in what ours differs, on purpose."""


def name_of(row: dict[str, Any]) -> str:
    return f"{row['db']}-{row['case']}-{row['value']['_id']}"


@pytest.fixture(scope="module")
def server() -> Iterator[CouchServer]:
    """With every recorded document in its database, in two copies: `theirs_` to be read, `ours_` empty."""
    server = CouchServer().start()
    yield server
    server.close()


@pytest_asyncio.fixture
async def theirs(server: CouchServer) -> AsyncIterator[CouchStore]:
    store = await CouchStore.open(parse_url(server.url, "theirs_"))
    yield store
    await store.close()


@pytest_asyncio.fixture
async def ours(server: CouchServer) -> AsyncIterator[CouchStore]:
    store = await CouchStore.open(parse_url(server.url, "ours_"))
    yield store
    await store.close()


def put(server: CouchServer, row: dict[str, Any]) -> None:
    """The document as it stood in upstream's database, in place of an earlier case's."""
    value = row["value"]
    database = server.couch.databases[f"theirs_{row['db']}"]
    database.documents.pop(value["_id"], None)
    parts = {
        name: {"content_type": part["content_type"], "data": b64encode(b"x" * part["length"]).decode()}
        for name, part in value.get("_attachments", {}).items()
    }
    fields = {name: part for name, part in value.items() if not name.startswith("_")}
    database.write(value["_id"], fields, None, deleted=value.get("_deleted", False), parts=parts)


def shape(document: dict[str, Any]) -> dict[str, Any]:
    """What is compared: all fields with their values, but for what changes with every write."""
    return {name: value for name, value in document.items() if name not in CHANGES}


@pytest.mark.parametrize("row", [row for row in ROWS if row["db"] == "activations"], ids=name_of)
async def test_records(server: CouchServer, theirs: CouchStore, ours: CouchStore, row: dict[str, Any]) -> None:
    """Read and written again a record is the same, field by field."""
    put(server, row)
    namespace, _, activation_id = row["value"]["_id"].rpartition("/")
    found = await theirs.activations.get(namespace, activation_id)
    assert found is not None and found.doc_id == row["value"]["_id"]
    await ours.activations.write([found])
    current = server.couch.databases["ours_activations"].current(row["value"]["_id"])
    assert current is not None
    written = current.shown(row["value"]["_id"])
    assert shape(written) == shape(row["value"])
    assert {"updated", "entityType"} <= written.keys()


@pytest.mark.parametrize("row", [row for row in ROWS if row["db"] == "whisks"], ids=name_of)
async def test_entities(server: CouchServer, theirs: CouchStore, ours: CouchStore, row: dict[str, Any]) -> None:
    """Read by API and invoker, and saved again by the API, an entity is the same, field by field."""
    put(server, row)
    doc_id = row["value"]["_id"]
    found = await theirs.entities.get(doc_id)
    if row["value"].get("_deleted"):
        assert found is None
        return
    assert found is not None
    kind = KINDS[row["value"]["entityType"]]
    entity = decode(found, kind)
    if kind is ActionEntity:
        runnable = executable(decode_action(found.body), found.rev)
        assert runnable.fqn == doc_id
        assert bool(runnable.code) == ("code" in row["value"]["exec"])
    current = server.couch.databases["ours_whisks"].current(doc_id)
    await Entities(ours.entities).save(entity, current.rev if current else None)
    current = server.couch.databases["ours_whisks"].current(doc_id)
    assert current is not None
    written, recorded = current.shown(doc_id), row["value"]
    assert ("_attachments" in written) == ("_attachments" in recorded)
    if doc_id in DEVIATIONS or "_attachments" in recorded:
        _same_code(written, recorded, doc_id)
    else:
        assert shape(written) == shape(recorded)


def _same_code(written: dict[str, Any], recorded: dict[str, Any], doc_id: str) -> None:
    """All but where the code is; of an attachment its name's form, its type and length."""
    ours, theirs = (dict(document["exec"]) for document in (written, recorded))
    place, other = ours.pop("code"), theirs.pop("code")
    assert ours == theirs
    assert {**shape(written), "exec": None} == {**shape(recorded), "exec": None}
    if isinstance(other, str):
        assert place["attachmentName"].startswith("mem:") and doc_id in DEVIATIONS
        return
    assert place.keys() == other.keys()
    assert place["attachmentName"].startswith("couch:") and place["attachmentType"] == other["attachmentType"]
    (ours_part,), (theirs_part,) = (document["_attachments"].values() for document in (written, recorded))
    assert (ours_part["content_type"], ours_part["length"]) == (theirs_part["content_type"], theirs_part["length"])


@pytest.mark.nodejs
@pytest.mark.parametrize("row", [row for row in ROWS if row["db"] == "subjects"], ids=name_of)
async def test_subjects(server: CouchServer, theirs: CouchStore, ours: CouchStore, row: dict[str, Any]) -> None:
    """Identities and limits are read; a document written again is the same."""
    put(server, row)
    value = row["value"]
    found = await theirs.subjects.get(value["_id"])
    if value.get("_deleted"):
        assert found is None
        return
    assert found is not None
    for each in value.get("namespaces", []):
        identity = await theirs.subjects.by_namespace(each["name"])
        assert identity is not None
        assert (identity.subject, identity.namespace.uuid) == (value["_id"], each["uuid"])
    if value["_id"].endswith("/limits"):
        server.couch.databases["theirs_subjects"].documents.pop("guest", None)
        put(server, next(row for row in ROWS if row["value"]["_id"] == "guest"))
        identity = await theirs.subjects.by_namespace("guest")
        assert identity is not None
        assert identity.limits.invocations_per_minute == value["invocationsPerMinute"]
        assert identity.limits.allowed_kinds == value["allowedKinds"]
    current = await ours.subjects.get(value["_id"])
    await ours.subjects.put(value["_id"], found.body, current.rev if current else None)
    current = await ours.subjects.get(value["_id"])
    assert current is not None
    assert msgspec.json.decode(current.body) == {name: each for name, each in value.items() if not name.startswith("_")}


def test_deviations_are_of_recorded_documents() -> None:
    """None is named that the recording doesn't have."""
    assert DEVIATIONS.keys() <= {row["value"]["_id"] for row in ROWS}
