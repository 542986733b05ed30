"""The controller's side of `POST /invoke`: the head of a 200 is the receipt, the body that follows is the end (go-invoker.md 1).

Connections are kept per node. What is certain is told apart from what isn't: a node that was asked and didn't answer may have
taken the work, and only that same node may be asked again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools
from msgspec import Struct

CONNECT_TIMEOUT = 2.0
"""Seconds for a connection: a node that doesn't take one gets the work through its topic."""
RECEIPT_TIMEOUT = 10.0
"""Seconds for the head of the answer: as long as a node may go without a confirmed write before it stops (its lease)."""
IDLE_LIMIT = 30.0
"""Seconds that a connection is kept unused; the node's server ends idle ones after 70."""
MAX_BODY = 16 << 20
"""Bytes of an answer's body: a record stays under 7 MB, more is no acknowledgement."""


class Received(Struct, frozen=True):
    """The node has the activation, durably. `body` is the acknowledgement, or ends with ConnectionError if it didn't come."""

    body: asyncio.Future[bytes]


class Declined(Struct, frozen=True):
    """Certainly not taken. `status` is the HTTP status, 0 if no connection was made."""

    status: int
    reason: str


class Unknown(Struct, frozen=True):
    """The request was sent and no head came back: it may have been taken."""

    reason: str


Outcome = Received | Declined | Unknown


class _Connection(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, pool: _Node) -> None:
        self.pool = pool
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[Outcome] | None = None
        self._body: asyncio.Future[bytes] | None = None
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def usable(self) -> bool:
        """Whether another request can go this way."""
        return self.transport is not None and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = cast(asyncio.Transport, transport)

    def request(self, head: bytes, body: bytes) -> asyncio.Future[Outcome]:
        """Send; the future gets what became of it, unless the connection ends first: then None of it is certain."""
        assert self.transport is not None
        self._parts, self._size = [], 0
        self._head = answer = self._loop.create_future()
        self.transport.write(head + body)
        return answer

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_headers_complete(self) -> None:
        """See httptools."""
        status = self._parser.get_status_code()
        if status == 200 and self._head is not None and not self._head.done():
            self._body = self._loop.create_future()
            # Whoever waits for the head may have left; then nobody asks what became of the body.
            self._body.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._head.set_result(Received(self._body))

    def on_body(self, data: bytes) -> None:
        """See httptools."""
        self._size += len(data)
        if self._size > MAX_BODY:
            self.close()
        else:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """See httptools."""
        if not self.usable:
            return
        whole = b"".join(self._parts)
        status = self._parser.get_status_code()
        if self._body is not None:
            if not self._body.done():
                self._body.set_result(whole)
        elif self._head is not None and not self._head.done():
            self._head.set_result(Declined(status, whole[:500].decode("utf-8", "replace")))
        self._head = self._body = None
        keep = self._parser.should_keep_alive()
        self._parser = httptools.HttpResponseParser(self)
        if keep:
            self.pool.give_back(self)
        else:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        reason = f"the connection ended: {exc or 'closed'}"
        if self._head is not None and not self._head.done():
            self._head.set_result(Unknown(reason))
        if self._body is not None and not self._body.done():
            self._body.set_exception(ConnectionError(reason))
        self.transport = None
        self.pool.lost(self)

    def close(self) -> None:
        """End it."""
        if self.transport is not None:
            self.transport.close()


class _Node:
    """The connections to one address."""

    def __init__(self, url: str, context: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        self.host, self.secure = parts.hostname or "", parts.scheme == "https"
        self.port = parts.port or (443 if self.secure else 80)
        self.prefix = parts.path.rstrip("/")
        self._context = (context or ssl.create_default_context()) if self.secure else None
        self._idle: deque[_Connection] = deque()
        self.open: set[_Connection] = set()

    async def connection(self, *, fresh: bool) -> tuple[_Connection, bool]:
        """A connection, and whether it was used before. Raises OSError, TimeoutError."""
        loop = asyncio.get_running_loop()
        while self._idle and not fresh:
            kept = self._idle.pop()
            if kept.usable and loop.time() - kept.idle_since < IDLE_LIMIT:
                return kept, True
            kept.close()
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, made = await loop.create_connection(lambda: _Connection(self), self.host, self.port, ssl=self._context)
        self.open.add(made)
        return made, False

    def give_back(self, connection: _Connection) -> None:
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        self.open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    @property
    def busy(self) -> int:
        return len(self.open) - len(self._idle)

    def close(self) -> None:
        for connection in list(self.open):
            connection.close()


class InvokeClient:
    """Requests to nodes. `context` for addresses with https; `headers` go with every request (a token)."""

    def __init__(self, context: ssl.SSLContext | None = None, headers: Mapping[str, str] | None = None) -> None:
        self._context = context
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._nodes: dict[str, _Node] = {}

    def busy(self, url: str) -> int:
        """How many requests to an address are under way."""
        node = self._nodes.get(url)
        return node.busy if node is not None else 0

    async def invoke(self, url: str, body: bytes, about: Mapping[str, str]) -> Outcome:
        """Send a message to the node at `url`; `about` are headers for its log. Never raises for what the network does."""
        node = self._nodes.get(url)
        if node is None:
            node = self._nodes[url] = _Node(url, self._context)
        outcome, used = await self._once(node, body, about, fresh=False)
        if used and isinstance(outcome, Unknown):
            outcome, _ = await self._once(node, body, about, fresh=True)  # most likely the node closed it while it was idle
            if isinstance(outcome, Declined):
                return Unknown(outcome.reason)  # the first request may have been taken all the same
        return outcome

    async def _once(self, node: _Node, body: bytes, about: Mapping[str, str], *, fresh: bool) -> tuple[Outcome, bool]:
        try:
            connection, used = await node.connection(fresh=fresh)
        except (OSError, TimeoutError) as error:
            return Declined(0, f"no connection: {error or type(error).__name__}"), False
        more = "".join(f"{name}: {value}\r\n" for name, value in about.items())
        head = (
            f"POST {node.prefix}/invoke HTTP/1.1\r\nHost: {node.host}:{node.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{self._headers}{more}\r\n"
        )
        answer = connection.request(head.encode("utf-8", "replace"), body)
        try:
            async with asyncio.timeout(RECEIPT_TIMEOUT):
                return await answer, used
        except TimeoutError:
            connection.close()
            return Unknown(f"no receipt within {RECEIPT_TIMEOUT:g} s"), False

    def close(self) -> None:
        """End all connections."""
        for node in self._nodes.values():
            node.close()
        self._nodes.clear()
