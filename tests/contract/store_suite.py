"""The promises of ActivationStore, EntityStore, SubjectStore and Store: each implementation inherits the suites.

A subclass gives a fixture `store`, empty at first.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest
from msgspec import UNSET, Raw

from messages.record import summary
from messages.wire import ActivationRecord, KeyValue, Response
from store.contract import ActivationQuery, EntityRow, Store, StoredDoc
from store.errors import Conflict, NotFound, StoreRefused


def record(
    number: int, namespace: str = "guest", name: str = "hello", start: int | None = None, **more: object
) -> ActivationRecord:
    """A record whose id tells its number. `path`, `binding`: annotations."""
    annotations = [KeyValue(key, more[key]) for key in ("path", "binding") if key in more]
    begun = 1000 + number if start is None else start
    logs = more.get("logs", ["line"])
    assert isinstance(logs, list)
    return ActivationRecord(
        namespace, name, "guest", f"{number:032x}", begun, begun + 5, Response(0, Raw(b'{"n":1e400,"x":12345678901234567890}')),
        "0.0.1", annotations, logs=logs,
    )  # fmt: skip


def numbers(records: list[ActivationRecord]) -> list[int]:
    """The numbers of records in their order."""
    return [int(each.activation_id, 16) for each in records]


class ActivationStoreSuite:
    """Records are written once."""

    async def test_a_record_reads_back(self, store: Store) -> None:
        """All fields, and numbers in results exactly as they were."""
        written = record(1, path="guest/hello")
        assert await store.activations.write([written]) == [True]
        assert await store.activations.get("guest", written.activation_id) == written
        assert await store.activations.get("other", written.activation_id) is None
        assert await store.activations.get("guest", "0" * 32) is None

    async def test_the_first_record_of_an_id_stays(self, store: Store) -> None:
        """A second one is told that it was already there, within a batch and across; its neighbours are written."""
        first, second = record(1, name="first"), record(1, name="second")
        assert await store.activations.write([first, second, record(2)]) == [True, False, True]
        assert await store.activations.write([record(3), second]) == [True, False]
        assert await store.activations.get("guest", first.activation_id) == first
        assert await store.activations.count(ActivationQuery("guest")) == 3

    async def test_one_id_in_two_namespaces_is_two_records(self, store: Store) -> None:
        """The key is namespace and id."""
        assert await store.activations.write([record(1, "guest"), record(1, "other")]) == [True, True]
        assert numbers(await store.activations.list(ActivationQuery("other"))) == [1]

    async def test_concurrent_writers_of_one_id(self, store: Store) -> None:
        """Exactly one writes it."""
        answers = await asyncio.gather(*(store.activations.write([record(1, name=f"n{i}"), record(10 + i)]) for i in range(20)))
        assert sum(answer[0] for answer in answers) == 1
        assert all(answer[1] for answer in answers)

    async def test_nothing_written_is_fine(self, store: Store) -> None:
        """An empty batch and an empty question are answered."""
        assert await store.activations.write([]) == []
        assert await store.activations.exist([]) == set()

    async def test_exist_answers_for_many(self, store: Store) -> None:
        """The ids that have a record in the namespace asked."""
        await store.activations.write([record(i) for i in range(5)])
        asked = [("guest", f"{i:032x}") for i in range(3, 8)] + [("other", f"{1:032x}")]
        assert await store.activations.exist(asked) == {f"{3:032x}", f"{4:032x}"}

    async def test_lists_newest_first(self, store: Store) -> None:
        """By start, then id, descending; limit and skip cut from there; limit 0 is no limit."""
        await store.activations.write([record(i, start=i // 2) for i in range(10)])
        listed = store.activations.list
        assert numbers(await listed(ActivationQuery("guest", limit=0))) == list(range(9, -1, -1))
        assert numbers(await listed(ActivationQuery("guest", limit=3, skip=2))) == [7, 6, 5]
        assert numbers(await listed(ActivationQuery("guest", limit=0, skip=8))) == [1, 0]
        assert numbers(await listed(ActivationQuery("guest", skip=50))) == []
        assert await store.activations.count(ActivationQuery("guest", limit=3, skip=2)) == 10

    async def test_a_list_of_summaries_needs_no_records(self, store: Store) -> None:
        """What the API shows of each is there, of one without an end too."""
        fired = msgspec.structs.replace(record(2, path="guest/t"), end=0)
        failed = msgspec.structs.replace(record(1, path="guest/a"), response=Response(2), cause="c" * 32, duration=5, publish=False)
        await store.activations.write([failed, fired])
        short = await store.activations.list(ActivationQuery("guest", full=False))
        assert [summary(each) for each in short] == [summary(fired), summary(failed)]

    async def test_since_and_upto_are_both_included(self, store: Store) -> None:
        """Epoch ms against `start`; 0 is a bound like any other."""
        await store.activations.write([record(i, start=i * 100) for i in range(6)])
        query = ActivationQuery("guest", since=200, upto=400)
        assert numbers(await store.activations.list(query)) == [4, 3, 2]
        assert await store.activations.count(query) == 3
        assert numbers(await store.activations.list(ActivationQuery("guest", upto=0))) == [0]
        assert numbers(await store.activations.list(ActivationQuery("guest", since=501))) == []

    async def test_names_as_upstreams_view_has_them(self, store: Store) -> None:
        """Name alone, with the package of `path`, or with the binding's (openwhisk-controller.md 3.6)."""
        await store.activations.write(
            [
                record(1, path="guest/hello"),
                record(2, path="guest/pkg/hello"),
                record(3, path="guest/pkg/hello", binding="guest/bound"),
                record(4),
                record(5, name="pkg"),
                record(6, path=7, binding=7),
            ]
        )
        named = {
            name: numbers(await store.activations.list(ActivationQuery("guest", name)))
            for name in ("hello", "pkg/hello", "bound/hello", "pkg", "hell", "%")
        }
        assert named == {"hello": [6, 4, 1], "pkg/hello": [2], "bound/hello": [3], "pkg": [5], "hell": [], "%": []}
        assert await store.activations.count(ActivationQuery("guest", "pkg/hello")) == 1

    async def test_old_records_go_in_batches(self, store: Store) -> None:
        """At most a batch of those that ended before, oldest first; others stay."""
        await store.activations.write([record(i, start=i * 100) for i in range(10)])
        before = 605 + 1
        assert await store.activations.delete_older(before, 4) == 4
        assert numbers(await store.activations.list(ActivationQuery("guest"))) == [9, 8, 7, 6, 5, 4]
        assert await store.activations.delete_older(before, 4) == 3
        assert await store.activations.delete_older(before) == 0
        assert numbers(await store.activations.list(ActivationQuery("guest"))) == [9, 8, 7]

    async def test_a_record_without_an_end_is_as_old_as_its_start(self, store: Store) -> None:
        """A trigger's has the end 0."""
        fired = [msgspec.structs.replace(record(i, start=i * 100), end=0) for i in (1, 9)]
        await store.activations.write(fired)
        assert await store.activations.delete_older(500) == 1
        assert await store.activations.list(ActivationQuery("guest")) == [fired[1]]

    async def test_a_record_that_no_store_takes_is_refused(self, store: Store) -> None:
        """Too large, or text that isn't Unicode: StoreRefused; written one by one, its neighbours are there."""
        for bad in (record(2, logs=["x" * 8_000_001]), record(2, logs=["\ud800"])):
            with pytest.raises(StoreRefused):
                await store.activations.write([bad])
            with pytest.raises(StoreRefused):
                await store.activations.write([record(1), bad, record(3)])
            assert await store.activations.get("guest", bad.activation_id) is None
        for good in (record(1), record(3)):
            await store.activations.write([good])
        assert numbers(await store.activations.list(ActivationQuery("guest"))) == [3, 1]


