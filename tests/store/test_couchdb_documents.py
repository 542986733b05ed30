"""Documents in upstream's shape: code inline or attached, exact numbers beside what CouchDB can hold."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from store.contract import EntityRow
from store.couchdb import CouchStore
from store.couchdb_client import parse_url
from store.couchdb_code import INLINE
from store.couchdb_exact import join, loose, split
from tests.contract.store_suite import entity, record, row, says
from tests.support.couchdb.model import Database
from tests.support.couchdb.server import CouchServer
from tests.support.couchdb.values import read


@pytest.fixture
def server() -> Iterator[CouchServer]:
    server = CouchServer().start()
    yield server
    server.close()


@pytest_asyncio.fixture
async def store(server: CouchServer) -> AsyncIterator[CouchStore]:
    opened = await CouchStore.open(parse_url(server.url))
    yield opened
    await opened.close()


def action(code: str, *, binary: bool = False) -> bytes:
    return entity(row("a"), exec={"kind": "python:3", "code": code, "binary": binary})


async def code_of(store: CouchStore, doc_id: str = "guest/a") -> Any:
    found = says(await store.entities.get(doc_id))
    assert isinstance(found, dict)
    return found["exec"].get("code")


def stored(server: CouchServer, doc_id: str = "guest/a") -> tuple[Database, Any]:
    database = server.couch.databases["whisks"]
    current = database.current(doc_id)
    assert current is not None
    return database, current


@pytest.mark.parametrize("size", [0, 1, INLINE - 1, INLINE, 300_000])
@pytest.mark.parametrize("binary", [False, True])
async def test_code_comes_back_as_it_was(server: CouchServer, store: CouchStore, size: int, binary: bool) -> None:
    """Below 16 KiB in the document, above as an attachment, text as text and base64 as its bytes; one write each."""
    data = bytes(range(256)) * (size // 256 + 1)
    code = b64encode(data[:size]).decode() if binary else "ä" + "x" * max(0, size - 2)
    rev = await store.entities.put(row("a"), action(code, binary=binary), None)
    assert rev.startswith("1-")
    assert await code_of(store) == code
    _, current = stored(server)
    place = current.fields["exec"]["code"]
    inline = (size if binary else len(code.encode())) < INLINE
    assert place["attachmentName"].startswith("mem:" if inline else "couch:")
    assert place["attachmentType"] == ("application/octet-stream" if binary else "text/plain; charset=UTF-8")
    assert ("digest" in place, "length" in place, len(current.attachments)) == ((True, True, 0) if inline else (False, False, 1))
    if not inline:
        (attachment,) = current.attachments.values()
        assert attachment.data == (b64decode(code) if binary else code.encode())


async def test_an_update_drops_the_old_attachment(server: CouchServer, store: CouchStore) -> None:
    """And a list leaves attached code out."""
    rev = await store.entities.put(row("a"), action("a" * INLINE), None)
    first = set(stored(server)[1].attachments)
    await store.entities.put(row("a"), action("b" * INLINE), rev)
    assert await code_of(store) == "b" * INLINE
    second = set(stored(server)[1].attachments)
    assert len(second) == 1 and first.isdisjoint(second)
    (listed,) = await store.entities.list("actions", "guest")
    found = says(listed)
    assert isinstance(found, dict) and found["exec"] == {"kind": "python:3", "binary": False}


async def test_a_base64_that_is_none_stays_text(store: CouchStore) -> None:
    """Whatever `binary` claims."""
    for code in ("not base64!", "YWJj\n", "YWI"):
        found = await store.entities.get("guest/a")
        await store.entities.put(row("a"), action(code, binary=True), found.rev if found else None)
        assert await code_of(store) == code


async def test_what_others_wrote_is_read(server: CouchServer, store: CouchStore) -> None:
    """Plain text (the health action's), an attachment of an old name, one written by its own request."""
    whisks = server.couch.databases["whisks"]
    head = {"entityType": "action", "namespace": "guest", "updated": 1}

    def put(name: str, code: Any, parts: Any = None) -> None:
        fields = {**head, "name": name, "exec": {"kind": "nodejs:20", "code": code, "binary": False}}
        whisks.write(f"guest/{name}", fields, None, deleted=False, parts=parts)

    data = {"content_type": "text/plain", "data": b64encode(b"old").decode()}
    put("plain", "function main() {}")
    put("legacy", {"attachmentName": "codefile", "attachmentType": "text/plain"}, {"codefile": data})
    put("attached", {"attachmentName": "couch:u-1", "attachmentType": "text/plain; charset=UTF-8"}, {"u-1": data})
    assert await code_of(store, "guest/plain") == "function main() {}"
    assert await code_of(store, "guest/legacy") == "old"
    assert await code_of(store, "guest/attached") == "old"
    assert await store.entities.count("actions", "guest") == 3


async def test_code_that_changes_between_its_two_reads(server: CouchServer, store: CouchStore) -> None:
    """The attachment is asked for by its revision; an old one that is gone means: read again."""
    rev = await store.entities.put(row("a"), action("a" * INLINE), None)

    def change(couch: Any, request: Any) -> Any:
        database, current = stored(server)
        database.write("guest/a", {**current.fields, "exec": {"kind": "python:3", "code": "new"}}, rev, deleted=False)
        database.documents["guest/a"].pop(0)  # compacted
        return couch.handle(request)

    server.faults.plan(change, 1, "GET", "rev=")
    assert await code_of(store) == "new"


@pytest.mark.nodejs
async def test_every_collection_has_its_view(store: CouchStore) -> None:
    """Packages, triggers and rules, those of a package too; public packages by upstream's view."""
    rows = [EntityRow("packages", "guest", "p", 1), EntityRow("triggers", "guest", "t", 2), EntityRow("rules", "guest", "r", 3)]
    for each in rows:
        await store.entities.put(each, entity(each, publish=True), None)
    for each in rows:
        assert [doc.id for doc in await store.entities.list(each.collection, "guest")] == [each.doc_id]
    assert await store.entities.list("actions", "guest") == []
    public = await store._rest.run(
        lambda client: client.database("whisks").rows("_design", "whisks.v2.1.0", "_view", "packages-public", reduce=False)
    )
    assert [each.id for each in public] == ["guest/p"]


@pytest.mark.nodejs
async def test_blocked_namespaces(store: CouchStore) -> None:
    """Upstream's view for invokers: of blocked subjects, and of limits that are 0."""
    await store.subjects.put("alice", b'{"blocked":true,"namespaces":[{"name":"home","uuid":"u","key":"k"}]}', None)
    await store.subjects.put("work/limits", b'{"invocationsPerMinute":0}', None)
    await store.subjects.put("free/limits", b'{"invocationsPerMinute":1}', None)
    view = ("_design", "namespaceThrottlings", "_view", "blockedNamespaces")
    rows = await store._rest.run(lambda client: client.database("subjects").rows(*view, reduce=False))
    assert [each.key for each in rows] == ["home", "work"]


# Numbers


@pytest.mark.parametrize("text", ["1e400", "-1e999", "12345678901234567890", "0.1234567890123456789", "9007199254740993"])
def test_numbers_that_change_are_kept_beside(text: str) -> None:
    """What is stored is a number that CouchDB takes, the exact text comes back."""
    fields = {"response": Raw(f'{{"result":{{"n":{text},"s":"{text} 1e400"}}}}'.encode()), "name": Raw(b'"x"')}
    kept = split(fields)
    assert "exact" in kept
    body = msgspec.json.encode(kept)
    assert read(body)["response"]["result"]["s"] == f"{text} 1e400"
    assert join(kept) == fields


@pytest.mark.parametrize("text", ["1", "-1.5", "1.0", "1e3", "9007199254740992", "0.1", "1e-7", '"1e400"', "[]"])
def test_numbers_that_survive_need_nothing(text: str) -> None:
    """The usual document has no field `exact`."""
    fields = {"response": Raw(text.encode())}
    assert split(fields) is fields


def test_an_edit_by_others_wins() -> None:
    """Over an exact text of before; a broken one is ignored."""
    kept = split({"a": Raw(b"12345678901234567890"), "b": Raw(b"1e400")})
    edited = kept | {"a": Raw(b"5")}
    assert join(edited) == {"a": Raw(b"5"), "b": Raw(b"1e400")}
    assert join({"a": Raw(b"1"), "exact": Raw(b'{"a":"["}')}) == {"a": Raw(b"1")}
    assert join({"a": Raw(b"1"), "exact": Raw(b"7")}) == {"a": Raw(b"1")}


tokens = st.from_regex(r"\A-?[1-9]\d{0,20}(\.\d{1,20})?(e[+-]?\d{1,3})?\Z")
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | tokens
values = st.recursive(numbers | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def _text(value: Any) -> str:
    """JSON in which texts that look like numbers stand bare, exactly as they are."""
    if isinstance(value, str):
        return value if value[:1] in "-123456789" and value[-1:].isdigit() and value.isascii() else json.dumps(value)
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_text(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


@given(values)
def test_any_value_comes_back_exactly(value: Any) -> None:
    """Whether it needs `exact` or not, over a server that knows doubles only."""
    text = _text(value)
    try:
        json.loads(text)
        msgspec.json.decode(text, type=Raw)
    except (ValueError, msgspec.MsgspecError):
        return
    kept = split({"a": Raw(text.encode())})
    over = {name: Raw(msgspec.json.encode(loose(bytes(part)))) for name, part in kept.items()}
    found = bytes(join(over)["a"]).decode()
    assert found == text if "exact" in kept else loose(found) == loose(text)


@pytest.mark.nodejs
async def test_a_record_holds_what_upstream_reads(server: CouchServer, store: CouchStore) -> None:
    """Its fields and names, and a result that any reader can parse."""
    await store.activations.write([record(1, path="guest/hello")])
    current = server.couch.databases["activations"].current(f"guest/{1:032x}")
    assert current is not None
    assert set(current.fields) == {
        "namespace", "name", "subject", "activationId", "start", "end", "response", "version", "annotations", "logs",
        "entityType", "updated", "exact",
    }  # fmt: skip
    assert current.fields["entityType"] == "activation"
