"""Actions: create, update, read, list, delete (openwhisk-controller.md 1.5)."""

from __future__ import annotations

import msgspec
from msgspec import Raw, structs

from controller import access, errors, sequences
from controller.context import Api
from controller.entities import ActionEntity, ExecDoc, PackageEntity, Pair, encode, encrypted, merged
from controller.exec import SEQUENCE
from controller.http import Reply, Request
from controller.put import FIRST_VERSION, next_version, read_put
from controller.put_schema import EntityPut

COLLECTION = "actions"


def entity_path(request: Request) -> str:
    """`namespace` or `namespace/package`: where the entity of this request lives."""
    return f"{request.namespace}/{request.package}" if request.package else request.namespace


async def list_all(api: Api, request: Request) -> Reply:
    """GET actions: all of the namespace, those in packages too."""
    access.require_own(request.identity, request.namespace)
    return await _listed(api, request, request.namespace)


async def list_package(api: Api, request: Request) -> Reply:
    """GET actions/PACKAGE/: the trailing slash makes the name a package's; of a binding what it is bound to."""
    found = await access.require_package(request.identity, api.entities, f"{request.namespace}/{request.name}")
    return await _listed(api, request, found.path)


async def _listed(api: Api, request: Request, path: str) -> Reply:
    page = request.query.page(COLLECTION, api.limits.list_max, api.limits.list_default)
    if page.count:
        count = max(0, await api.entities.count(COLLECTION, path) - page.skip)
        return Reply(200, b'{"actions":%d}' % count)
    return Reply(200, encode(await api.entities.rows(ActionEntity, path, _row, limit=page.limit, skip=page.skip)))


def _row(action: ActionEntity) -> dict[str, object]:
    return {
        "namespace": action.namespace,
        "name": action.name,
        "version": action.version,
        "publish": action.publish,
        "annotations": action.annotations,
        "limits": action.limits,
        "exec": {"binary": action.exec.binary is True},
        "updated": action.updated,
    }


async def get(api: Api, request: Request) -> Reply:
    """GET an action; parameters of its package are folded in. `code=false` leaves the code out, and names the binding if any."""
    path, inherited, bound = request.namespace, list[Pair](), False
    if request.package:
        found = await access.require_package(request.identity, api.entities, entity_path(request))
        path, inherited, bound = found.path, found.parameters, bool(found.package.binding)
    else:
        access.require_own(request.identity, f"{request.namespace}/{request.name}")
    with_code = request.query.flag("code", default=True)
    _, action = await api.entities.load(f"{path}/{request.name}", ActionEntity)
    action = structs.replace(action, parameters=merged(inherited, action.parameters))
    if with_code:
        return Reply(200, encode(action))
    action = structs.replace(action, exec=structs.replace(action.exec, code=None))
    return Reply(200, encode({**structs.asdict(action), "binding": entity_path(request)} if bound else action))


async def delete(api: Api, request: Request) -> Reply:
    """DELETE an action; rules and sequences that name it stay."""
    doc_id = await _writable(api, request)
    revision, action = await api.entities.load(doc_id, ActionEntity)
    await api.entities.delete(doc_id, revision)
    api.targets.changed(doc_id)
    return Reply(200, encode(action))


async def _writable(api: Api, request: Request) -> str:
    """The action's id, for one who may write it. Raises ApiError 403, of its package 400, 404, 409."""
    doc_id = f"{entity_path(request)}/{request.name}"
    access.require_own(request.identity, doc_id)
    if request.package:
        _, package = await api.entities.load(entity_path(request), PackageEntity)
        if package.binding:
            raise errors.failed(400, errors.NOT_ON_BINDING)
    return doc_id


async def put(api: Api, request: Request) -> Reply:
    """PUT an action: create it, or change what the body names."""
    doc_id = await _writable(api, request)
    overwrite, given = await read_put(api, request, COLLECTION)
    if given.limits is not None:
        api.effective(request.identity).check(given.limits)
    given = await _checked_exec(api, request, doc_id, given)
    found = await api.entities.find(doc_id, ActionEntity)
    if found is not None and not overwrite:
        raise errors.exists_already()
    if found is None:
        revision, action = None, _created(api, request, given)
    else:
        revision, action = found[0], _updated(found[1], given)
    kind = api.deps.manifest.resolve(action.exec.kind)
    if kind is not None and kind.deprecated:
        raise errors.kind_deprecated(kind.kind)
    if action.exec.kind != SEQUENCE:
        action = structs.replace(action, parameters=encrypted(action.parameters, api.deps.param_keys))
    action = structs.replace(action, updated=api.now())
    await api.entities.save(action, revision)
    api.targets.changed(doc_id)
    return Reply(200, encode(action))


async def _checked_exec(api: Api, request: Request, doc_id: str, given: EntityPut) -> EntityPut:
    if given.exec is None:
        return given
    if given.exec.components is not None:
        components = await sequences.checked(api, request.identity, doc_id, given.exec.components)
        parameters = [Pair("_actions", Raw(msgspec.json.encode(components)))]
        return structs.replace(given, exec=ExecDoc(SEQUENCE, components=components), parameters=parameters)
    allowed = request.identity.limits.allowed_kinds
    if allowed and given.exec.kind not in allowed:
        raise errors.kind_forbidden(given.exec.kind)
    return given


def _created(api: Api, request: Request, given: EntityPut) -> ActionEntity:
    if given.exec is None:
        raise errors.failed(400, errors.EXEC_UNDEFINED)
    keys = Pair("provide-api-key", Raw(b"false"))
    return ActionEntity(
        namespace=entity_path(request),
        name=request.name,
        exec=given.exec,
        limits=given.limits.over(api.standard_limits) if given.limits else api.standard_limits,
        version=given.version or FIRST_VERSION,
        publish=bool(given.publish),
        annotations=merged([keys], given.annotations or [], [_kind_annotation(given.exec)]),
        parameters=given.parameters or [],
        updated=0,
    )


def _updated(old: ActionEntity, given: EntityPut) -> ActionEntity:
    """Annotations are merged, parameters replaced, limits merged one by one; the version rises unless it is given."""
    code = given.exec or old.exec
    deleted = set(given.delete_annotations or [])
    kept = [pair for pair in old.annotations if pair.key not in deleted]
    parameters = given.parameters
    if parameters is None:
        parameters = [] if old.exec.kind == SEQUENCE != code.kind else old.parameters
    return structs.replace(
        old,
        exec=code,
        limits=given.limits.over(old.limits) if given.limits else old.limits,
        version=given.version or next_version(old.version),
        publish=old.publish if given.publish is None else given.publish,
        annotations=merged(kept, given.annotations or [], [_kind_annotation(code)]),
        parameters=parameters,
    )


def _kind_annotation(code: ExecDoc) -> Pair:
    return Pair("exec", Raw(msgspec.json.encode(code.kind)))
