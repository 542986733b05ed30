"""The HTTP server: uvicorn with httptools, with the bounds on request heads that it lacks, started and stopped by the node.

What the application gets beyond ASGI is in `scope["extensions"]`: ABORT, GONE and COMPLETE of controller/http.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

import httptools
import uvicorn
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from controller.http import ABORT, COMPLETE, GONE, PEER

MAX_HEAD = 64 << 10
"""Bytes of request line and headers together (Tomcat: 8 KiB, node: 16 KiB, nginx: 32 KiB; the URI may have 8 KiB)."""
MAX_HEADERS = 128
"""Upstream's HTTP library takes 64."""
MAX_CONNECTIONS = 8192
"""Upstream's limit (openwhisk-controller.md 1.2)."""
HEAD_TIMEOUT = 30.0
"""Seconds for a request's head to arrive, from its first byte."""
_OFFER = frozenset({b"connection", b"upgrade", b"http2-settings"})
IDLE_TIMEOUT = 70
"""Seconds that a connection may be idle (upstream's)."""


class Corked:
    """A transport that keeps an answer's head back until its body comes: one system call and one packet for both."""

    __slots__ = ("_head", "_transport", "get_extra_info", "is_closing", "pause_reading", "resume_reading")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """See asyncio.Transport."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """An answer without a body is complete with its head."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """See asyncio.Transport."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """One connection. Heads that are too long, have too many headers or come too slowly end it with a plain text answer."""

    _data = b""
    _head_size = 0
    _in_head = False
    _refusal: tuple[int, str] | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _on_lost: Callable[[], None] | None = None
    _lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that never sends anything is idle."""
        super().connection_made(cast(asyncio.Transport, Corked(transport)))
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def on_response_complete(self) -> None:
        """See uvicorn."""
        cast(Corked, self.transport).flush()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._stop_head_timer()
        super().connection_lost(exc)
        self._lost = True
        if self._on_lost is not None:
            self._on_lost()

    def _when_gone(self, call: Callable[[], None] | None) -> None:
        self._on_lost = call
        if self._lost and call is not None:
            call()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. What comes after the connection was refused is not looked at."""
        if self.parser is None or self.transport.is_closing():
            return
        self._data = data
        super().data_received(data)
        self._data = b""
        if self._in_head and self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self._head_late)

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        self._head_size = 0
        self._in_head = True
        peer = bool(self.transport.get_extra_info("peercert"))
        extensions: dict[str, Any] = {ABORT: self.transport.abort, GONE: self._when_gone, PEER: peer}
        self.scope["extensions"] = extensions

    def on_url(self, url: bytes) -> None:
        """See httptools. Longer URIs than the application takes are let through to it, up to the bound of the head."""
        self._grown(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self._grown(len(name) + len(value))
        if len(self.headers) >= MAX_HEADERS:
            self._refuse(431, f"Request has more than {MAX_HEADERS} headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._in_head = False
        self._stop_head_timer()
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            cycle = self.cycle
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[COMPLETE] = lambda: not cycle.more_body

    def on_message_complete(self) -> None:
        """See httptools."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Called while HttpParserUpgrade is handled, which says how far the parser came."""
        stopped = sys.exc_info()[1]
        self._without_upgrade(stopped.args[0] if stopped is not None else len(self._data))

    def _without_upgrade(self, offset: int) -> None:
        """Take the request again as if it hadn't offered another protocol.

        The parser drops the body of one that does, and clients offer h2c with every request (curl --http2, Java).
        """
        method, rest = self.parser.get_method(), self._data[offset:]
        if method == b"CONNECT":
            self._refusal = (405, "CONNECT is not supported")
            self.send_400_response("")
            return
        kept = [(name, value) for name, value in self.headers if name not in _OFFER]
        head = b"".join(b"%b: %b\r\n" % header for header in [*kept, (b"connection", b"close")])
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, self.url, head, rest))

    def _grown(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MAX_HEAD:
            self._refuse(431, f"Request head exceeds the limit of {MAX_HEAD} bytes")

    def _refuse(self, status: int, text: str) -> None:
        self._refusal = (status, text)
        raise ValueError(text)  # ends the parser, which then asks for send_400_response

    def send_400_response(self, msg: str) -> None:
        """The answer to what is no acceptable HTTP, then the end of the connection."""
        status, text = self._refusal or (400, msg)
        body = text.encode()
        head = b"content-type: text/plain; charset=UTF-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    def _head_late(self) -> None:
        self._refusal = (408, f"The request did not arrive within {HEAD_TIMEOUT:g} seconds")
        if not self.transport.is_closing():
            self.send_400_response("")

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Embedded(uvicorn.Server):
    """uvicorn without its signal handlers: signals are the node's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves them alone."""
        yield


class Tls(Struct, frozen=True):
    """Files in PEM form. With `client_ca` clients may show a certificate that it signed."""

    cert: str
    key: str | None = None
    client_ca: str | None = None


class Server:
    """Serves an ASGI application on a listening socket, on the running loop."""

    def __init__(self, app: Any, listener: socket.socket, tls: Tls | None = None) -> None:
        self._listener = listener
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            headers=[("Server", "rewhisk")],
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=IDLE_TIMEOUT,
            ssl_certfile=tls.cert if tls else None,
            ssl_keyfile=tls.key if tls else None,
            ssl_ca_certs=tls.client_ca if tls else None,
            ssl_cert_reqs=ssl.CERT_OPTIONAL if tls and tls.client_ca else ssl.CERT_NONE,
        )
        self._scheme = "https" if tls else "http"
        self._server = _Embedded(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that was bound."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self._scheme}://{self._listener.getsockname()[0]}:{self.port}"

    async def start(self) -> None:
        """Returns when connections are taken."""
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._listener]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise ConnectionError("the HTTP server ended while starting")
            await asyncio.sleep(0.001)

    async def stop(self, grace: float = 5.0) -> None:
        """Take no more connections, let answers under way go out for `grace` seconds, then end. Works twice, too."""
        if self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace))
        self._server.should_exit = True
        await self._task
        self._task = None
        self._listener.close()
