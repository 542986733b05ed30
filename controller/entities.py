"""Entities as they are stored and shown: one id space for all collections, revisions, newest first.

A stored document is the API's form with `entityType`; values of parameters and annotations stay raw JSON.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar
from weakref import WeakValueDictionary

import msgspec
import structlog
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from config.param_keys import ParamKeys
from controller import errors
from store.contract import EntityRow, EntityStore, StoredDoc
from store.errors import Conflict, NotFound, StoreRefused


class Pair(Struct, frozen=True, omit_defaults=True):
    """A parameter or an annotation. `init`: given to the runtime at initialization instead of as an argument.

    `encryption` names the key that the value, a text then, is encrypted with.
    """

    key: str
    value: Raw
    init: bool = False
    encryption: str | None = None


def encrypted(parameters: list[Pair], keys: ParamKeys) -> list[Pair]:
    """As they are stored: each under the current key that isn't encrypted yet."""
    found = ((pair, None if pair.encryption else keys.encrypt(pair.value)) for pair in parameters)
    return [structs.replace(pair, value=sealed[0], encryption=sealed[1]) if sealed else pair for pair, sealed in found]


class LimitSet(Struct, frozen=True, kw_only=True):
    """An action's limits as stored: `timeout` ms, `memory` and `logs` MB, activations per container, containers at most.

    Documents of older OpenWhisk lack what has a default here (openwhisk-controller.md 3.2).
    """

    concurrency: int = 1
    logs: int = 10
    memory: int
    timeout: int
    instances: int | UnsetType = UNSET


class ExecDoc(Struct, frozen=True, omit_defaults=True):
    """What an action executes."""

    kind: str
    code: str | None = None
    binary: bool | None = None
    main: str | None = None
    image: str | None = None
    components: list[str] | None = None

    @property
    def size(self) -> int:
        """Bytes that count against the limit."""
        return sum(len(part.encode()) for part in (self.code, self.main, self.image) if part)


class FullName(Struct, frozen=True):
    """The name of an entity; `path` is `namespace` or `namespace/package`."""

    path: str
    name: str

    @classmethod
    def of(cls, doc_id: str) -> FullName:
        """`namespace[/package]/name` in its two parts."""
        path, _, name = doc_id.rpartition("/")
        return cls(path, name)

    @property
    def doc_id(self) -> str:
        """Where the entity is stored."""
        return f"{self.path}/{self.name}"


class ActionEntity(Struct, frozen=True):
    """An action; `namespace` is `ns` or `ns/package`, `updated` epoch ms."""

    namespace: str
    name: str
    exec: ExecDoc
    limits: LimitSet
    version: str
    publish: bool
    annotations: list[Pair]
    parameters: list[Pair]
    updated: int = 0


class PackageEntity(Struct, frozen=True):
    """A package. `binding` is empty, or says which package this one stands for."""

    namespace: str
    name: str
    binding: dict[str, str]
    parameters: list[Pair]
    version: str
    publish: bool
    annotations: list[Pair]
    updated: int = 0

    @property
    def bound_to(self) -> FullName | None:
        """The package that this one stands for, None if it is an ordinary one."""
        return FullName(self.binding["namespace"], self.binding["name"]) if self.binding else None


ACTIVE, INACTIVE = "active", "inactive"


class RuleLink(Struct, frozen=True):
    """What a trigger knows of a rule: here alone stands whether it is active."""

    action: FullName
    status: str


class TriggerEntity(Struct, frozen=True):
    """A trigger. `rules` are the links by `namespace/rule`, unset until the first; a trigger's limits are always empty."""

    namespace: str
    name: str
    parameters: list[Pair]
    limits: dict[str, int]
    version: str
    publish: bool
    annotations: list[Pair]
    updated: int = 0
    rules: dict[str, RuleLink] | UnsetType = UNSET

    @property
    def links(self) -> dict[str, RuleLink]:
        """The links, active or not, in the order in which they were made."""
        return {} if self.rules is UNSET else self.rules


