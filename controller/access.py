"""Who may touch what (openwhisk-controller.md 2.3): everything of one's own namespace, public packages of others."""

from __future__ import annotations

from controller import errors
from controller.entities import Entities, PackageEntity
from messages.wire import Identity


def owns(identity: Identity, namespace: str) -> bool:
    """Whether the namespace is the caller's."""
    return identity.namespace.name == namespace


def require_own(identity: Identity, resource: str) -> None:
    """Raises ApiError 403, naming the resource, unless it lies in the caller's namespace."""
    if not owns(identity, resource.partition("/")[0]):
        raise errors.forbidden(resource)


async def require_package(identity: Identity, entities: Entities, package_id: str) -> tuple[str, PackageEntity]:
    """The package, for one who may read it. Raises ApiError: 404 (owner), 403 (others: existence is not given away), 409."""
    if owns(identity, package_id.partition("/")[0]):
        return await entities.load(package_id, PackageEntity)
    found = await entities.find(package_id, PackageEntity)
    if found is None or not found[1].publish or found[1].binding:
        raise errors.forbidden(package_id)
    return found
