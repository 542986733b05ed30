"""GET /admin/status: the node's state as one document, or as a stream of them (`Accept: text/event-stream`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import msgspec

from controller.context import Api
from controller.cors import Cors
from controller.http import Reply, Request
from controller.stream import Answer, Stream, accepts, event

EVERY = 0.5
"""Seconds between two looks at the node: what a person can follow; a look costs about a millisecond."""

AT_LEAST = 5.0
"""Seconds after which a document is sent though nothing has changed: the reader knows by it that the node lives."""

_VOLATILE = ("uptime", "idle_s")
"""Fields that change by themselves, of the document and of each container: no reason to send one."""

_encode = msgspec.json.Encoder().encode


def answer(api: Api, request: Request, namespace: str | None) -> Answer:
    """The state of `namespace`, or of the node if that is None."""
    if accepts(request):
        return Stream(documents(api, namespace))
    return Reply(200, _encode(api.deps.operator.status(namespace)), Cors.NONE)


async def documents(api: Api, namespace: str | None) -> AsyncGenerator[bytes, None]:
    """An event `status` whenever something changed, looked at every EVERY seconds, until the node has ended."""
    shown: dict[str, object] = {}
    sent = float("-inf")
    while True:
        document = api.deps.operator.status(namespace)
        now = time.monotonic()
        steady = _steady(document)
        if steady != shown or now - sent >= AT_LEAST:
            shown, sent = steady, now
            yield event(_encode(document), "status")
        if document.get("ended"):
            return
        await asyncio.sleep(EVERY)


def _steady(document: dict[str, object]) -> dict[str, object]:
    steady = {name: value for name, value in document.items() if name not in _VOLATILE}
    containers = document.get("containers")
    if isinstance(containers, list):
        steady["containers"] = [_steady(container) for container in containers]
    return steady
