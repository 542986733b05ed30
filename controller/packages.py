"""Packages without bindings: create, update, read, list, delete (openwhisk-controller.md 1.8)."""

from __future__ import annotations

from msgspec import structs

from controller import access, errors
from controller.action_schema import EntityPut, next_version
from controller.actions import FIRST_VERSION, read_put
from controller.context import Api
from controller.entities import ActionEntity, PackageEntity, encode
from controller.http import Reply, Request

COLLECTION = "packages"
_RESERVED = "default"


async def list_all(api: Api, request: Request) -> Reply:
    """GET packages: of a foreign namespace the public ones."""
    page = request.query.page(COLLECTION, api.limits.list_max, api.limits.list_default)
    found = await api.entities.list(PackageEntity, request.namespace)
    if not access.owns(request.identity, request.namespace):
        found = [package for package in found if package.publish and not package.binding]
    if page.count:
        return Reply(200, b'{"packages":%d}' % max(0, len(found) - page.skip))
    return Reply(200, encode([_row(package) for package in found[page.skip : page.skip + page.limit]]))


def _row(package: PackageEntity) -> dict[str, object]:
    return {
        "namespace": package.namespace,
        "name": package.name,
        "version": package.version,
        "publish": package.publish,
        "annotations": package.annotations,
        "binding": package.binding or False,
        "updated": package.updated,
    }


async def get(api: Api, request: Request) -> Reply:
    """GET a package with its actions and feeds."""
    doc_id = f"{request.namespace}/{request.name}"
    if access.owns(request.identity, request.namespace) and await api.deps.entities.get(doc_id) is None:
        raise errors.missing_named(doc_id)
    _, package = await access.require_package(request.identity, api.entities, doc_id)
    shown: dict[str, list[dict[str, object]]] = {"actions": [], "feeds": []}
    for collection, row in await api.entities.rows(ActionEntity, doc_id, _member):
        shown[collection].append(row)
    return Reply(200, encode({**structs.asdict(package), **shown}))


def _member(action: ActionEntity) -> tuple[str, dict[str, object]]:
    """Where an action is shown, and how: one with the annotation `feed` is a feed."""
    row: dict[str, object] = {"name": action.name, "version": action.version, "annotations": action.annotations}
    return "feeds" if any(pair.key == "feed" for pair in action.annotations) else "actions", row


async def put(api: Api, request: Request) -> Reply:
    """PUT a package: annotations and parameters are replaced as a whole."""
    doc_id = f"{request.namespace}/{request.name}"
    access.require_own(request.identity, doc_id)
    overwrite, given = await read_put(api, request)
    if request.name == _RESERVED:
        raise errors.failed(400, errors.PACKAGE_RESERVED)
    if given.binds:
        raise errors.not_yet("Package bindings")
    found = await api.entities.find(doc_id, PackageEntity)
    if found is not None and not overwrite:
        raise errors.exists_already()
    package = structs.replace(_changed(request, found[1] if found else None, given), updated=api.now())
    await api.entities.save(package, found[0] if found else None)
    api.targets.changed(doc_id)
    return Reply(200, encode(package))


def _changed(request: Request, old: PackageEntity | None, given: EntityPut) -> PackageEntity:
    if old is None:
        old = PackageEntity(request.namespace, request.name, {}, [], "", False, [], 0)
    return structs.replace(
        old,
        version=given.version or (next_version(old.version) if old.version else FIRST_VERSION),
        publish=old.publish if given.publish is None else given.publish,
        annotations=old.annotations if given.annotations is None else given.annotations,
        parameters=old.parameters if given.parameters is None else given.parameters,
    )


async def delete(api: Api, request: Request) -> Reply:
    """DELETE a package; `force=true` takes its actions with it."""
    doc_id = f"{request.namespace}/{request.name}"
    access.require_own(request.identity, doc_id)
    force = request.query.flag("force")
    revision, package = await api.entities.load(doc_id, PackageEntity)
    members = await api.entities.rows(ActionEntity, doc_id, lambda action: action.name)
    if members and not force:
        raise errors.package_not_empty(len(members))
    for name in members:
        action_id = f"{doc_id}/{name}"
        found = await api.entities.find(action_id, ActionEntity)
        if found is not None:
            await api.entities.delete(action_id, found[0])
            api.targets.changed(action_id)
    await api.entities.delete(doc_id, revision)
    api.targets.changed(doc_id)
    return Reply(200, encode(package))
