"""POST to a trigger: fire it (openwhisk-controller.md 1.6, 4.7).

The rules are taken as they stand now: they and the ids of what they start are journaled before anything is answered.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from controller import errors, limits
from controller.context import Api
from controller.cors import Cors
from controller.entities import ACTIVE, TriggerEntity
from controller.http import Reply, Request
from controller.invoke import accepted, accepted_reply
from controller.triggers import own_id
from messages.composition import Rule, TriggerPlan, child_id
from messages.wire import EMPTY_OBJECT, ActionName, ActivationMessage

SECRET_HEADERS = frozenset({b"authorization", b"proxy-authorization"})
"""Not handed to the rules' actions. Upstream does; what they return is stored in plain sight."""

BODY_HEADERS = frozenset({b"content-type", b"content-length", b"transfer-encoding"})
"""They belong to the body, which upstream's HTTP library keeps apart."""

_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


async def fire(api: Api, request: Request) -> Reply:
    """POST triggers/NAME: 204 without an active rule, and nothing is recorded. Raises ApiError 400 to 429, 503; ClientGone."""
    api.throttles.fire(request.identity)
    doc_id = own_id(request)
    body, value = await request.json(limits.payload(request.identity, api.limits))
    if body and not isinstance(value, dict):
        raise errors.malformed(errors.NOT_AN_OBJECT)
    _, trigger = await api.entities.load(doc_id, TriggerEntity)
    payload = Raw(body) if body else EMPTY_OBJECT
    activation_id = api.deps.new_activation_id()
    plan = plan_of(trigger, activation_id, payload)
    if not any(rule.child for rule in plan.rules):
        return Reply(204, b"", Cors.REST)
    message = ActivationMessage(
        transid=[request.transid, request.start],
        action=ActionName(trigger.namespace, trigger.name, trigger.version),
        revision=None,
        user=request.identity,
        activation_id=activation_id,
        root_controller_index=api.deps.controller,
        blocking=False,
        content=arguments(trigger, request.headers, payload),
    )
    invocation = await accepted(request, api.deps.compositions.compose(message, plan))
    invocation.forget()
    return accepted_reply(activation_id)


def plan_of(trigger: TriggerEntity, activation_id: str, payload: Raw) -> TriggerPlan:
    """The rules as they stand; only active ones get an id."""
    rules = [
        Rule(name, link.action.doc_id, child_id(activation_id, name, 0) if link.status == ACTIVE else "")
        for name, link in trigger.links.items()
    ]
    return TriggerPlan(rules, payload)


def arguments(trigger: TriggerEntity, headers: dict[bytes, bytes], payload: Raw) -> Raw:
    """What the rules' actions get: the trigger's parameters, the request's headers, and over them what was sent."""
    kept = {name: text for name, text in headers.items() if name not in SECRET_HEADERS | BODY_HEADERS}
    shown = {name.decode("latin-1"): text.decode("latin-1") for name, text in kept.items()}
    own = {pair.key: pair.value for pair in trigger.parameters}
    return Raw(_encode({**own, "__ow_headers": shown, **_fields(payload)}))
