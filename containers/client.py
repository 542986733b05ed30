"""The `/init` and `/run` client of one container: asyncio protocols with a small keep-alive pool, no streams.

Either one connection for ever (a socket that the driver connected already) or connections to an address, made as needed.
The time limit is total: waiting for a connection, connecting, sending and reading together.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

from containers.contract import Failure, Result
from containers.http_codec import ResponseParser, request_head

Connect = Callable[[], Awaitable[socket.socket]]
"""Makes a connected non-blocking stream socket, or raises OSError."""

IDLE_LIMIT = 3.0
"""Seconds that an idle connection to an address may be old: Node.js closes idle ones after 5 s, and a request that meets
its reset may or may not have run."""

RETRY_PAUSE = 0.005
"""Seconds between attempts to connect while a container boots; upstream pauses 50 ms, which is most of a start here."""

JOIN_LIMIT = 65_536
"""Bytes up to which head and body are sent as one piece: below it copying is cheaper than a second write."""


def unix_address(path: str) -> Connect:
    """Connect to a Unix socket. A full backlog counts as refused: the kernel has no waiting for these."""

    async def connect() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            raise
        return sock

    return connect


def tcp_address(host: str, port: int) -> Connect:
    """Connect to an IP address and port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET

    async def connect() -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
        except BaseException:
            sock.close()
            raise
        return sock

    return connect


class _Connection(asyncio.Protocol):
    """One connection: at most one request at a time."""

    __slots__ = ("_answer", "_deadline", "_due", "_loop", "_parser", "_timer", "_transport", "idle_since", "open", "reusable")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: ResponseParser | None = None
        self._answer: asyncio.Future[Result] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when `_timer` fires; it outlives answers, as setting one for each would cost more than the parsing
        self.open = False
        self.reusable = True
        self.idle_since = 0.0

    def request(self, path: str, body: bytes, limit: int, deadline: float) -> asyncio.Future[Result]:
        """Send; the future always gets a result, at `deadline` (loop time) at the latest."""
        transport = self._transport
        assert transport is not None
        assert self._answer is None
        self._parser = ResponseParser(limit)
        self._answer = answer = self._loop.create_future()
        self._deadline = deadline
        if self._timer is None:
            self._wake_at(deadline)
        elif deadline < self._due:
            self._timer.cancel()
            self._wake_at(deadline)
        head = request_head(path, len(body))
        if len(body) <= JOIN_LIMIT:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
        return answer

    def _wake_at(self, due: float) -> None:
        self._due = due
        self._timer = self._loop.call_at(due, self._woken)

    def _woken(self) -> None:
        self._timer = None
        if self._answer is None:
            return
        if self._deadline > self._due:
            self._wake_at(self._deadline)
        else:
            self._finish(Failure.TIMEOUT)

    def _no_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abort(self) -> None:
        """Close at once, whatever is on the way."""
        self.open = self.reusable = False
        self._no_timer()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.abort()  # an answer without a question
            return
        result = self._parser.feed(data)
        if result is not None:
            self._finish(result)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = self.reusable = False
        self._no_timer()
        if self._parser is not None:
            self._finish(self._parser.eof())

    def _finish(self, result: Result) -> None:
        parser, answer = self._parser, self._answer
        self._parser = self._answer = None
        transport = self._transport
        unsent = transport is None or transport.get_write_buffer_size() > 0
        self.reusable = self.open and not unsent and parser is not None and parser.reusable and not isinstance(result, Failure)
        if answer is not None and not answer.done():
            answer.set_result(result)


class ActionClient:
    """Calls one container. `post` never raises for what the other side does; `close` ends everything.

    `connections` is how many requests may be on the way at once; more wait their turn.
    """

    def __init__(self, connect: Connect, connections: int = 1) -> None:
        self._connect = connect
        self._idle_limit = IDLE_LIMIT
        self._free = connections
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._unused: list[socket.socket] = []
        self._closed = False

    @classmethod
    def over_socket(cls, sock: socket.socket) -> ActionClient:
        """A client for one connected socket, used for ever: when it breaks, later calls are refused. Takes the socket over."""
        sock.setblocking(False)
        unused = [sock]

        async def once() -> socket.socket:
            if not unused:
                raise ConnectionRefusedError("the container's only connection has ended")
            return unused.pop()

        client = cls(once)
        client._idle_limit = float("inf")
        client._unused = unused
        return client

    def __repr__(self) -> str:
        return f"<ActionClient [{len(self._busy)} busy, {len(self._idle)} idle, {len(self._waiting)} waiting]>"

    async def post(self, path: str, body: bytes, timeout: float, limit: int, retry: bool = False) -> Result:
        """POST `body` to `path` and read the answer, of which at most `limit` bytes are kept, within `timeout` seconds.

        With `retry` a connection that can't be made is tried again until the time is over (`Failure.TIMEOUT`), as a
        container takes its time to boot; without, it is `Failure.REFUSED` at once. Cancelling closes the connection.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        unsent = Failure.TIMEOUT if retry else Failure.REFUSED
        if self._free:
            self._free -= 1
        elif not await self._turn(loop, deadline):
            return unsent
        connection = None
        try:
            connection = self._reuse(loop.time()) or await self._new(loop, deadline, retry)
            if connection is None:
                return unsent
            self._busy.add(connection)
            return await connection.request(path, body, limit, deadline)
        except BaseException:
            if connection is not None:
                connection.reusable = False
            raise
        finally:
            self._release(connection, loop)

    def close(self) -> None:
        """Close all connections: calls on the way end broken, later ones are refused."""
        self._closed = True
        while self._unused:
            self._unused.pop().close()
        for connection in [*self._idle, *self._busy]:
            connection.abort()
        self._idle.clear()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.cancel()

    async def _turn(self, loop: asyncio.AbstractEventLoop, deadline: float) -> bool:
        """Wait until one of the others is done; whoever is done passes its place on."""
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiter)
        timer = loop.call_at(deadline, waiter.cancel)
        try:
            await asyncio.wait([waiter])
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._pass_on()
            waiter.cancel()
            raise
        finally:
            timer.cancel()
        return not waiter.cancelled()

    def _pass_on(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def _reuse(self, now: float) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.open and now - connection.idle_since < self._idle_limit:
                return connection
            connection.abort()
        return None

    def _release(self, connection: _Connection | None, loop: asyncio.AbstractEventLoop) -> None:
        if connection is not None:
            self._busy.discard(connection)
            if connection.reusable and not self._closed:
                connection.idle_since = loop.time()
                self._idle.append(connection)
            else:
                connection.abort()
        self._pass_on()

    async def _new(self, loop: asyncio.AbstractEventLoop, deadline: float, retry: bool) -> _Connection | None:
        while not self._closed:
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._open(loop)
            except OSError:  # TimeoutError is one
                if not retry or loop.time() + RETRY_PAUSE >= deadline:
                    return None
            await asyncio.sleep(RETRY_PAUSE)
        return None

    async def _open(self, loop: asyncio.AbstractEventLoop) -> _Connection:
        sock = await self._connect()
        try:
            if sock.family == socket.AF_UNIX:
                _, connection = await loop.create_unix_connection(lambda: _Connection(loop), sock=sock)
            else:
                _, connection = await loop.create_connection(lambda: _Connection(loop), sock=sock)
        except BaseException:
            sock.close()
            raise
        if self._closed or not connection.open:
            connection.abort()
            raise ConnectionRefusedError("closed while connecting")
        return connection
