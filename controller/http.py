"""One request and its reply, close to ASGI: no more per request than an invocation needs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any

from msgspec import Struct

from controller import errors
from controller.cors import Cors, HeaderList
from controller.json_text import JsonError, read_json
from controller.query import Query
from messages.wire import Identity

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = b"application/json"
TEXT = b"text/plain; charset=UTF-8"
ABORT = "rewhisk.abort"
"""Key of `scope["extensions"]`: a callable that ends the connection at once, without an answer."""

GONE = "rewhisk.gone"
"""Key of `scope["extensions"]`: takes whom to call when the connection is lost, or None for nobody any more."""

COMPLETE = "rewhisk.complete"
"""Key of `scope["extensions"]`: says whether the whole body has arrived, so that reading it can't wait."""

PEER = "rewhisk.peer"
"""Key of `scope["extensions"]`: whether the client showed a certificate that the server's authority signed."""

_DISCARD_FACTOR = 2
"""A refused body is read on up to so many times the limit, so that the client gets to see the answer."""

_BODILESS = frozenset({204, 304})
"""Statuses whose answers have no body, nor a length of one (RFC 9110)."""

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+")


class ClientGone(Exception):
    """The client closed the connection: nobody is there to be answered."""


class Reply(Struct, frozen=True):
    """An answer. `body` is sent as it is."""

    status: int
    body: bytes
    cors: Cors = Cors.REST
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Request:
    """A request under way. What it says is read here; the application sets who asks, what for, and the transaction.

    `announced` is Content-Length, 0 without one. `max_body` bytes and `body_timeout` seconds bound every body; `start` is epoch ms.
    """

    __slots__ = (
        "_receive", "announced", "body_timeout", "headers", "identity", "max_body", "method", "name", "namespace", "package",
        "query", "scope", "start", "transid",
    )  # fmt: skip

    identity: Identity
    namespace: str
    package: str
    name: str
    transid: str
    start: int

    def __init__(self, scope: Scope, receive: Receive, max_body: int, body_timeout: float) -> None:
        self.scope = scope
        self._receive = receive
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.query = Query(scope["query_string"])
        length = self.headers.get(b"content-length", b"0")
        self.announced = int(length) if length.isdigit() else 0
        self.max_body = max_body
        self.body_timeout = body_timeout

    async def json(self, limit: int | None = None) -> tuple[bytes, Any]:
        """The body as JSON text and value; no bytes at all give (b"", None).

        `limit` bytes are taken at most, however the body comes. Raises ApiError 400, 413, 415, HttpLayerError, ClientGone.
        """
        body = await self.body(limit)
        self._check_content_type(body)
        if not body:
            return b"", None
        try:
            return read_json(body)
        except JsonError as error:
            raise errors.malformed(str(error)) from None

    def _check_content_type(self, body: bytes) -> None:
        given = self.headers.get(b"content-type")
        if given == JSON or (given is None and not body):
            return
        text = "application/octet-stream" if given is None else given.decode("latin-1")
        media, _, rest = text.partition(";")
        media = media.strip()
        if media.lower() == "application/json":
            return
        if _MEDIA_TYPE.fullmatch(media) is None:
            media, rest = "application/octet-stream", ""
        charset = rest.strip().replace("utf-8", "UTF-8")
        raise errors.wrong_content_type(f"{media.lower()}; {charset}" if charset else media.lower())

    async def body(self, limit: int | None = None) -> bytes:
        """All of the body. Raises as `json` does, apart from 415."""
        if limit is not None and self.announced > limit:
            await self._discard(self.announced)
            raise errors.too_large("Request", self.announced, limit)
        if self.announced > self.max_body:
            await self._discard(self.announced)
            raise errors.body_too_large()
        if b"content-length" not in self.headers and b"transfer-encoding" not in self.headers:
            return b""
        try:
            if self._extension(COMPLETE)():
                return await self._read(limit)
            async with asyncio.timeout(self.body_timeout):
                return await self._read(limit)
        except TimeoutError:
            raise errors.body_too_slow(self.body_timeout) from None

    async def _read(self, limit: int | None) -> bytes:
        message = await self._next()
        if not message.get("more_body"):
            whole: bytes = message.get("body", b"")
            self._check_size(len(whole), limit)
            return whole
        parts = [message.get("body", b"")]
        size = len(parts[0])
        while message.get("more_body"):
            message = await self._next()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > (self.max_body if limit is None else limit):
                if message.get("more_body"):
                    await self._discard(0)
                self._check_size(size, limit)
        return b"".join(parts)

    def _check_size(self, size: int, limit: int | None) -> None:
        if limit is not None and size > limit:
            raise errors.too_large("Request", size, limit)
        if size > self.max_body:
            raise errors.body_too_large()

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        return message

    async def _discard(self, announced: int) -> None:
        """Read on without keeping, within bounds, so that the refusal is not lost in a reset connection."""
        if announced > _DISCARD_FACTOR * self.max_body or b"expect" in self.headers:
            return
        size = 0
        try:
            async with asyncio.timeout(self.body_timeout):
                while size <= _DISCARD_FACTOR * self.max_body:
                    message = await self._next()
                    size += len(message.get("body", b""))
                    if not message.get("more_body"):
                        return
        except TimeoutError:
            return

    def when_gone(self, call: Callable[[], None] | None) -> None:
        """Whom to call as soon as the client is gone, at once if it is; None: nobody any more."""
        self._extension(GONE)(call)

    def while_there(self) -> WhileThere:
        """A context whose awaiting ends with ClientGone as soon as the client is gone."""
        return WhileThere(self)

    async def abort(self) -> None:
        """End the connection without an answer. Returns when it is closed."""
        self._extension(ABORT)()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _extension(self, key: str) -> Callable[..., Any]:
        extension: Callable[..., Any] = self.scope["extensions"][key]
        return extension


class WhileThere:
    """See Request.while_there. A cancellation from elsewhere goes on as it came."""

    __slots__ = ("_gone", "_request", "_task")

    def __init__(self, request: Request) -> None:
        self._request = request
        self._gone = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._request.when_gone(self._leave)

    def _leave(self) -> None:
        self._gone = True
        self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._request.when_gone(None)
        if isinstance(error, asyncio.CancelledError) and self._gone and self._task.uncancel() == 0:
            raise ClientGone from None


async def send_reply(send: Send, reply: Reply, headers: HeaderList) -> None:
    """Write an answer with these headers, unless it has its own of that name."""
    own = {name.lower() for name, _ in reply.headers}
    head = [*(header for header in headers if header[0] not in own), *reply.headers]
    if reply.status not in _BODILESS:
        head.append((b"content-length", b"%d" % len(reply.body)))
    if reply.body:
        head.append((b"content-type", reply.content_type))
    await send({"type": "http.response.start", "status": reply.status, "headers": head})
    await send({"type": "http.response.body", "body": reply.body})
