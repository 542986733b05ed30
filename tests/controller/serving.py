"""The API on a real socket, in the test's own loop, and a client that can send anything."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from controller.app import App, create_app
from store.memory import MemoryStore
from tests.controller.fakes import Code, FakeInvoker, deps, subjects
from tests.golden_replay import KEYS
from transport.http import Server

API = "/api/v1/namespaces/_"


def basic(name: str) -> str:
    return "Basic " + base64.b64encode(KEYS.get(name, name).encode()).decode()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


@dataclass
class Serving:
    port: int
    app: App
    invoker: FakeInvoker
    store: MemoryStore

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def raw(self, data: bytes, timeout: float = 5.0) -> bytes:
        """Send bytes; everything that comes back until the server closes."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            async with asyncio.timeout(timeout):
                return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def send(
        self, method: str, path: str, body: Any = None, auth: str | None = "guest", headers: dict[str, str] | None = None
    ) -> Answer:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        head = {"Host": f"127.0.0.1:{self.port}", "Connection": "close"}
        if auth:
            head["Authorization"] = basic(auth)
        if body is not None:
            head["Content-Type"] = "application/json"
        head["Content-Length"] = str(len(data))
        head.update(headers or {})
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return parsed(await self.raw(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + data))

    async def put_action(self, name: str, **fields: Any) -> Answer:
        given = {"exec": {"kind": "nodejs:20", "code": "function main(a) { return a }"}, **fields}
        answer = await self.send("PUT", f"{API}/actions/{name}?overwrite=true", given)
        assert answer.status == 200, answer
        return answer


def parsed(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(first.split(" ")[1]), headers, body)


@contextlib.asynccontextmanager
async def serving(code: Code | None = None, store: Any = None, **changes: Any) -> AsyncIterator[Serving]:
    """The API with namespaces `guest` and `other` on a free port; on a store in memory if none is given."""
    store = store or MemoryStore()
    await subjects(store)
    invoker = FakeInvoker(store, code)
    app = create_app(deps(store, invoker, **changes))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = Server(app, listener)
    await server.start()
    try:
        yield Serving(server.port, app, invoker, store)
    finally:
        await server.stop(1)