class RuleEntity(Struct, frozen=True):
    """A rule: which action a trigger fires. Its status is in the trigger."""

    namespace: str
    name: str
    trigger: FullName
    action: FullName
    version: str
    publish: bool
    annotations: list[Pair]
    updated: int = 0


class _Head(Struct, rename="camel"):
    """What tells of which collection a stored entity is; where older OpenWhisk left out the first, the others do."""

    entity_type: str | UnsetType = UNSET
    exec: Raw | UnsetType = UNSET
    binding: Raw | UnsetType = UNSET
    trigger: Raw | UnsetType = UNSET
    parameters: Raw | UnsetType = UNSET

    @property
    def type(self) -> str | None:
        """As upstream's views tell (openwhisk-controller.md 3.6)."""
        if self.entity_type is not UNSET:
            return self.entity_type
        marks = {"action": self.exec, "package": self.binding, "rule": self.trigger, "trigger": self.parameters}
        return next((kind for kind, found in marks.items() if found is not UNSET), None)


AnyEntity = ActionEntity | PackageEntity | TriggerEntity | RuleEntity
Entity = TypeVar("Entity", ActionEntity, PackageEntity, TriggerEntity, RuleEntity)
Row = TypeVar("Row")

log = structlog.get_logger("entities")

_PART = 20
"""Entities read at a time for a list."""

_TYPES: dict[type[Struct], str] = {
    ActionEntity: "action", PackageEntity: "package", TriggerEntity: "trigger", RuleEntity: "rule",
}  # fmt: skip
_ATTEMPTS = 10
"""Writes of a change that other processes keep overtaking."""

encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_head = msgspec.json.Decoder(_Head).decode


def entity_type(doc: StoredDoc) -> str:
    """`action`, `package`, `trigger` or `rule`. Raises ApiError 500."""
    try:
        found = _head(doc.body).type
    except msgspec.MsgspecError:
        found = None
    if found is None:
        raise errors.failed(500, errors.CORRUPTED)
    return found


def decode(doc: StoredDoc, kind: type[Entity]) -> Entity:
    """The entity in a document. Raises ApiError: 409 if it is of another collection, 500 if it can't be read."""
    if entity_type(doc) != _TYPES[kind]:
        raise errors.other_collection()
    try:
        return msgspec.json.decode(doc.body if kind is not RuleEntity else _with_whole_names(doc.body), type=kind)
    except msgspec.MsgspecError:
        raise errors.failed(500, errors.CORRUPTED) from None


def _with_whole_names(body: bytes) -> bytes:
    """A rule with its trigger and action as objects: older documents have them as text. Raises MsgspecError."""
    fields = _fields(body)
    for end in ("trigger", "action"):
        if bytes(fields.get(end, b""))[:1] == b'"':
            name = msgspec.json.decode(fields[end], type=str)
            fields[end] = Raw(encode(FullName.of(name.strip("/"))))
    return encode(fields)


def _readable(docs: Sequence[StoredDoc], kind: type[Entity]) -> Iterator[Entity]:
    for doc in docs:
        try:
            yield decode(doc, kind)
        except errors.ApiError as error:
            log.warning("an entity can't be read", id=doc.id, reason=error.text)


def merged(*layers: list[Pair]) -> list[Pair]:
    """Pairs by key; a later layer wins."""
    return list({pair.key: pair for layer in layers for pair in layer}.values())


