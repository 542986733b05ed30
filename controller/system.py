"""Routes beside the versioned API: information, health, the operator's view (openwhisk-controller.md 1.3, 1.4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from controller import dashboard_page, errors
from controller import status as show
from controller.auth import basic_pair, same
from controller.context import Api
from controller.cors import Cors
from controller.errors import ApiError
from controller.http import TEXT, Reply, Request
from controller.limits import UNLIMITED
from controller.stream import Answer

Handler = Callable[[Api, Request], Awaitable[Answer]]

_MB = 1 << 20
PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
_encode = msgspec.json.Encoder().encode


def ok(cors: Cors) -> Reply:
    """The answer to every OPTIONS."""
    return Reply(200, b"OK", cors, TEXT)


async def info(api: Api, request: Request) -> Reply:
    """GET /: limits (sizes in bytes, durations in ms) and runtimes."""
    limits = api.limits
    bounds = (("duration", limits.timeout, 1), ("memory", limits.memory, _MB), ("logs", limits.logs, _MB))
    shown: dict[str, int] = {}
    for what, bound, unit in bounds:
        for prefix in ("", "default_"):
            shown[f"{prefix}min_action_{what}"] = bound.min * unit
            shown[f"{prefix}max_action_{what}"] = bound.max * unit
    body = {
        "description": "OpenWhisk",
        "support": {"github": "https://github.com/apache/openwhisk/issues", "slack": "http://slack.openwhisk.org"},
        "api_paths": ["/api/v1"],
        "limits": {
            "actions_per_minute": _rate(limits.invocations_per_minute),
            "triggers_per_minute": _rate(limits.fires_per_minute),
            "concurrent_actions": _rate(limits.concurrent_invocations),
            "sequence_length": limits.sequence_length,
            **shown,
        },
        "runtimes": api.deps.manifest.as_info(),
    }
    return Reply(200, _encode(body), Cors.NONE)


def _rate(value: int | None) -> int:
    return UNLIMITED if value is None else value


async def api_info(api: Api, request: Request) -> Reply:
    """GET /api/v1."""
    info = api.deps.info
    body = {
        "description": "OpenWhisk API",
        "api_version": "1.0.0",
        "api_version_path": "v1",
        "build": info.build,
        "buildno": info.buildno,
        "swagger_paths": {"ui": "/docs", "api-docs": "/api-docs"},
    }
    return Reply(200, _encode(body))


async def ping(api: Api, request: Request) -> Reply:
    """GET /ping: 503 with the reason until the API may answer."""
    check_ready(api)
    return Reply(200, b"pong", Cors.NONE, TEXT)


async def ready(api: Api, request: Request) -> Reply:
    """GET /ready: whether new work is taken. A node that drains takes none, though it still answers."""
    check_ready(api)
    if api.deps.operator.draining():
        raise ApiError(503, errors.DRAINING)
    return Reply(200, b'{"ready":true}', Cors.NONE)


async def live(api: Api, request: Request) -> Reply:
    """GET /live: the process runs."""
    return Reply(200, b'{"live":true}', Cors.NONE)


def check_ready(api: Api) -> None:
    """Raises ApiError 503 with the reason while the API may not do what it is asked."""
    reason = api.deps.invoker.ready()
    if reason is not None:
        raise ApiError(503, reason)


def check_readable(api: Api) -> None:
    """Raises ApiError 503 with the reason while the API can't show what is stored: a full disk is none."""
    reason = api.deps.invoker.readable()
    if reason is not None:
        raise ApiError(503, reason)


async def invokers(api: Api, request: Request) -> Reply:
    """GET /invokers: label → state; empty with the single-process load balancer, as upstream."""
    return Reply(200, _encode(api.deps.operator.invokers()), Cors.SYSTEM)


async def invokers_healthy(api: Api, request: Request) -> Reply:
    """GET /invokers/healthy/count."""
    return Reply(200, b"%d" % _healthy(api)[0], Cors.SYSTEM)