def row(name: str, path: str = "guest", collection: str = "actions", updated: int = 1) -> EntityRow:
    return EntityRow(collection, path, name, updated)


def generation(rev: str) -> int:
    return int(rev.partition("-")[0])


_SHAPES: dict[str, dict[str, object]] = {
    "actions": {"exec": {"kind": "python:3", "code": "def main(args): return args", "binary": False}},
    "packages": {"binding": {}},
    "triggers": {"parameters": []},
    "rules": {"trigger": {"path": "guest", "name": "t"}},
}
"""What makes a document one of its collection."""


def entity(at: EntityRow, **more: object) -> bytes:
    """The document of a row in upstream's shape."""
    head = {"entityType": at.collection[:-1], "namespace": at.path, "name": at.name, "updated": at.updated}
    return msgspec.json.encode({**head, **_SHAPES[at.collection], **more})


def says(doc: StoredDoc | None) -> object:
    """The content of a document, in whatever order its store gives the fields."""
    return None if doc is None else msgspec.json.decode(doc.body)


class EntityStoreSuite:
    """Documents with revisions. They are JSON objects in upstream's shape: a store may take nothing else."""

    async def test_a_document_reads_back(self, store: Store) -> None:
        """With the revision that put returned."""
        body = entity(row("a"), parameters=[{"key": "n", "value": Raw(b"1e3")}])
        rev = await store.entities.put(row("a"), body, None)
        found = await store.entities.get("guest/a")
        assert found is not None
        assert (found.id, found.rev, says(found)) == ("guest/a", rev, msgspec.json.decode(body))
        assert await store.entities.get("guest/b") is None

    async def test_creating_what_is_there_conflicts(self, store: Store) -> None:
        """In whatever collection: all of a namespace share one id space."""
        await store.entities.put(row("a"), entity(row("a")), None)
        for collection in ("actions", "triggers"):
            with pytest.raises(Conflict):
                await store.entities.put(row("a", collection=collection), entity(row("a", collection=collection)), None)

    async def test_only_the_newest_revision_can_be_replaced(self, store: Store) -> None:
        """Another or an unknown revision is a Conflict and changes nothing."""
        first = await store.entities.put(row("a"), entity(row("a"), version="1"), None)
        second = await store.entities.put(row("a"), entity(row("a"), version="2"), first)
        for rev in (first, "1-nonsense", ""):
            with pytest.raises(Conflict):
                await store.entities.put(row("a"), entity(row("a"), version="3"), rev)
        found = await store.entities.get("guest/a")
        assert found is not None and (found.rev, says(found)) == (second, says(StoredDoc("", "", entity(row("a"), version="2"))))
        with pytest.raises(Conflict):
            await store.entities.put(row("absent"), entity(row("absent")), first)

    async def test_generations_grow_even_over_a_delete(self, store: Store) -> None:
        """`<generation>-<hash>`; what is made again after a delete has a higher generation than what was deleted."""
        rev, seen = await store.entities.put(row("a"), entity(row("a"), version="1"), None), [0]
        for version in ("2", "2", "1"):
            seen.append(generation(rev))
            rev = await store.entities.put(row("a"), entity(row("a"), version=version), rev)
        seen.append(generation(rev))
        await store.entities.delete("guest/a", rev)
        seen.append(generation(await store.entities.put(row("a"), entity(row("a"), version="1"), None)))
        assert seen == sorted(set(seen))

    async def test_deleting_needs_the_newest_revision(self, store: Store) -> None:
        """Conflict for another, NotFound for what isn't there or is gone."""
        first = await store.entities.put(row("a"), entity(row("a"), version="1"), None)
        second = await store.entities.put(row("a"), entity(row("a"), version="2"), first)
        with pytest.raises(Conflict):
            await store.entities.delete("guest/a", first)
        await store.entities.delete("guest/a", second)
        assert await store.entities.get("guest/a") is None
        assert await store.entities.list("actions", "guest") == []
        assert await store.entities.count("actions", "guest") == 0
        for doc_id in ("guest/a", "guest/b"):
            with pytest.raises(NotFound):
                await store.entities.delete(doc_id, second)

    async def test_the_revision_alone_is_the_documents(self, store: Store) -> None:
        """Of what is there now, whatever its size; None before and after."""
        assert await store.entities.revision("guest/a") is None
        first = await store.entities.put(row("a"), entity(row("a"), version="1"), None)
        assert await store.entities.revision("guest/a") == first
        second = await store.entities.put(row("a"), entity(row("a"), version="2"), first)
        assert await store.entities.revision("guest/a") == second != first
        await store.entities.delete("guest/a", second)
        assert await store.entities.revision("guest/a") is None

    async def test_of_concurrent_updates_one_wins(self, store: Store) -> None:
        """Optimistic concurrency."""
        rev = await store.entities.put(row("a"), entity(row("a")), None)
        puts = (store.entities.put(row("a"), entity(row("a"), version=str(i)), rev) for i in range(10))
        answers = await asyncio.gather(*puts, return_exceptions=True)
        assert sum(isinstance(answer, str) for answer in answers) == 1
        assert sum(isinstance(answer, Conflict) for answer in answers) == 9

    async def test_lists_may_leave_out_code_and_nothing_else(self, store: Store) -> None:
        """However large the code is: what else the document says is listed, numbers digit by digit; `get` has it all."""
        parameters = b'[{"key":"n","value":1.50},{"key":"m","value":123456789012345678901234567890}]'
        for name, size in (("small", 10), ("large", 3_000_000)):
            body = b'{"entityType":"action","namespace":"guest","name":"%b","exec":{"kind":"k","code":"%b","binary":false},'
            body = body % (name.encode(), b"x" * size) + b'"parameters":' + parameters + b"}"
            await store.entities.put(row(name), body, None)
            whole = await store.entities.get(f"guest/{name}")
            assert whole is not None
            assert b"x" * size in whole.body
        for doc in await store.entities.list("actions", "guest"):
            said = msgspec.json.decode(doc.body, type=dict[str, msgspec.Raw])
            assert bytes(said["parameters"]) == parameters
            code = msgspec.json.decode(said["exec"])
            assert (code["kind"], code["binary"]) == ("k", False)

    async def test_a_namespace_lists_its_packages_actions_too(self, store: Store) -> None:
        """Unless `exact`; a package lists its own; neighbours with a like name don't count."""
        for name, path in (("a", "guest"), ("b", "guest/pkg"), ("c", "guest/pkg2"), ("d", "guest2"), ("e", "other/guest")):
            await store.entities.put(row(name, path), entity(row(name, path)), None)
        package = row("pkg", collection="packages")
        await store.entities.put(package, entity(package), None)

        async def listed(path: str, exact: bool = False) -> str:
            found = await store.entities.list("actions", path, exact=exact)
            assert await store.entities.count("actions", path, exact=exact) == len(found)
            return "".join(sorted(doc.id[-1] for doc in found))

        assert await listed("guest") == "abc"
        assert await listed("guest", exact=True) == "a"
        assert await listed("guest/pkg") == "b"
        assert await listed("nobody") == ""
        assert await listed("%") == ""
        assert [doc.id for doc in await store.entities.list("packages", "guest")] == ["guest/pkg"]

    async def test_lists_newest_first(self, store: Store) -> None:
        """By `updated`, then id, descending; a rewrite moves a document up; limit and skip cut from there."""
        rows = [row(name, updated=10 + i // 2) for i, name in enumerate("abcde")]
        revs = [await store.entities.put(each, entity(each), None) for each in rows]
        newer = row("a", updated=99)
        await store.entities.put(newer, entity(newer), revs[0])

        async def listed(**cut: int) -> str:
            return "".join(doc.id[-1] for doc in await store.entities.list("actions", "guest", **cut))

        assert await listed() == "aedcb"
        assert await listed(limit=2) == "ae"
        assert await listed(limit=2, skip=3) == "cb"
        assert await listed(skip=4) == "b"
        assert await listed(skip=9) == ""

    async def test_too_large_is_refused(self, store: Store) -> None:
        """And leaves nothing behind."""
        with pytest.raises(StoreRefused):
            await store.entities.put(row("a"), entity(row("a"), version="x" * 80_000_000), None)
        assert await store.entities.get("guest/a") is None


def subject(name: str, *namespaces: tuple[str, str, str], **more: object) -> bytes:
    """A subjects document: (namespace, uuid, key) each."""
    listed = [{"name": namespace, "uuid": uuid, "key": key} for namespace, uuid, key in namespaces]
    return msgspec.json.encode({"subject": name, "namespaces": listed, **more})


class SubjectStoreSuite:
    """Who may do what."""

    async def test_credentials_select_a_namespace(self, store: Store) -> None:
        """Each pair of a subject its own; half a pair selects nothing."""
        await store.subjects.put("alice", subject("alice", ("home", "u1", "k1"), ("work", "u2", "k2")), None)
        found = await store.subjects.by_key("u2", "k2")
        assert found is not None
        assert (found.subject, found.namespace.name, found.namespace.uuid) == ("alice", "work", "u2")
        assert found.authkey == {"api_key": "u2:k2"}
        assert found.rights == ("READ", "PUT", "DELETE", "ACTIVATE")
        for pair in (("u1", "k2"), ("u1", ""), ("", "k1"), ("u3", "k3")):
            assert await store.subjects.by_key(*pair) is None

    async def test_a_namespace_has_an_owner(self, store: Store) -> None:
        """With the key."""
        await store.subjects.put("alice", subject("alice", ("home", "u1", "k1")), None)
        assert await store.subjects.by_namespace("home") == await store.subjects.by_key("u1", "k1")
        assert await store.subjects.by_namespace("alice") is None

    async def test_a_blocked_subject_is_nobody(self, store: Store) -> None:
        """Until it is unblocked."""
        body = subject("alice", ("home", "u1", "k1"))
        rev = await store.subjects.put("alice", subject("alice", ("home", "u1", "k1"), blocked=True), None)
        assert await store.subjects.by_key("u1", "k1") is None
        assert await store.subjects.by_namespace("home") is None
        await store.subjects.put("alice", body, rev)
        assert await store.subjects.by_key("u1", "k1") is not None

    async def test_new_keys_replace_old_ones(self, store: Store) -> None:
        """And a deleted subject has none."""
        rev = await store.subjects.put("alice", subject("alice", ("home", "u1", "k1")), None)
        rev = await store.subjects.put("alice", subject("alice", ("home", "u1", "k9")), rev)
        assert await store.subjects.by_key("u1", "k1") is None
        assert await store.subjects.by_key("u1", "k9") is not None
        await store.subjects.delete("alice", rev)
        assert await store.subjects.by_key("u1", "k9") is None
        assert await store.subjects.by_namespace("home") is None

    async def test_a_refused_write_keeps_the_keys(self, store: Store) -> None:
        """A conflict changes neither document nor credentials."""
        await store.subjects.put("alice", subject("alice", ("home", "u1", "k1")), None)
        with pytest.raises(Conflict):
            await store.subjects.put("alice", subject("alice", ("home", "u1", "k2")), None)
        with pytest.raises(Conflict):
            await store.subjects.delete("alice", "1-nonsense")
        with pytest.raises(NotFound):
            await store.subjects.delete("bob", "1-nonsense")
        assert await store.subjects.by_key("u1", "k1") is not None

    async def test_limits_come_with_the_identity(self, store: Store) -> None:
        """From the document `<namespace>/limits`; one that can't be parsed is ignored, as upstream does."""
        await store.subjects.put("alice", subject("alice", ("home", "u1", "k1")), None)
        rev = await store.subjects.put("home/limits", b'{"invocationsPerMinute":7,"allowedKinds":["python:3"]}', None)
        found = await store.subjects.by_key("u1", "k1")
        assert found is not None and found.limits.invocations_per_minute == 7
        assert found.limits.allowed_kinds == ["python:3"]
        for broken in (b'{"invocationsPerMinute":"many"}', b"nonsense", b"\xff"):
            with contextlib.suppress(StoreRefused):  # a store may take JSON objects only
                rev = await store.subjects.put("home/limits", broken, rev)
            found = await store.subjects.by_key("u1", "k1")
            assert found is not None and found.limits.invocations_per_minute is None

    async def test_credentials_of_two_are_nobodys(self, store: Store) -> None:
        """Upstream answers an internal error; never one of them at random."""
        for name in ("alice", "bobby"):
            await store.subjects.put(name, subject(name, (name, "u1", "k1")), None)
        with pytest.raises(StoreRefused):
            await store.subjects.by_key("u1", "k1")

    async def test_documents_that_are_no_subject_open_nothing(self, store: Store) -> None:
        """Whatever people put there."""
        taken = []
        for i, body in enumerate((b"{}", b"[]", b"nonsense", b"\xff", b'{"namespaces":[{"name":1}]}')):
            with contextlib.suppress(StoreRefused):  # a store may take JSON objects only
                await store.subjects.put(f"doc{i}", body, None)
                taken.append(f"doc{i}")
        assert {"doc0", "doc4"} <= set(taken)
        assert await store.subjects.by_namespace("") is None
        assert [doc.id for doc in await store.subjects.list()] == taken

    async def test_all_documents_by_id(self, store: Store) -> None:
        """Subjects and limits alike, with their revisions."""
        revs = {doc_id: await store.subjects.put(doc_id, b"{}", None) for doc_id in ("b", "a/limits", "a")}
        listed = await store.subjects.list()
        assert [(doc.id, doc.rev) for doc in listed] == sorted(revs.items())
        assert await store.subjects.get("a") == listed[0]
        assert await store.subjects.get("zzz") is None


class HeartbeatStoreSuite:
    """Documents by revision, listed by kind."""

    async def test_a_heartbeat_is_replaced_by_revision(self, store: Store) -> None:
        """Whoever doesn't know the newest revision is told so."""
        first = await store.heartbeats.put("node:invoker0", b'{"counter":1}', None)
        second = await store.heartbeats.put("node:invoker0", b'{"counter":2}', first)
        assert await store.heartbeats.get("node:invoker0") == StoredDoc("node:invoker0", second, b'{"counter":2}')
        assert await store.heartbeats.get("node:invoker1") is None
        for stale in (None, first):
            with pytest.raises(Conflict):
                await store.heartbeats.put("node:invoker0", b'{"counter":3}', stale)

    async def test_they_are_listed_by_kind(self, store: Store) -> None:
        """Nodes and controllers apart, by id."""
        for name in ("node:invoker1", "controller:0", "node:invoker0", "nodes:x"):
            await store.heartbeats.put(name, b'{"counter":1}', None)
        assert [doc.id for doc in await store.heartbeats.list("node")] == ["node:invoker0", "node:invoker1"]
        assert [doc.body for doc in await store.heartbeats.list("controller")] == [b'{"counter":1}']
        assert await store.heartbeats.list("nobody") == []


class StoreSuite(ActivationStoreSuite, EntityStoreSuite, SubjectStoreSuite, HeartbeatStoreSuite):
    """All parts, and what they share."""

    async def test_the_installation_has_one_id(self, store: Store) -> None:
        """The same however often and concurrently it is asked for."""
        ids = await asyncio.gather(*(store.installation_id() for _ in range(5)))
        assert len(set(ids)) == 1
        assert ids[0]

    async def test_optional_fields_stay_away(self, store: Store) -> None:
        """A record without logs has none when read: absent, not null."""
        written = msgspec.structs.replace(record(1), logs=UNSET)
        await store.activations.write([written])
        found = await store.activations.get("guest", written.activation_id)
        assert found == written
        assert found is not None and found.logs is UNSET

    async def test_vacuuming_an_empty_store_is_fine(self, store: Store) -> None:
        """It gives back nothing."""
        assert await store.vacuum(100) == 0
