"""What monitoring hears of each activation: upstream's EventMessage (openwhisk-invoker.md 1.8). Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from messages.events import Finished
from messages.wire import ActivationMessage, Wire


class ActivationBody(Wire, frozen=True, omit_defaults=False):
    """How an activation ended. Durations in ms, memory in MB."""

    name: str
    activation_id: str
    status_code: int
    duration: int
    wait_time: int
    init_time: int
    kind: str
    conductor: bool
    memory: int
    caused_by: str | UnsetType = UNSET
    size: int | UnsetType = UNSET
    user_defined_status_code: int | UnsetType = UNSET


class EventMessage(Wire, frozen=True, omit_defaults=False):
    """One event. `timestamp` in epoch ms; `user_id` is the namespace's uuid."""

    source: str
    event_type: str
    subject: str
    namespace: str
    user_id: str
    timestamp: int
    body: ActivationBody


def activation_event(source: str, message: ActivationMessage, finished: Finished, now_ms: int) -> EventMessage:
    """The event of one activation. What isn't known is 0, as upstream."""
    user = message.user
    body = ActivationBody(
        name=message.action.fqn,
        activation_id=message.activation_id,
        status_code=finished.status_code,
        duration=finished.end - finished.start,
        wait_time=finished.wait_time or 0,
        init_time=finished.init_time or 0,
        kind=finished.kind,
        conductor=False,
        memory=0 if isinstance(finished.limits, UnsetType) else finished.limits.memory,
        caused_by=UNSET if message.cause is UNSET else "sequence",
        size=finished.size,
        user_defined_status_code=_user_status(finished),
    )
    return EventMessage(source, "Activation", user.subject, user.namespace.name, user.namespace.uuid, now_ms, body)


class _Result(Struct):
    error: Any = UNSET
    statusCode: Any = UNSET  # noqa: N815 - as results spell it


def _user_status(finished: Finished) -> int | UnsetType:
    """`error.statusCode` of the result, else its `statusCode`; what is no number counts as 400."""
    if isinstance(finished.result, UnsetType):
        return UNSET
    try:
        found = msgspec.json.decode(finished.result, type=_Result)
    except msgspec.DecodeError:
        return UNSET  # an array, say
    of_error = isinstance(found.error, dict) and "statusCode" in found.error
    code = found.error["statusCode"] if of_error else found.statusCode
    if isinstance(code, UnsetType):
        return UNSET
    try:
        return int(str(code))
    except (TypeError, ValueError, OverflowError):
        return 400
