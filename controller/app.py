"""The ASGI application: every request passes here, from HTTP's own rules to the reply and its headers."""

from __future__ import annotations

import asyncio
import logging
import re

import msgspec

from controller import errors, openapi, routes, system, web, web_request
from controller.context import Api
from controller.cors import Cors, CorsPolicy, HeaderList
from controller.deps import ApiDeps
from controller.errors import ApiError, HttpLayerError
from controller.hosts import HostCheck
from controller.http import TEXT, ClientGone, Receive, Reply, Request, Scope, Send, send_reply
from controller.stream import Answer, Stream, send_stream
from store.errors import StoreUnavailable

log = logging.getLogger("rewhisk.api")

REQUEST_ID = b"x-request-id"
_ASKED_HEADERS = b"access-control-request-headers"
_BASE = "/api/v1"
_METHODS = web_request.METHODS | {"CONNECT", "TRACE"}
"""What upstream's HTTP library knows; everything else never reaches a route."""

_USABLE_ID = re.compile(rb"(?!sid_)[\x21-\x7e][\x20-\x7e]*")
"""Transaction ids that are taken over; those that begin with `sid_` are the system's own (openwhisk-controller.md 9.1)."""


class App:
    """Called by the server for every request. Only this class answers; handlers return a Reply or raise."""

    def __init__(self, deps: ApiDeps, api: Api | None = None) -> None:
        self.api = api or Api(deps)
        self._cors = CorsPolicy(deps.cors)
        self._hosts = HostCheck(deps.loopback, deps.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI; only HTTP is served."""
        if scope["type"] != "http":
            return
        deps = self.api.deps
        request = Request(scope, receive, deps.limits.body, deps.limits.body_timeout)
        given = request.headers.get(REQUEST_ID)
        request.transid = given.decode() if given and _USABLE_ID.fullmatch(given) else deps.new_transid()
        request.start = deps.wall_ms()
        try:
            reply = await self._reply(request)
        except HttpLayerError as error:
            closing: HeaderList = [(b"connection", b"close")] if error.close else []
            await send_reply(send, Reply(error.status, error.text.encode(), Cors.NONE, TEXT), closing)
            return
        except ClientGone:
            return
        except asyncio.CancelledError:  # the server stops and waits no longer: what becomes of the invocation is not known here
            await request.abort()
            return
        origin = self._cors.headers(reply.cors, request.headers.get(b"origin"), request.headers.get(_ASKED_HEADERS))
        headers: HeaderList = [(REQUEST_ID, request.transid.encode("latin-1")), *origin]
        if isinstance(reply, Reply):
            await send_reply(send, reply, headers)
        else:
            await self._send_stream(send, request, reply, headers)

    async def _send_stream(self, send: Send, request: Request, stream: Stream, headers: HeaderList) -> None:
        """All parts. What goes wrong once the head is out can only end the connection."""
        try:
            await send_stream(send, request, stream, headers)
        except ClientGone:
            return
        except asyncio.CancelledError:
            await request.abort()
        except Exception:  # the head is out, so the supervisor of handlers can no longer answer for it
            log.exception("stream failed", extra={"transid": request.transid, "method": request.method})
            await request.abort()

    async def _reply(self, request: Request) -> Answer:
        """The answer. Raises HttpLayerError, ClientGone."""
        try:
            if request.method not in _METHODS:
                raise errors.unsupported_method()
            self._check_target(request)
            if not self._hosts.allows(request.headers.get(b"host")):
                raise errors.foreign_host()
            return await self._routed(request)
        except ApiError as error:
            return _error_reply(error, request)
        except StoreUnavailable:
            return _error_reply(errors.unavailable(""), request)
        except (HttpLayerError, ClientGone):
            raise
        except Exception:  # the one supervisor of handlers: a fault must not end the connection silently
            log.exception("request failed", extra={"transid": request.transid, "method": request.method})
            return _error_reply(errors.internal(), request)

    def _check_target(self, request: Request) -> None:
        raw, query = request.scope["raw_path"], request.scope["query_string"]
        size = len(raw) + len(query) + bool(query)
        if size > self.api.limits.uri:
            raise errors.uri_too_long(self.api.limits.uri)
        if b"%" in raw or b"%" in query:
            _check_percents(raw + b"?" + query)

    async def _routed(self, request: Request) -> Answer:
        target: str = request.scope["raw_path"].decode("latin-1")
        if target != _BASE and not target.startswith(f"{_BASE}/"):
            if request.method == "OPTIONS":
                return system.ok(Cors.SYSTEM)
            return await system.resolve(target, request.method)(self.api, request)
        segments = target.split("/")[3:]
        web_path = web_request.parse_path(segments) if request.method in web_request.METHODS else None
        if web_path is not None:
            system.check_ready(self.api)
            return await web.answer(self.api, request, web_path)
        return await self._versioned(request, segments)

    async def _versioned(self, request: Request, segments: list[str]) -> Answer:
        if request.method == "OPTIONS":
            return system.ok(Cors.REST)
        (system.check_readable if request.method == "GET" else system.check_ready)(self.api)
        if request.method == "GET" and segments in ([], [""]):
            return await system.api_info(self.api, request)
        if request.method == "GET" and segments == ["api-docs"]:
            return openapi.answer()
        request.identity = await self.api.authenticator.identity(request.headers.get(b"authorization"))
        if segments[:1] != ["namespaces"]:
            raise errors.unknown_path()
        return await routes.resolve(request, segments[1:])(self.api, request)


def _check_percents(target: bytes) -> None:
    at = target.find(b"%")
    while at >= 0:
        for offset in (1, 2):
            found = target[at + offset : at + offset + 1]
            if not found or found not in b"0123456789abcdefABCDEF":
                raise errors.bad_percent(found.decode("latin-1"), at + offset + 1)
        at = target.find(b"%", at + 3)


def _error_reply(error: ApiError, request: Request) -> Reply:
    body = msgspec.json.encode({"error": error.text, "code": request.transid})
    return Reply(error.status, body, error.cors, headers=tuple(error.headers))


def create_app(deps: ApiDeps, api: Api | None = None) -> App:
    """The REST API as an ASGI application.

    A second door to the same API is given the first one's `api`: what is kept in memory must be one. Of its `deps` only
    what concerns the door counts: `cors`, `loopback`, `hosts`.
    """
    return App(deps, api)
