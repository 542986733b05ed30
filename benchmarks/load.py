"""A closed-loop HTTP load generator: one prebuilt request a connection, keep-alive, as cheap as Python allows."""

from __future__ import annotations

import asyncio
import time


class Connection(asyncio.Protocol):
    """Sends the same request again as soon as its answer is there."""

    def __init__(self, request: bytes, expected: bytes, times: list[float], until: float, done: asyncio.Future[None]) -> None:
        self._request = request
        self._expected = expected
        self._times = times
        self._until = until
        self._done = done
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().index(b"content-length:") + 15
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        now = time.perf_counter()
        if not head.startswith(self._expected):
            self._fail(AssertionError(self._buffer[:300].decode("utf-8", "replace")))
            return
        self._times.append(now - self._sent)
        self._buffer = b""
        if now < self._until:
            self._send()
        else:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionError(f"closed by the server: {exc}"))


async def closed_loop(port: int, request: bytes, clients: int, seconds: float, expected: bytes = b"HTTP/1.1 200") -> list[float]:
    """Latencies in seconds of all answers that `clients` connections got in `seconds`. Raises what went wrong."""
    loop = asyncio.get_running_loop()
    times: list[float] = []
    until = time.perf_counter() + seconds
    futures = []
    for _ in range(clients):
        done = loop.create_future()
        await loop.create_connection(lambda d=done: Connection(request, expected, times, until, d), "127.0.0.1", port)
        futures.append(done)
    await asyncio.gather(*futures)
    return times


def quantile(times: list[float], q: float) -> float:
    """In milliseconds."""
    return sorted(times)[min(len(times) - 1, int(len(times) * q))] * 1000
