"""Rules: create, update, read, list, enable, disable, delete (openwhisk-controller.md 1.7).

A rule is two documents: its own, and a link in its trigger's, which alone says whether it is active and is all that a fire
looks at. The link is written first and removed first: a node killed in between leaves at worst a link whose rule can be
created again, or a rule that is inactive.
"""

from __future__ import annotations

from msgspec import structs

from controller import access, errors, names
from controller.context import Api
from controller.entities import ACTIVE, INACTIVE, FullName, RuleEntity, RuleLink, TriggerEntity, decode, encode, entity_type
from controller.errors import ApiError
from controller.http import TEXT, Reply, Request
from controller.json_text import JsonError, read_json
from controller.put import FIRST_VERSION, next_version, read_put
from controller.put_schema import EntityPut
from controller.triggers import own_id

COLLECTION = "rules"
_CLASSES = {"action": "WhiskAction", "package": "WhiskPackage", "trigger": "WhiskTrigger", "rule": "WhiskRule"}
_EXPECTED = {"action": "WhiskActionMetaData", "trigger": "WhiskTrigger"}


async def list_all(api: Api, request: Request) -> Reply:
    """GET rules: whole documents, which don't have the status."""
    access.require_own(request.identity, request.namespace)
    page = request.query.page(COLLECTION, api.limits.list_max, api.limits.list_default)
    if page.count:
        count = max(0, await api.entities.count(COLLECTION, request.namespace) - page.skip)
        return Reply(200, b'{"rules":%d}' % count)
    found = await api.entities.rows(RuleEntity, request.namespace, lambda rule: rule, limit=page.limit, skip=page.skip)
    return Reply(200, encode(found))


async def get(api: Api, request: Request) -> Reply:
    """GET a rule, with the status that its trigger knows."""
    doc_id = own_id(request)
    _, rule = await api.entities.load(doc_id, RuleEntity)
    return _shown(rule, _status(await _trigger(api, rule.trigger), doc_id))


def _shown(rule: RuleEntity, status: str) -> Reply:
    return Reply(200, encode({**structs.asdict(rule), "status": status}))


async def _trigger(api: Api, name: FullName) -> TriggerEntity | None:
    doc = await api.entities.stored(name.doc_id)
    return decode(doc, TriggerEntity) if doc is not None and entity_type(doc) == "trigger" else None


def _status(trigger: TriggerEntity | None, rule_id: str) -> str:
    link = trigger.links.get(rule_id) if trigger is not None else None
    return INACTIVE if link is None else link.status


async def put(api: Api, request: Request) -> Reply:
    """PUT a rule: a new one is active, a changed one keeps its status and what the body leaves out."""
    doc_id = own_id(request)
    overwrite, given = await read_put(api, request, COLLECTION)
    trigger, action = _resolved(given.trigger, request.namespace), _resolved(given.action, request.namespace)
    await access.require_readable(
        request.identity, api.entities, [action.doc_id] if action else [], [trigger.doc_id] if trigger else []
    )  # fmt: skip
    async with api.entities.turn(doc_id):
        found = await api.entities.find(doc_id, RuleEntity)
        if found is not None and not overwrite:
            raise errors.exists_already()
        rule = await _wanted_rule(api, request, found[1] if found else None, structs.replace(given, trigger=trigger, action=action))
        status = await _link(api, doc_id, rule, found[1] if found else None)
        try:
            await api.entities.save(rule, found[0] if found else None)
        except ApiError:
            await _relink(api, doc_id, rule)
            raise
    return _shown(rule, status)


async def _wanted_rule(api: Api, request: Request, old: RuleEntity | None, given: EntityPut) -> RuleEntity:
    """The rule as it is to be; what it refers to is there. Raises ApiError 400, 409."""
    trigger, action = given.trigger, given.action
    if old is not None:
        trigger, action = trigger or old.trigger, action or old.action
    if trigger is None or action is None:
        raise errors.failed(400, errors.RULE_INCOMPLETE)
    await _check_referent(api, "trigger", trigger.doc_id, trigger.doc_id)
    await _check_referent(api, "action", action.doc_id, await api.entities.behind(action.doc_id))
    return structs.replace(_changed(request, old, given, trigger, action), updated=api.now())


def _resolved(name: FullName | None, namespace: str) -> FullName | None:
    return None if name is None else FullName.of(names.resolved(name.doc_id, namespace))


