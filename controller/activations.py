"""Activation records: lists, records, logs and results (openwhisk-controller.md 1.9)."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from controller import access, dead_letters, errors, names, tail
from controller.context import Api
from controller.cors import Cors
from controller.http import Reply, Request
from controller.stream import Answer, Stream, accepts
from messages.record import api_form, api_response, summary
from messages.wire import ActivationRecord
from store.contract import ActivationQuery

COLLECTION = "activations"
_encode = msgspec.json.Encoder().encode


async def list_all(api: Api, request: Request) -> Reply:
    """GET activations: newest first, summaries unless `docs`; with `dead=true` those that the platform gave up."""
    access.require_own(request.identity, request.namespace)
    page = request.query.page(COLLECTION, api.limits.list_max, api.limits.list_default)
    docs = request.query.flag("docs")
    name = request.query.activation_name()
    since, upto = request.query.instant("since"), request.query.instant("upto")
    if page.count and docs:
        raise errors.failed(400, errors.DOCS_WITH_COUNT)
    query = ActivationQuery(request.namespace, name, since, upto, page.limit, page.skip, full=docs)
    if page.count:
        count = max(0, await api.deps.activations.count(query) - page.skip)
        return Reply(200, b'{"activations":%d}' % count)
    if request.query.flag("dead"):
        return Reply(200, b"[" + b",".join(map(summary, await dead_letters.listed(api, query))) + b"]")
    rows = map(api_form if docs else summary, await api.deps.activations.list(query))
    return Reply(200, b"[" + b",".join(rows) + b"]")


async def get(api: Api, request: Request) -> Reply:
    """GET activations/ID. With `pending=true` an unfinished activation is answered by its state instead of 404."""
    activation_id = _authorized(request, request.name)
    pending = request.query.flag("pending")
    record = await api.deps.activations.get(request.namespace, activation_id)
    if record is not None:
        return Reply(200, api_form(record))
    state = tail.pending(api, request.namespace, activation_id) if pending else None
    if state is None:
        raise errors.missing()
    return Reply(200, _encode({"activationId": activation_id, **state}))


async def part(api: Api, request: Request) -> Answer:
    """GET activations/ID/logs and …/result. Logs as a stream of events follow what has not ended."""
    activation_id = _authorized(request, request.package)
    if request.name not in ("logs", "result"):
        raise errors.unknown_path()
    record: ActivationRecord | None = await api.deps.activations.get(request.namespace, activation_id)
    if request.name == "logs" and accepts(request):
        if record is None and tail.pending(api, request.namespace, activation_id) is None:
            raise errors.missing()
        return Stream(tail.followed(api, request.namespace, activation_id, record), cors=Cors.REST)
    if record is None:
        raise errors.missing()
    if request.name == "result":
        return Reply(200, api_response(record.response))
    return Reply(200, _encode({"logs": [] if record.logs is UNSET else record.logs}))


def _authorized(request: Request, activation_id: str) -> str:
    names.check_activation_id(activation_id)
    access.require_own(request.identity, f"{request.namespace}/{activation_id}")
    return activation_id
