from __future__ import annotations

import asyncio

import pytest
from msgspec import Raw, structs

from controller.entities import ActionEntity, Entities, ExecDoc, LimitSet, PackageEntity, Pair
from controller.errors import ApiError
from controller.targets import Targets
from messages.wire import Identity, Namespace
from store.contract import EntityRow, StoredDoc
from store.memory import MemoryStore
from tests.controller.fakes import golden_manifest

GUEST = Identity("guest", Namespace("guest", "u"))
OTHER = Identity("other", Namespace("other", "v"))
LIMITS = LimitSet(memory=256, timeout=60_000)


def action(name: str = "a", path: str = "guest", code: str = "x", **fields: list[Pair]) -> ActionEntity:
    given = {"annotations": [], "parameters": [], **fields}
    return ActionEntity(path, name, ExecDoc("nodejs:20", code=code, binary=False), LIMITS, "0.0.1", False, updated=1, **given)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def made(most: int = 1 << 20, clock: Clock | None = None) -> tuple[Entities, Targets, MemoryStore]:
    store = MemoryStore()
    entities = Entities(store.entities)
    return entities, Targets(entities, golden_manifest(), most, clock or Clock(), 5.0), store


async def test_a_target_is_made_once_per_revision() -> None:
    """The second invocation reads nothing; a change makes a new one."""
    entities, targets, _ = made()
    await entities.save(action(), None)
    first = await targets.find(GUEST, "guest", "", "a")
    assert await targets.find(GUEST, "guest", "", "a") is first
    revision, _ = await entities.load("guest/a", ActionEntity)
    await entities.save(action(code="y"), revision)
    targets.changed("guest/a")
    assert (await targets.find(GUEST, "guest", "", "a")).executable.code == "y"


async def test_what_was_read_before_a_change_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup that the write overtook answers, but is forgotten."""
    entities, targets, store = made()
    await entities.save(action(), None)
    reached, go_on = asyncio.Event(), asyncio.Event()
    read = store.entities.get

    async def slowly(doc_id: str) -> StoredDoc | None:
        found = await read(doc_id)
        if not reached.is_set():
            reached.set()
            await go_on.wait()
        return found

    monkeypatch.setattr(store.entities, "get", slowly)
    slow = asyncio.create_task(targets.find(GUEST, "guest", "", "a"))
    await reached.wait()
    revision, _ = await entities.load("guest/a", ActionEntity)
    await entities.save(action(code="y"), revision)
    targets.changed("guest/a")
    go_on.set()
    await slow
    assert (await targets.find(GUEST, "guest", "", "a")).executable.code == "y"


async def test_what_another_process_changed_is_seen_after_a_while() -> None:
    """Nobody calls `changed` for it; what nobody changed stays the same object."""
    clock = Clock()
    entities, targets, _ = made(clock=clock)
    package = PackageEntity("guest", "p", {}, [], "0.0.1", False, [], 1)
    await entities.save(package, None)
    await entities.save(action(path="guest/p"), None)
    first = await targets.find(GUEST, "guest", "p", "a")
    clock.now = 6.0
    assert await targets.find(GUEST, "guest", "p", "a") is first
    revision, _ = await entities.load("guest/p", PackageEntity)
    await entities.save(structs.replace(package, parameters=[Pair("x", Raw(b"1"))]), revision)
    clock.now = 10.0
    assert await targets.find(GUEST, "guest", "p", "a") is first
    clock.now = 11.0
    assert (await targets.find(GUEST, "guest", "p", "a")).defaults == {"x": Raw(b"1")}
    revision, _ = await entities.load("guest/p/a", ActionEntity)
    await entities.save(action(path="guest/p", code="z"), revision)
    clock.now = 17.0
    assert (await targets.find(GUEST, "guest", "p", "a")).executable.code == "z"
    assert repr(targets).startswith("<Targets [1 kept")


async def test_one_looks_again_for_all() -> None:
    """However many invoke at that moment, the store is asked once, and not for the code; what is gone is gone for all."""
    clock = Clock()
    entities, targets, store = made(clock=clock)
    await entities.save(action(), None)
    first = await targets.find(GUEST, "guest", "", "a")
    asked = []

    async def count(operation: str, when: str) -> None:
        asked.append(operation)
        await asyncio.sleep(0)

    store.faults.hook = count
    clock.now = 6.0
    found = await asyncio.gather(*(targets.find(GUEST, "guest", "", "a") for _ in range(20)))
    assert all(each is first for each in found)
    assert asked == ["entities.revision"]
    doc = await store.entities.get("guest/a")
    assert doc is not None
    await store.entities.delete("guest/a", doc.rev)
    clock.now = 12.0
    for _ in range(2):
        with pytest.raises(ApiError) as raised:
            await targets.find(GUEST, "guest", "", "a")
        assert raised.value.status == 404
    assert repr(targets) == "<Targets [0 kept, 0 bytes]>"


async def test_kept_code_is_bounded() -> None:
    """The least recently used go first; what is larger than everything allowed isn't kept at all."""
    entities, targets, _ = made(most=10_000)
    for name in "abc":
        await entities.save(action(name, code="x" * 2_000), None)
        await targets.find(GUEST, "guest", "", name)
    assert repr(targets).startswith("<Targets [2 kept")
    await entities.save(action("huge", code="x" * 20_000), None)
    assert (await targets.find(GUEST, "guest", "", "huge")).executable.code
    assert repr(targets) == "<Targets [0 kept, 0 bytes]>"


async def test_package_and_action_parameters_are_merged() -> None:
    """The action's win; those with a value are locked by `final`; `init` ones are named."""
    entities, targets, _ = made()
    inherited = [Pair("a", Raw(b"1")), Pair("b", Raw(b"2"), init=True)]
    await entities.save(PackageEntity("guest", "p", {}, inherited, "0.0.1", True, [], 1), None)
    own = {"parameters": [Pair("a", Raw(b"null"))], "annotations": [Pair("final", Raw(b"true"))]}
    await entities.save(action(path="guest/p", **own), None)
    for identity in (GUEST, OTHER):
        found = await targets.find(identity, "guest", "p", "a")
        assert bytes(found.content) == b'{"a":null,"b":2}'
        assert (found.locked, found.init_args) == ({"b"}, ["b"])


@pytest.mark.parametrize(
    ("identity", "package", "status"), [(OTHER, "", 403), (OTHER, "private", 403), (OTHER, "none", 403), (GUEST, "none", 404)]
)
async def test_who_may_not_invoke(identity: Identity, package: str, status: int) -> None:
    """Others learn nothing about what exists; a cached target opens no door."""
    entities, targets, _ = made()
    await entities.save(action(), None)
    await entities.save(PackageEntity("guest", "private", {}, [], "0.0.1", False, [], 1), None)
    await entities.save(action(path="guest/private"), None)
    await targets.find(GUEST, "guest", "", "a")
    await targets.find(GUEST, "guest", "private", "a")
    with pytest.raises(ApiError) as raised:
        await targets.find(identity, "guest", package, "a")
    assert raised.value.status == status


async def test_unreadable_documents_are_told() -> None:
    """500 with upstream's text, for what isn't an action in spite of its type."""
    _, targets, store = made()
    await store.entities.put(EntityRow("actions", "guest", "a", 1), b'{"entityType":"action","name":5}', None)
    with pytest.raises(ApiError, match="corrupted") as raised:
        await targets.find(GUEST, "guest", "", "a")
    assert raised.value.status == 500