async def invokers_ready(api: Api, request: Request) -> Reply:
    """GET /invokers/ready: 200 only if there are invokers and all of them are up, as upstream."""
    healthy, known = _healthy(api)
    good = known and healthy == known
    body = {"healthy" if good else "unhealthy": f"{healthy}/{known}"}
    return Reply(200 if good else 500, _encode(body), Cors.SYSTEM)


def _healthy(api: Api) -> tuple[int, int]:
    """How many invokers are up, of how many."""
    states = api.deps.operator.invokers().values()
    return sum(state == "up" for state in states), len(states)


async def in_flight(api: Api, request: Request) -> Reply:
    """GET /activation: pairs of activation id and action."""
    return Reply(200, _encode(list(api.deps.operator.in_flight())), Cors.SYSTEM)


async def in_flight_count(api: Api, request: Request) -> Reply:
    """GET /activation/count."""
    return Reply(200, b"%d" % len(api.deps.operator.in_flight()), Cors.SYSTEM)


async def disable(api: Api, request: Request) -> Reply:
    """POST /disable: drains the node; the password is the admin key."""
    pair = basic_pair(request.headers.get(b"authorization"))
    if pair is None:
        raise ApiError(401, errors.OPERATOR_MISSING, Cors.SYSTEM)
    if not _is_admin(api, pair[1]):
        raise ApiError(401, errors.OPERATOR_WRONG, Cors.SYSTEM)
    api.deps.operator.drain()
    return Reply(200, b"controller is disabled", Cors.SYSTEM, TEXT)


async def metrics(api: Api, request: Request) -> Reply:
    """GET /metrics: Prometheus text."""
    return Reply(200, api.deps.operator.metrics(), Cors.NONE, PROMETHEUS)


async def status(api: Api, request: Request) -> Answer:
    """GET /admin/status: all with the admin key, with a namespace's key that namespace alone."""
    header = request.headers.get(b"authorization")
    namespace = None
    if not _is_admin(api, _secret(header)):
        namespace = (await api.authenticator.identity(header)).namespace.name
    return show.answer(api, request, namespace)


async def drain(api: Api, request: Request) -> Reply:
    """POST /admin/drain: take no more work, finish what runs, end. Needs the admin key."""
    header = request.headers.get(b"authorization")
    if not _is_admin(api, _secret(header)):
        await api.authenticator.identity(header)
        raise ApiError(403, errors.ADMIN_ONLY)
    api.deps.operator.drain()
    return Reply(202, b'{"draining":true}', Cors.NONE)


def _secret(header: bytes | None) -> str:
    """The bearer token, or the password of Basic credentials."""
    scheme, _, token = (header or b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip().decode("latin-1")
    pair = basic_pair(header)
    return pair[1] if pair else ""


def _is_admin(api: Api, secret: str) -> bool:
    key = api.deps.operator.admin_key
    return key is not None and same(secret, key)


ROUTES: dict[str, dict[str, Handler]] = {
    "/": {"GET": info},
    "/ping": {"GET": ping},
    "/live": {"GET": live},
    "/ready": {"GET": ready},
    "/metrics": {"GET": metrics},
    "/invokers": {"GET": invokers},
    "/invokers/healthy/count": {"GET": invokers_healthy},
    "/invokers/ready": {"GET": invokers_ready},
    "/activation": {"GET": in_flight},
    "/activation/count": {"GET": in_flight_count},
    "/disable": {"POST": disable},
    "/admin/status": {"GET": status},
    "/admin/drain": {"POST": drain},
    **{path: {"GET": dashboard_page.file} for path in dashboard_page.PATHS},
}


def resolve(path: str, method: str) -> Handler:
    """The handler of a path outside /api/v1. Raises ApiError 404, 405."""
    methods = ROUTES.get(path)
    if methods is None:
        if path.startswith("/invokers/"):
            raise errors.unknown_path()
        raise errors.method_not_allowed("OPTIONS")
    if method not in methods:
        raise errors.method_not_allowed(", ".join([*methods, "OPTIONS"]))
    return methods[method]
