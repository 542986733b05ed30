"""Triggers: create, update, read, list, delete (openwhisk-controller.md 1.6). Firing is in `fire`."""

from __future__ import annotations

import msgspec
from marshmallow import ValidationError
from msgspec import structs

from controller import access, cron, errors, names
from controller.context import Api
from controller.entities import Pair, TriggerEntity, encode
from controller.http import Reply, Request
from controller.put import FIRST_VERSION, next_version, read_put
from controller.put_schema import EntityPut

COLLECTION = "triggers"


async def list_all(api: Api, request: Request) -> Reply:
    """GET triggers: newest change first."""
    access.require_own(request.identity, request.namespace)
    page = request.query.page(COLLECTION, api.limits.list_max, api.limits.list_default)
    if page.count:
        count = max(0, await api.entities.count(COLLECTION, request.namespace) - page.skip)
        return Reply(200, b'{"triggers":%d}' % count)
    return Reply(200, encode(await api.entities.rows(TriggerEntity, request.namespace, _row, limit=page.limit, skip=page.skip)))


def _row(trigger: TriggerEntity) -> dict[str, object]:
    return {
        "namespace": trigger.namespace,
        "name": trigger.name,
        "version": trigger.version,
        "publish": trigger.publish,
        "annotations": trigger.annotations,
        "updated": trigger.updated,
    }


async def get(api: Api, request: Request) -> Reply:
    """GET a trigger with the rules that it knows."""
    doc_id = own_id(request)
    _, trigger = await api.entities.load(doc_id, TriggerEntity)
    return Reply(200, encode(trigger))


async def put(api: Api, request: Request) -> Reply:
    """PUT a trigger: annotations and parameters are replaced as a whole, its rules stay."""
    doc_id = own_id(request)
    overwrite, given = await read_put(api, request, COLLECTION)
    if api.deps.cron:
        _check_schedule(given.annotations or [])
    async with api.entities.turn(doc_id):
        found = await api.entities.find(doc_id, TriggerEntity)
        if found is not None and not overwrite:
            raise errors.exists_already()
        if found is None:
            _check_feed(given.annotations or [])
            old = TriggerEntity(request.namespace, request.name, [], {}, "", False, [], 0)
        else:
            old = found[1]
        trigger = structs.replace(_changed(old, given), updated=api.now())
        await api.entities.save(trigger, found[0] if found else None)
    return Reply(200, encode(trigger))


def _check_feed(annotations: list[Pair]) -> None:
    """The annotation `feed` names an action; calling it is the client's part. Raises ApiError 400."""
    for pair in annotations:
        if pair.key != "feed":
            continue
        try:
            names.path(msgspec.json.decode(pair.value))
        except ValidationError:
            raise errors.failed(400, errors.FEED_ILLEGAL) from None


def _check_schedule(annotations: list[Pair]) -> None:
    """Raises ApiError 400 for an annotation `cron` that is no schedule."""
    text = cron.text_of(annotations)
    try:
        if text is not None:
            cron.parse(text)
    except ValueError as error:
        raise errors.failed(400, str(error)) from None


def _changed(old: TriggerEntity, given: EntityPut) -> TriggerEntity:
    return structs.replace(
        old,
        version=given.version or (next_version(old.version) if old.version else FIRST_VERSION),
        publish=old.publish if given.publish is None else given.publish,
        annotations=old.annotations if given.annotations is None else given.annotations,
        parameters=old.parameters if given.parameters is None else given.parameters,
    )


async def delete(api: Api, request: Request) -> Reply:
    """DELETE a trigger; its rules stay and are inactive."""
    doc_id = own_id(request)
    async with api.entities.turn(doc_id):
        revision, trigger = await api.entities.load(doc_id, TriggerEntity)
        await api.entities.delete(doc_id, revision)
    return Reply(200, encode(trigger))


def own_id(request: Request) -> str:
    """The id of the trigger or rule that the path names. Raises ApiError 403 if it is somebody else's."""
    doc_id = f"{request.namespace}/{request.name}"
    access.require_own(request.identity, doc_id)
    return doc_id
