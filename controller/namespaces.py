"""Namespaces, their limits, and the collections that this release only lists."""

from __future__ import annotations

import msgspec

from controller import access, errors
from controller.context import Api
from controller.http import Reply, Request
from controller.limits import namespace_limits


async def own(api: Api, request: Request) -> Reply:
    """GET namespaces: exactly the caller's."""
    return Reply(200, msgspec.json.encode([request.identity.namespace.name]))


async def limits(api: Api, request: Request) -> Reply:
    """GET namespaces/NS/limits: what applies to the caller."""
    access.require_own(request.identity, request.namespace)
    return Reply(200, msgspec.json.encode(namespace_limits(request.identity, api.limits)))


async def limits_inner(api: Api, request: Request) -> Reply:
    """GET namespaces/NS/limits/x: refused by upstream too."""
    raise errors.rejected(400, errors.LIMITS_INNER)


async def list_triggers(api: Api, request: Request) -> Reply:
    """GET triggers: none can be made yet."""
    return _nothing(api, request, "triggers")


async def list_rules(api: Api, request: Request) -> Reply:
    """GET rules: none can be made yet."""
    return _nothing(api, request, "rules")


def _nothing(api: Api, request: Request, collection: str) -> Reply:
    access.require_own(request.identity, request.namespace)
    page = request.query.page(collection, api.limits.list_max, api.limits.list_default)
    return Reply(200, msgspec.json.encode({collection: 0}) if page.count else b"[]")


async def absent(api: Api, request: Request) -> Reply:
    """Any trigger or rule: there is none."""
    access.require_own(request.identity, f"{request.namespace}/{request.name}")
    raise errors.missing()


async def unsupported(api: Api, request: Request) -> Reply:
    """PUT of a trigger or a rule."""
    access.require_own(request.identity, f"{request.namespace}/{request.name}")
    raise errors.not_yet("Triggers and rules")
