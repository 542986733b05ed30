"""Namespaces and their limits."""

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
