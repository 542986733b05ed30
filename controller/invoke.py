"""POST to an action: arguments merged, the message built, handed to the invoker, its answer waited for."""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec
from msgspec import UNSET, Raw, UnsetType

from controller import access, errors, idempotency, limits
from controller.context import Api
from controller.http import ClientGone, Reply, Request
from controller.idempotency import Repeatable
from controller.targets import Target, plan_of
from messages.record import api_form
from messages.wire import EMPTY_OBJECT, ActivationMessage, ActivationRecord, Identity
from transport.contract import Invocation, Refused

ACTIVATION_ID = b"x-openwhisk-activation-id"
_STATUS = {0: 200, 1: 502, 2: 502, 3: 500}
"""HTTP status of a blocking invocation by the activation's status code (openwhisk-controller.md 4.4)."""

_arguments = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode


async def invoke(api: Api, request: Request) -> Reply:
    """POST actions/NAME. Raises ApiError 400, 403, 404, 409, 413, 415, 429, 503; ClientGone."""
    query = request.query
    api.throttles.invocation(request.identity)
    if not request.package:
        access.require_own(request.identity, f"{request.namespace}/{request.name}")
    limit = limits.payload(request.identity, api.limits)
    if request.announced > limit:
        await request.body(limit)
    blocking, only_result = query.flag("blocking"), query.flag("result")
    wait = query.wait(api.limits.blocking_wait)
    body, value = await request.json(limit)
    if body and not isinstance(value, dict):
        raise errors.malformed(errors.NOT_AN_OBJECT)
    target = await api.targets.find(request.identity, request.namespace, request.package, request.name)
    if target.locked and value and not target.locked.isdisjoint(value):
        raise errors.failed(400, errors.RESERVED_PARAMETERS)
    repeatable = idempotency.read(request, target, body)
    record = await idempotency.earlier(api, request, repeatable) if repeatable else None
    if record is None:
        merged = content(target, body, bool(value))
        invocation = await start(api, request, request.identity, target, merged, blocking, repeatable)
        if not blocking:
            invocation.forget()
            return accepted_reply(invocation.id)
        record = await wait_for(request, invocation, wait)
        if record is None:
            return accepted_reply(invocation.id)
        if repeatable:
            idempotency.check(record, repeatable)
    return _record_reply(record, only_result) if blocking else accepted_reply(record.activation_id)


def content(target: Target, body: bytes, arguments: bool) -> Raw:
    """The merged arguments: the body's bytes as they came if there is nothing to merge. The caller's values win."""
    if not target.defaults:
        return Raw(body) if arguments else EMPTY_OBJECT
    if not arguments:
        return target.content
    return Raw(_encode({**target.defaults, **_arguments(body)}))


async def start(
    api: Api, request: Request, user: Identity, target: Target, arguments: Raw, blocking: bool, repeatable: Repeatable | None = None
) -> Invocation:
    """Hand the work in, on behalf of `user`, who need not be the caller. Raises ApiError 403, 413, 429, 503; ClientGone."""
    foreign = [name for name in target.components if not access.owns_id(user, name)]
    if foreign:
        await access.require_readable(user, api.entities, foreign)
    message = ActivationMessage(
        transid=[request.transid, request.start],
        action=target.action,
        revision=target.executable.revision,
        user=user,
        activation_id=repeatable.activation_id if repeatable else api.deps.new_activation_id(),
        root_controller_index=api.deps.controller,
        blocking=blocking,
        content=arguments,
        init_args=target.init_args,
        locked_args=target.locked_args(arguments),
        trace_context=repeatable.trace_context if repeatable else UNSET,
    )
    plan = plan_of(target, api.limits.sequence_length)
    if plan is None:
        return await accepted(request, api.deps.invoker.invoke(message, target.executable))
    return await accepted(request, api.deps.compositions.compose(message, plan))


async def accepted(request: Request, handing_in: Awaitable[Invocation]) -> Invocation:
    """The invocation once it is accepted. Raises ApiError 413, 429, 503; ClientGone."""
    try:
        return await handing_in
    except Refused as refusal:
        raise errors.failed(refusal.status, str(refusal) or errors.OVERLOADED) from None
    except ConnectionAbortedError:
        await request.abort()
        raise ClientGone from None


async def wait_for(request: Request, invocation: Invocation, wait: float) -> ActivationRecord | None:
    """The record, or None when the wait is over. Raises ClientGone as soon as nobody waits any more."""
    try:
        with request.while_there():
            return await invocation.result(wait)
    except ConnectionAbortedError:
        await request.abort()
        raise ClientGone from None
    finally:
        invocation.forget()


def accepted_reply(activation_id: str) -> Reply:
    """202 with the id."""
    header = activation_id.encode()
    return Reply(202, b'{"activationId":"%b"}' % header, headers=((ACTIVATION_ID, header),))


def _record_reply(record: ActivationRecord, only_result: bool) -> Reply:
    """An array as result is answered bare, even if the record was asked for: upstream's rule."""
    result = record.response.result
    shown = b"{}" if isinstance(result, UnsetType) else bytes(result)
    bare = only_result or shown.lstrip()[:1] == b"["
    header = ((ACTIVATION_ID, record.activation_id.encode()),)
    return Reply(_STATUS[record.response.status_code], shown if bare else api_form(record), headers=header)
