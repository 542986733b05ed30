"""What an invocation runs, made from action and package once per revision and kept while nobody changes either."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

from config.manifest import Manifest
from controller import access, errors
from controller.access import ReadablePackage
from controller.entities import ActionEntity, Entities, encode, merged
from controller.exec import SEQUENCE
from controller.web_export import WebExport, web_export
from messages.action import Executable, decode_action, executable
from messages.composition import ConductorPlan, Plan, SequencePlan
from messages.wire import ActionName, Identity
from store.contract import StoredDoc

FALSY = frozenset({b"null", b"false", b"0", b'""'})
"""Values of an annotation that count as no."""

_members = msgspec.json.Decoder(dict[str, Raw]).decode
_OVERHEAD = 2_000
"""Bytes that an entry costs beside its code, roughly."""


class Target(Struct, frozen=True):
    """An action ready to be invoked. `defaults`: its package's and its own parameters; `locked`: those nobody may override.

    `package` is what it was made of beside the action. `form` is `action`, `sequence` (whose `components` are ids, and which has no
    parameters of its own) or `conductor`.
    """

    executable: Executable
    action: ActionName
    public: bool
    defaults: dict[str, Raw]
    content: Raw
    init_args: list[str]
    locked: frozenset[str]
    package: ReadablePackage | None
    web: WebExport | None = None
    form: str = "action"
    components: tuple[str, ...] = ()
    encrypted: dict[str, str] = {}

    def locked_args(self, arguments: Raw) -> dict[str, str]:
        """The encrypted ones of its own parameters among these arguments, by the names of their keys."""
        if not self.encrypted or bytes(arguments).lstrip()[:1] != b"{":
            return {}
        given = _members(arguments)
        return {name: key for name, key in self.encrypted.items() if given.get(name) == self.defaults[name]}


def target_of(doc: StoredDoc, action: ActionEntity, package: ReadablePackage | None) -> Target:
    """Pure: what invoking this revision of the action means."""
    form, components = form_of(action)
    parameters = merged(package.parameters if package else [], action.parameters) if form != SEQUENCE else []
    defaults = {pair.key: pair.value for pair in parameters}
    final = any(pair.key == "final" and bytes(pair.value) == b"true" for pair in action.annotations)
    bound = package is not None and bool(package.package.binding)
    return Target(
        executable=executable(decode_action(doc.body), doc.rev),
        action=ActionName(action.namespace, action.name, action.version, package.name if package and bound else None),
        public=package is not None and package.package.publish and not bound,
        defaults=defaults,
        content=Raw(encode(defaults)),
        init_args=[pair.key for pair in parameters if pair.init],
        locked=frozenset(key for key, value in defaults.items() if final and bytes(value) != b"null"),
        package=package,
        web=web_export(action.annotations),
        form=form,
        components=components,
        encrypted={pair.key: pair.encryption for pair in parameters if pair.encryption},
    )


def form_of(action: ActionEntity) -> tuple[str, tuple[str, ...]]:
    """`action`, `sequence` or `conductor`, and a sequence's components. Any truthy `conductor` counts, an empty list too (4.6)."""
    if action.exec.kind == SEQUENCE:
        return SEQUENCE, tuple(name.removeprefix("/") for name in action.exec.components or ())
    values = [bytes(pair.value) for pair in action.annotations if pair.key == "conductor"]
    return ("conductor" if values and values[-1] not in FALSY else "action"), ()


def plan_of(target: Target, most: int) -> Plan | None:
    """How a composition that is invoked goes; None for an action that just runs."""
    if target.form == "sequence":
        return SequencePlan(list(target.components), most, target.executable.limits)
    if target.form == "conductor":
        return ConductorPlan(target.action.called, most, target.executable.limits)
    return None


class _Kept(Struct):
    target: Target
    until: float
    """When it must be compared with the store again, in seconds of the monotonic clock."""


class Targets:
    """Targets by the name under which they are invoked, most recently used last, at most `most` bytes of them.

    `changed` must be called after every write to actions and packages; a lookup that was under way meanwhile isn't kept.
    Other processes write too: after `ttl` seconds a target is compared with what is stored.
    """

    def __init__(
        self, entities: Entities, manifest: Manifest, most: int, monotonic: Callable[[], float], ttl: float
    ) -> None:  # fmt: skip
        self._entities = entities
        self._manifest = manifest
        self._most = most
        self._monotonic = monotonic
        self._ttl = ttl
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0
        self._changes = 0

    def __repr__(self) -> str:
        return f"<Targets [{len(self._kept)} kept, {self._size} bytes]>"

    def changed(self, doc_id: str) -> None:
        """An action or a package was written: what was made from it is no longer true."""
        self._changes += 1
        for key in [key for key, kept in self._kept.items() if doc_id in _made_of(kept.target)]:
            self._size -= _weight(self._kept.pop(key).target)

    async def find(self, identity: Identity, namespace: str, package: str, name: str) -> Target:
        """The target, for one who may invoke it. Raises ApiError 400, 403, 404, 409."""
        package_id = f"{namespace}/{package}" if package else ""
        key = f"{package_id or namespace}/{name}"
        own = access.owns(identity, namespace)
        if not own and not package:
            raise errors.forbidden(key)
        found = self._kept.get(key)
        if found is None:
            return await self._load(identity, key, package_id, None)
        if found.until <= self._monotonic():
            return await self._again(identity, key, package_id, found)
        if not own and not found.target.public:
            raise errors.forbidden(package_id)
        self._kept.move_to_end(key)
        return found.target

    async def _again(self, identity: Identity, key: str, package_id: str, kept: _Kept) -> Target:
        """One request looks whether it is still true; those that come meanwhile take it as it was."""
        kept.until = self._monotonic() + self._ttl
        try:
            return await self._load(identity, key, package_id, kept.target)
        except BaseException:
            if self._kept.get(key) is kept:
                self._size -= _weight(self._kept.pop(key).target)
            raise

    async def _load(self, identity: Identity, key: str, package_id: str, old: Target | None) -> Target:
        changes = self._changes
        package = None
        if package_id:
            package = await access.require_package(identity, self._entities, package_id)
        action_id = f"{package.path}/{key.rpartition('/')[2]}" if package else key
        if old is not None and old.package == package and await self._entities.revision(action_id) == old.executable.revision:
            made = old
        else:
            doc, action = await self._entities.load_doc(action_id, ActionEntity)
            self._check_kind(action.exec.kind)
            made = target_of(doc, action, package)
        if changes == self._changes:
            self._keep(key, made)
        return made

    def _check_kind(self, kind: str) -> None:
        known = self._manifest.resolve(kind)
        if known is not None and known.deprecated:
            raise errors.kind_deprecated(kind)

    def _keep(self, key: str, made: Target) -> None:
        old = self._kept.pop(key, None)
        self._size += _weight(made) - (_weight(old.target) if old is not None else 0)
        self._kept[key] = _Kept(made, self._monotonic() + self._ttl)
        while self._size > self._most and self._kept:
            _, dropped = self._kept.popitem(last=False)
            self._size -= _weight(dropped.target)


def _made_of(target: Target) -> tuple[str, ...]:
    action = f"{target.action.path}/{target.action.name}"
    return (action, target.package.name, target.package.path) if target.package else (action,)


def _weight(target: Target) -> int:
    return _OVERHEAD + len(target.executable.code) + len(target.content) * 2