async def _check_referent(api: Api, kind: str, named: str, doc_id: str) -> None:
    doc = await api.entities.stored(doc_id)
    if doc is None:
        raise errors.referent_missing(kind, named)
    found = entity_type(doc)
    if found != kind:
        raise errors.referent_of_other_kind(_CLASSES.get(found, found), _EXPECTED[kind])


def _changed(request: Request, old: RuleEntity | None, given: EntityPut, trigger: FullName, action: FullName) -> RuleEntity:
    if old is None:
        old = RuleEntity(request.namespace, request.name, trigger, action, "", False, [], 0)
    return structs.replace(
        old,
        trigger=trigger,
        action=action,
        version=given.version or (next_version(old.version) if old.version else FIRST_VERSION),
        publish=old.publish if given.publish is None else given.publish,
        annotations=old.annotations if given.annotations is None else given.annotations,
    )


async def _link(api: Api, rule_id: str, rule: RuleEntity, old: RuleEntity | None) -> str:
    """Make the trigger know the rule, and one that it left forget it; the status. Raises ApiError 400, 409."""
    if old is None:
        status = ACTIVE
    else:
        status = _status(await _trigger(api, old.trigger), rule_id)
        if old.trigger != rule.trigger:
            await _forget(api, rule_id, old.trigger)
    try:
        await _set_link(api, rule.trigger, rule_id, RuleLink(rule.action, status))
    except ApiError as error:
        raise errors.referent_missing("trigger", rule.trigger.doc_id) if error.status == 404 else error from None
    return status


async def _relink(api: Api, rule_id: str, failed: RuleEntity) -> None:
    """Somebody else wrote or deleted the rule first: its trigger is to know what is stored, not what was tried."""
    found = await api.entities.find(rule_id, RuleEntity)
    if found is None or found[1].trigger != failed.trigger:
        await _forget(api, rule_id, failed.trigger)
    else:
        status = _status(await _trigger(api, failed.trigger), rule_id)
        await _set_link(api, failed.trigger, rule_id, RuleLink(found[1].action, status))


async def _set_link(api: Api, trigger: FullName, rule_id: str, link: RuleLink | None) -> None:
    """Put this link in place of what the trigger has for the rule; None takes it away. Raises ApiError 404, 409."""

    def change(old: TriggerEntity) -> TriggerEntity:
        links = {key: kept for key, kept in old.links.items() if key != rule_id}
        if link is not None:
            links[rule_id] = link
        return structs.replace(old, rules=links, updated=api.now())

    await api.entities.amend(trigger.doc_id, TriggerEntity, change)


async def _forget(api: Api, rule_id: str, name: FullName) -> None:
    trigger = await _trigger(api, name)
    if trigger is None or rule_id not in trigger.links:
        return
    try:
        await _set_link(api, name, rule_id, None)
    except ApiError as error:
        if error.status != 404:
            raise


async def set_status(api: Api, request: Request) -> Reply:
    """POST a rule: `{"status": "active"}` or `"inactive"`; kept by the trigger, so that one must exist to activate it."""
    rule_id = own_id(request)
    status = await _wanted(request)
    async with api.entities.turn(rule_id):
        _, rule = await api.entities.load(rule_id, RuleEntity)
        trigger = await _trigger(api, rule.trigger)
        if _status(trigger, rule_id) != status:
            if trigger is None:
                raise errors.failed(404, errors.RULE_WITHOUT_TRIGGER)
            try:
                await _set_link(api, rule.trigger, rule_id, RuleLink(rule.action, status))
            except ApiError as error:
                raise errors.failed(404, errors.RULE_WITHOUT_TRIGGER) if error.status == 404 else error from None
    return Reply(200, b"OK", content_type=TEXT)


async def _wanted(request: Request) -> str:
    body, given = await request.json()
    if not body:
        try:
            read_json(body)
        except JsonError as error:
            raise errors.malformed(str(error)) from None
    if not isinstance(given, dict) or "status" not in given:
        raise errors.malformed(errors.RULE_STATUS_MISSING)
    status = given["status"]
    if not isinstance(status, str):
        raise errors.rule_status_no_text(status)
    if status not in (ACTIVE, INACTIVE):
        raise errors.rule_status_unknown(status)
    return status


async def delete(api: Api, request: Request) -> Reply:
    """DELETE a rule, active or not; the answer says inactive."""
    rule_id = own_id(request)
    async with api.entities.turn(rule_id):
        revision, rule = await api.entities.load(rule_id, RuleEntity)
        await _forget(api, rule_id, rule.trigger)
        await api.entities.delete(rule_id, revision)
    return _shown(rule, INACTIVE)