class Entities:
    """The store of entities as the API uses it: its errors become answers."""

    def __init__(self, store: EntityStore) -> None:
        self._store = store
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def turn(self, doc_id: str) -> asyncio.Lock:
        """Held by whoever reads this entity to write it: this process's changes come one after the other.

        One who holds a rule's may wait for its trigger's, never the other way round; `amend` holds it by itself.
        """
        return self._turns.setdefault(doc_id, asyncio.Lock())

    async def find(self, doc_id: str, kind: type[Entity]) -> tuple[str, Entity] | None:
        """Revision and entity, or None. Raises as `decode`."""
        doc = await self._store.get(doc_id)
        return None if doc is None else (doc.rev, decode(doc, kind))

    async def stored(self, doc_id: str) -> StoredDoc | None:
        """Whatever has this id."""
        return await self._store.get(doc_id)

    async def revision(self, doc_id: str) -> str | None:
        """The revision of whatever has this id."""
        return await self._store.revision(doc_id)

    async def load_doc(self, doc_id: str, kind: type[Entity]) -> tuple[StoredDoc, Entity]:
        """Document and entity. Raises ApiError 404, and as `decode`."""
        doc = await self._store.get(doc_id)
        if doc is None:
            raise errors.missing()
        return doc, decode(doc, kind)

    async def load(self, doc_id: str, kind: type[Entity]) -> tuple[str, Entity]:
        """Revision and entity. Raises ApiError 404, and as `decode`."""
        doc, entity = await self.load_doc(doc_id, kind)
        return doc.rev, entity

    async def amend(self, doc_id: str, kind: type[Entity], change: Callable[[Entity], Entity]) -> Entity:
        """Change an entity whatever others do to it meanwhile; `change` may be called again. Raises as `load` and `save`.

        Changes of this process take turns; another one's are met with a new attempt.
        """
        async with self.turn(doc_id):
            for _ in range(_ATTEMPTS):
                rev, entity = await self.load(doc_id, kind)
                changed = change(entity)
                try:
                    await self._write(changed, rev)
                except Conflict:
                    continue
                return changed
        raise errors.concurrent_change()

    async def behind(self, action_id: str) -> str:
        """Where an action is stored that may be named through a binding. Asks for no rights. Raises as `decode`."""
        path, _, name = action_id.rpartition("/")
        found = await self.find(path, PackageEntity) if "/" in path else None
        bound_to = found[1].bound_to if found else None
        return f"{bound_to.doc_id}/{name}" if bound_to else action_id

    async def save(self, entity: AnyEntity, rev: str | None) -> None:
        """Write; `rev` None creates. Raises ApiError: 409 if somebody else wrote meanwhile, 413 if the store won't have it."""
        try:
            await self._write(entity, rev)
        except Conflict:
            raise errors.concurrent_change() from None

    async def _write(self, entity: AnyEntity, rev: str | None) -> None:
        kind = _TYPES[type(entity)]
        body = b'{"entityType":"' + kind.encode() + b'",' + encode(entity)[1:]
        row = EntityRow(f"{kind}s", entity.namespace, entity.name, entity.updated)
        try:
            await self._store.put(row, body, rev)
        except StoreRefused as error:
            raise errors.failed(413, str(error)) from None

    async def delete(self, doc_id: str, rev: str) -> None:
        """Raises ApiError: 409 if somebody else wrote meanwhile, 404 if it is gone."""
        try:
            await self._store.delete(doc_id, rev)
        except Conflict:
            raise errors.concurrent_change() from None
        except NotFound:
            raise errors.missing() from None

    async def rows(
        self, kind: type[Entity], path: str, row: Callable[[Entity], Row], *, limit: int = 0, skip: int = 0
    ) -> Sequence[Row]:  # fmt: skip
        """What `row` makes of each, newest change first; read in small parts, since an entity may carry 48 MB of code.

        One that can't be read is left out: it hides no other.
        """
        found: list[Row] = []
        at, end = skip, skip + limit
        while not limit or at < end:
            step = min(_PART, end - at) if limit else _PART
            part = await self._store.list(f"{_TYPES[kind]}s", path, limit=step, skip=at)
            found += [row(entity) for entity in _readable(part, kind)]
            at += len(part)
            if len(part) < step:
                break
        return tuple(found)

    async def count(self, collection: str, path: str) -> int:
        """How many there are."""
        return await self._store.count(collection, path)
