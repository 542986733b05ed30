"""Activations that the platform gave up (status 3: poison, interrupted, no way to run it): listed, and asked for once more.

What an activation was asked to do is in the journal, for as long as that is kept; nowhere else are arguments stored.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from msgspec import UNSET, UnsetType

from controller import access, errors, names
from controller.context import Api
from controller.http import Reply, Request
from controller.invoke import accepted, accepted_reply
from messages.composition import Spent, TriggerPlan, decode_plan
from messages.events import Accepted
from messages.wire import ActivationMessage, ActivationRecord, decode_message
from store.contract import ActivationQuery
from transport.contract import Invocation

GIVEN_UP = 3
"""Status code of what is no fault of the action's: a whisk internal error."""

_PART, _MOST = 200, 50
"""Records read at a time, and how often: the 10,000 newest are looked through."""


async def listed(api: Api, query: ActivationQuery) -> list[ActivationRecord]:
    """Those that were given up among what the query asks for, newest first."""
    found: list[ActivationRecord] = []
    wanted = query.skip + (query.limit or _PART)
    async for record in _newest(api, query):
        if record.response.status_code == GIVEN_UP:
            found.append(record)
            if len(found) == wanted:
                break
    return found[query.skip :]


async def _newest(api: Api, query: ActivationQuery) -> AsyncIterator[ActivationRecord]:
    for part in range(_MOST):
        page = msgspec.structs.replace(query, limit=_PART, skip=part * _PART)
        records = await api.deps.activations.list(page)
        for record in records:
            yield record
        if len(records) < _PART:
            return


async def retry(api: Api, request: Request) -> Reply:
    """POST activations/ID/retry: what was given up is asked for once more, under an id of its own."""
    activation_id = request.package
    names.check_activation_id(activation_id)
    access.require_own(request.identity, f"{request.namespace}/{activation_id}")
    if request.name != "retry":
        raise errors.unknown_path()
    api.throttles.invocation(request.identity)
    record = await api.deps.activations.get(request.namespace, activation_id)
    if record is None:
        raise errors.missing()
    if record.response.status_code != GIVEN_UP:
        raise errors.failed(409, errors.NOT_GIVEN_UP)
    event = await api.deps.accepted(activation_id)
    if event is None:
        raise errors.failed(410, errors.NOT_RETAINED)
    invocation = await accepted(request, _again(api, event, _message(api, request, event)))
    invocation.forget()
    return accepted_reply(invocation.id)


def _message(api: Api, request: Request, event: Accepted) -> ActivationMessage:
    """The same work for the same namespace, as a request of its own: part of nothing, nobody waits."""
    return msgspec.structs.replace(
        decode_message(event.message),
        transid=[request.transid, request.start],
        user=request.identity,
        activation_id=api.deps.new_activation_id(),
        root_controller_index=api.deps.controller,
        blocking=False,
        cause=UNSET,
        trace_context=UNSET,
    )


async def _again(api: Api, event: Accepted, message: ActivationMessage) -> Invocation:
    if isinstance(event.plan, UnsetType):
        return await api.deps.invoker.invoke(message)
    plan = decode_plan(event.plan)
    assert not isinstance(plan, TriggerPlan), "a trigger's activation is never given up"
    return await api.deps.compositions.compose(message, msgspec.structs.replace(plan, spent=Spent(), depth=0))
