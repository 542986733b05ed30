"""POST to a trigger: fire it (openwhisk-controller.md 1.6)."""

from __future__ import annotations

from controller import errors, limits
from controller.context import Api
from controller.cors import Cors
from controller.entities import ACTIVE, TriggerEntity
from controller.http import Reply, Request
from controller.triggers import own_id


async def fire(api: Api, request: Request) -> Reply:
    """POST triggers/NAME: 204 without an active rule, and nothing is recorded. Raises ApiError 400 to 429."""
    api.throttles.fire(request.identity)
    doc_id = own_id(request)
    body, value = await request.json(limits.payload(request.identity, api.limits))
    if body and not isinstance(value, dict):
        raise errors.malformed(errors.NOT_AN_OBJECT)
    _, trigger = await api.entities.load(doc_id, TriggerEntity)
    if any(link.status == ACTIVE for link in trigger.links.values()):
        raise errors.not_yet("Fires of triggers with active rules")
    return Reply(204, b"", Cors.REST)
