"""CPU that the REST API costs per invocation, without what runs it: `python benchmarks/api.py`.

An invoker that answers at once stands behind the API; 50 requests are pipelined on one connection, so that the client costs
little. What the client costs all the same is measured with answers of the same size and subtracted.
"""

from __future__ import annotations

import asyncio
import socket
import time
import uuid

import uvloop

from messages.action import Executable
from messages.wire import ActivationMessage, ActivationRecord
from store.memory import MemoryStore
from tests.controller.fakes import FakeInvoker, deps, subjects
from tests.controller.serving import API, basic
from transport.http import Server

REQUESTS, DEPTH, ROUNDS = 4_000, 50, 3
TARGET = 150.0
"""Microseconds of CPU from the request parsed to the response written."""


class Answered:
    """An invocation that is over."""

    def __init__(self, activation_id: str, record: ActivationRecord) -> None:
        self.id = activation_id
        self._record = record

    async def result(self, timeout: float) -> ActivationRecord:
        return self._record

    def forget(self) -> None:
        pass


class InstantInvoker(FakeInvoker):
    record: ActivationRecord | None = None

    async def invoke(self, message: ActivationMessage, action: Executable | None = None) -> Answered:  # type: ignore[override]
        if self.record is None:
            await super().invoke(message, action)
            self.record = self.invocations[0].done.result()
        return Answered(message.activation_id, self.record)


def request(method: str, path: str, body: bytes) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {basic('guest')}\r\n"
    return f"{head}Accept: */*\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head[head.index(b"content-length: ") + 16 :].split(b"\r\n", 1)[0])
    return head + await reader.readexactly(length)


async def cpu(port: int, data: bytes) -> tuple[float, bytes]:
    """Microseconds of CPU per request, best of some rounds, and one of the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    best, found = float("inf"), b""
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(REQUESTS // DEPTH):
            writer.write(data * DEPTH)
            for _ in range(DEPTH):
                found = await answer(reader)
        best = min(best, (time.process_time() - start) / REQUESTS * 1e6)
    writer.close()
    return best, found


async def echo_server(reply: bytes, size: int) -> asyncio.Server:
    """Answers every `size` bytes with `reply`: what is left is the client."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readexactly(size * DEPTH):
                writer.write(reply * DEPTH)
        except asyncio.IncompleteReadError:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def main() -> None:
    store = MemoryStore()
    await subjects(store)
    api = deps(
        store,
        InstantInvoker(store),
        cors=None,
        new_transid=lambda: uuid.uuid4().hex,
        new_activation_id=lambda: uuid.uuid4().hex,
        wall_ms=lambda: time.time_ns() // 1_000_000,
    )
    from controller.app import create_app

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = Server(create_app(api), listener)
    await server.start()
    await cpu(server.port, request("PUT", f"{API}/actions/echo?overwrite=true", b'{"exec":{"kind":"nodejs:20","code":"x"}}'))
    arguments = b'{"name":"Ada","n":1}'
    cases = {
        "GET /live (server)": request("GET", "/live", b""),
        "invoke": request("POST", f"{API}/actions/echo", arguments),
        "invoke, blocking": request("POST", f"{API}/actions/echo?blocking=true", arguments),
        "invoke, result": request("POST", f"{API}/actions/echo?blocking=true&result=true", arguments),
    }
    for name, data in cases.items():
        total, reply = await cpu(server.port, data)
        bare = await echo_server(reply, len(data))
        client, _ = await cpu(bare.sockets[0].getsockname()[1], data)
        bare.close()
        print(f"{name:18} {total - client:6.1f} µs of CPU a request, parsing included (client {client:.1f} µs)")
    print(f"aim: {TARGET:.0f} µs for an invocation on a quiet machine; GET /live shows what the server alone costs on this one")
    await server.stop(1)


if __name__ == "__main__":
    uvloop.run(main())
