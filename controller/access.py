"""Who may touch what (openwhisk-controller.md 2.3).

Everything of one's own namespace; of others' only packages that are shared, and what is in them. A binding can be used by
its owner alone, and only while the package behind it can be read.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from controller import errors
from controller.entities import Entities, PackageEntity, Pair, decode, entity_type, merged
from controller.errors import ApiError
from messages.wire import Identity


class ReadablePackage(Struct, frozen=True):
    """A package as it was named, and the one whose actions it has: itself, or what it is bound to."""

    package: PackageEntity
    provider: PackageEntity

    @property
    def name(self) -> str:
        """How it was named: its id."""
        return f"{self.package.namespace}/{self.package.name}"

    @property
    def path(self) -> str:
        """Where its actions are stored."""
        return f"{self.provider.namespace}/{self.provider.name}"

    @property
    def parameters(self) -> list[Pair]:
        """What its actions inherit: the binding's parameters win."""
        if self.package.binding:
            return merged(self.provider.parameters, self.package.parameters)
        return self.package.parameters


def owns(identity: Identity, namespace: str) -> bool:
    """Whether the namespace is the caller's."""
    return identity.namespace.name == namespace


def owns_id(identity: Identity, doc_id: str) -> bool:
    """Whether the entity lies in the caller's namespace."""
    return owns(identity, doc_id.partition("/")[0])


def require_own(identity: Identity, resource: str) -> None:
    """Raises ApiError 403, naming the resource, unless it lies in the caller's namespace."""
    if not owns_id(identity, resource):
        raise errors.forbidden(resource)


async def require_package(identity: Identity, entities: Entities, package_id: str) -> ReadablePackage:
    """The package, for one who may read it. Raises ApiError 403, 404, 409, 422; others than the owner are told only 403."""
    found = await _readable(identity, entities, package_id, set())
    if found is None:
        raise errors.forbidden(package_id)
    return found


async def _readable(identity: Identity, entities: Entities, package_id: str, seen: set[str]) -> ReadablePackage | None:
    own = owns_id(identity, package_id)
    doc = await entities.stored(package_id)
    if not own and (doc is None or entity_type(doc) != "package"):
        return None
    if doc is None:
        raise errors.missing()
    package = decode(doc, PackageEntity)
    bound_to = package.bound_to
    if bound_to is None:
        return ReadablePackage(package, package) if own or package.publish else None
    if not own:
        return None
    seen.add(package_id)
    if bound_to.doc_id in seen:
        raise errors.circular_binding(package_id)
    behind = await _readable(identity, entities, bound_to.doc_id, seen)
    return None if behind is None else ReadablePackage(package, behind.provider)


async def require_readable(
    identity: Identity, entities: Entities, actions: Iterable[str], others: Iterable[str] = ()
) -> None:  # fmt: skip
    """All of these, by id, may be read. Raises ApiError 403 naming all that may not (of packaged actions the package), 404, 409."""
    denied = [doc_id for doc_id in others if not owns_id(identity, doc_id)]
    for doc_id in actions:
        path, _, _ = doc_id.rpartition("/")
        try:
            if "/" in path:
                await require_package(identity, entities, path)
            else:
                require_own(identity, doc_id)
        except ApiError as error:
            if error.status != 403:
                raise
            denied.append(path if "/" in path else doc_id)
    if denied:
        raise errors.forbidden(*denied)
