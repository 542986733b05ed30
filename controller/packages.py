"""Packages and bindings: create, update, read, list, delete (openwhisk-controller.md 1.8)."""

from __future__ import annotations

import msgspec
from msgspec import Raw, structs

from controller import access, errors
from controller.context import Api
from controller.entities import ActionEntity, FullName, PackageEntity, Pair, encode, encrypted
from controller.errors import ApiError
from controller.http import Reply, Request
from controller.put import FIRST_VERSION, next_version, read_put
from controller.put_schema import EntityPut
from messages.wire import Identity

COLLECTION = "packages"
_RESERVED = "default"


async def list_all(api: Api, request: Request) -> Reply:
    """GET packages: of a foreign namespace the public ones."""
    page = request.query.page(COLLECTION, api.limits.list_max, api.limits.list_default)
    found = await api.entities.rows(PackageEntity, request.namespace, lambda package: package)
    if not access.owns(request.identity, request.namespace):
        found = tuple(package for package in found if package.publish and not package.binding)
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
    """GET a package with its actions and feeds; a binding's are those of the package behind it."""
    doc_id = f"{request.namespace}/{request.name}"
    try:
        found = await access.require_package(request.identity, api.entities, doc_id)
    except ApiError as error:
        raise errors.missing_named(doc_id) if error.status == 404 else error from None
    shown: dict[str, list[dict[str, object]]] = {"actions": [], "feeds": []}
    for collection, row in await api.entities.rows(ActionEntity, found.path, _member):
        shown[collection].append(row)
    return Reply(200, encode({**structs.asdict(found.package), "parameters": found.parameters, **shown}))


def _member(action: ActionEntity) -> tuple[str, dict[str, object]]:
    """Where an action is shown, and how: one with the annotation `feed` is a feed."""
    row: dict[str, object] = {"name": action.name, "version": action.version, "annotations": action.annotations}
    return "feeds" if any(pair.key == "feed" for pair in action.annotations) else "actions", row


async def put(api: Api, request: Request) -> Reply:
    """PUT a package: annotations and parameters are replaced as a whole; once bound it stays a binding."""
    doc_id = f"{request.namespace}/{request.name}"
    access.require_own(request.identity, doc_id)
    overwrite, given = await read_put(api, request, COLLECTION)
    if request.name == _RESERVED:
        raise errors.failed(400, errors.PACKAGE_RESERVED)
    target = _target(request, given)
    if target is not None:
        await _check_readable(api, request.identity, target)
    found = await api.entities.find(doc_id, PackageEntity)
    if found is not None and not overwrite:
        raise errors.exists_already()
    if target is not None:
        if found is not None and not found[1].binding:
            raise errors.package_stays()
        await _check_unbound(api, target)
    package = _changed(request, found[1] if found else None, given, target)
    package = structs.replace(package, parameters=encrypted(package.parameters, api.deps.param_keys), updated=api.now())
    await api.entities.save(package, found[0] if found else None)
    api.targets.changed(doc_id)
    return Reply(200, encode(package))


def _target(request: Request, given: EntityPut) -> FullName | None:
    if given.binding is None or given.binding.path != "_":
        return given.binding
    return FullName(request.namespace, given.binding.name)


async def _check_readable(api: Api, identity: Identity, target: FullName) -> None:
    try:
        await access.require_package(identity, api.entities, target.doc_id)
    except ApiError as error:
        if error.status == 404:
            raise errors.failed(400, errors.BINDING_MISSING) from None
        raise errors.binding_to_other() if error.status == 409 else error from None


async def _check_unbound(api: Api, target: FullName) -> None:
    found = await api.entities.find(target.doc_id, PackageEntity)
    if found is None:
        raise errors.failed(400, errors.BINDING_MISSING)
    if found[1].binding:
        raise errors.failed(400, errors.BINDING_OF_BINDING)


def _changed(request: Request, old: PackageEntity | None, given: EntityPut, target: FullName | None) -> PackageEntity:
    """The annotation `binding` is the server's alone."""
    if old is None:
        old = PackageEntity(request.namespace, request.name, {}, [], "", False, [], 0)
    binding = old.binding if target is None else {"namespace": target.path, "name": target.name}
    annotations = old.annotations if given.annotations is None else given.annotations
    own = [Pair("binding", Raw(msgspec.json.encode(binding)))] if binding else []
    return structs.replace(
        old,
        binding=binding,
        version=given.version or (next_version(old.version) if old.version else FIRST_VERSION),
        publish=old.publish if given.publish is None else given.publish,
        annotations=[pair for pair in annotations if pair.key != "binding"] + own,
        parameters=old.parameters if given.parameters is None else given.parameters,
    )


async def delete(api: Api, request: Request) -> Reply:
    """DELETE a package; `force=true` takes its actions with it."""
    doc_id = f"{request.namespace}/{request.name}"
    access.require_own(request.identity, doc_id)
    force = request.query.flag("force")
    revision, package = await api.entities.load(doc_id, PackageEntity)
    members = () if package.binding else await api.entities.rows(ActionEntity, doc_id, lambda action: action.name)
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
