"""Answers that go on: server-sent events, each part sent as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import Struct

from controller.cors import Cors, HeaderList
from controller.http import Reply, Request, Send

EVENT_STREAM = b"text/event-stream"


class Stream(Struct, frozen=True):
    """An answer in parts. It ends when `parts` does; when the client is gone `parts` is closed."""

    parts: AsyncGenerator[bytes, None]
    content_type: bytes = EVENT_STREAM
    cors: Cors = Cors.NONE


Answer = Reply | Stream


def event(data: bytes, name: str = "") -> bytes:
    """One server-sent event. `data` is JSON on one line."""
    head = b"event: %b\n" % name.encode() if name else b""
    return b"%bdata: %b\n\n" % (head, data)


def accepts(request: Request) -> bool:
    """Whether the client asked for a stream of events."""
    return EVENT_STREAM in request.headers.get(b"accept", b"")


async def send_stream(send: Send, request: Request, stream: Stream, headers: HeaderList) -> None:
    """Write all parts. Raises ClientGone as soon as nobody reads them any more."""
    head = [*headers, (b"content-type", stream.content_type), (b"cache-control", b"no-store")]
    with request.while_there():
        async with aclosing(stream.parts) as parts:
            await send({"type": "http.response.start", "status": 200, "headers": head})
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
