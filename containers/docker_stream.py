"""Connections to the engine that stay open: attached output and events, read on the loop without a thread for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast
from urllib.parse import quote, urlsplit

import httptools

from containers.docker_engine import EngineError
from containers.docker_frames import Demultiplexer, EventLines, FramingError

CONNECT_LIMIT = 10.0
"""Seconds until the engine has answered the request with its head."""

Sink = Callable[[bytes], None]


class EngineStream(asyncio.Protocol):
    """One request whose response has no end of its own. `sink` gets the body as it comes, then `ended` is called, once."""

    def __init__(self, request: bytes, sink: Sink, ended: Callable[[], None]) -> None:
        self._request = request
        self._sink = sink
        self._ended = ended
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._refusal = b""
        self._answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """See asyncio. After 101 the bytes are the stream itself."""
        try:
            if self._parser is None:
                self._sink(data)
                return
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._parser = None
            if rest := data[upgrade.args[0] :]:
                self.data_received(rest)
        except (httptools.HttpParserError, FramingError):
            self.close()

    def on_headers_complete(self) -> None:
        """See httptools."""
        assert self._parser is not None
        if not self._answered.done():
            self._answered.set_result(self._parser.get_status_code())

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if self._answered.result() < 300:
            self._sink(body)
        else:
            self._refusal += body

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if not self._answered.done():
            self._answered.set_result(0)
        self._finish()

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._ended()

    def close(self) -> None:
        """End it; `ended` is called, now if not before."""
        if self._transport is not None:
            self._transport.abort()
        self._finish()

    async def answered(self) -> None:
        """Wait for the engine's yes. Raises EngineError."""
        try:
            async with asyncio.timeout(CONNECT_LIMIT):
                status = await asyncio.shield(self._answered)
                if status >= 300:
                    await asyncio.sleep(0)
        except TimeoutError as error:
            raise EngineError(f"The Docker engine did not answer within {CONNECT_LIMIT:.0f} s.") from error
        if not 100 < status < 300:
            raise EngineError(self._refusal.decode(errors="replace").strip() or "The Docker engine closed the connection.", status)


async def open_stream(address: str, head: str, sink: Sink, ended: Callable[[], None]) -> EngineStream:
    """Send a request (its lines without the last empty one) and wait for the yes. Raises EngineError."""
    loop = asyncio.get_running_loop()
    request = f"{head}\r\nHost: docker\r\n\r\n".encode("ascii")
    parts = urlsplit(address)

    def protocol() -> EngineStream:
        return EngineStream(request, sink, ended)

    try:
        if parts.scheme in ("unix", "http+unix"):
            _, stream = await loop.create_unix_connection(protocol, parts.path or parts.netloc)
        elif parts.scheme in ("tcp", "http"):
            _, stream = await loop.create_connection(protocol, parts.hostname or "", parts.port or 2375)
        else:
            raise EngineError(f"Docker at {address} can't be used: only unix:// and tcp:// without TLS can.")
    except OSError as error:
        raise EngineError(f"The Docker engine can't be reached: {error.strerror or error}") from error
    try:
        await stream.answered()
    except BaseException:
        stream.close()
        raise
    return stream


async def attach(address: str, container: str, output: Callable[[str, bytes], None], ended: Callable[[], None]) -> EngineStream:
    """Output of a container from its start on, demultiplexed. Raises EngineError."""
    frames = Demultiplexer()

    def sink(data: bytes) -> None:
        for stream, piece in frames.feed(data):
            output(stream, piece)

    head = (
        f"POST /containers/{container}/attach?stream=1&stdout=1&stderr=1 HTTP/1.1\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0"
    )
    return await open_stream(address, head, sink, ended)


async def watch(address: str, filters: str, seen: Callable[[dict[str, object]], None], ended: Callable[[], None]) -> EngineStream:
    """Events that pass `filters` (JSON of the engine's form) from now on. Raises EngineError."""
    lines = EventLines()

    def sink(data: bytes) -> None:
        for event in lines.feed(data):
            seen(event)

    return await open_stream(address, f"GET /events?filters={quote(filters)} HTTP/1.1", sink, ended)
