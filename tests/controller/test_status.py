"""The stream of the node's state: what it sends, when, and that it ends with its reader or with the node."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import controller.status
from controller.deps import Operator
from tests.controller.serving import Serving, serving

STREAM = b"GET /admin/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer admin\r\nAccept: text/event-stream\r\n\r\n"


class FakeNode:
    def __init__(self) -> None:
        self.document: dict[str, Any] = {"uptime": 0, "running": 0, "containers": [{"cid": 1, "idle_s": 0.0}]}
        self.looks = 0

    def status(self, namespace: str | None) -> dict[str, object]:
        self.looks += 1
        self.document["uptime"] += 1
        self.document["containers"][0]["idle_s"] += 1
        return dict(self.document, namespace=namespace)

    async def looked(self, times: int) -> None:
        wanted = self.looks + times
        async with asyncio.timeout(20):
            while self.looks < wanted:
                await asyncio.sleep(0.005)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    monkeypatch.setattr(controller.status, "EVERY", 0.01)
    return FakeNode()


async def events(reader: asyncio.StreamReader) -> Any:
    """The next document."""
    async with asyncio.timeout(20):
        while True:
            line = await reader.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                return json.loads(line[6:])


async def opened(server: Serving, node: FakeNode) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await server.connect()
    writer.write(STREAM)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    return reader, writer


async def test_a_document_is_sent_at_once_and_then_when_something_changed(node: FakeNode) -> None:
    """Uptime and idle times alone are no change."""
    async with serving(operator=Operator("admin", node.status)) as server:
        reader, writer = await opened(server, node)
        assert (await events(reader))["running"] == 0
        await node.looked(5)
        node.document["running"] = 7
        assert (await events(reader))["running"] == 7
        writer.close()


async def test_the_stream_ends_with_its_reader(node: FakeNode) -> None:
    """Nobody looks at the node for a reader that is gone."""
    async with serving(operator=Operator("admin", node.status)) as server:
        reader, writer = await opened(server, node)
        await events(reader)
        writer.transport.abort()
        async with asyncio.timeout(20):
            while True:
                before = node.looks
                await asyncio.sleep(0.2)
                if node.looks == before:
                    return


async def test_the_stream_ends_with_the_node(node: FakeNode) -> None:
    """The last document says so, then the answer is complete."""
    async with serving(operator=Operator("admin", node.status)) as server:
        reader, writer = await opened(server, node)
        await events(reader)
        node.document["ended"] = True
        assert (await events(reader))["ended"] is True
        async with asyncio.timeout(20):
            await reader.readuntil(b"0\r\n\r\n")
        writer.close()


async def test_a_fault_ends_the_connection_and_not_the_server(node: FakeNode) -> None:
    """With the head out there is no other way to tell."""
    calls = iter(range(100))

    def broken(namespace: str | None) -> dict[str, object]:
        if next(calls):
            raise ZeroDivisionError
        return {"running": 0}

    async with serving(operator=Operator("admin", broken)) as server:
        reader, writer = await opened(server, node)
        await events(reader)
        async with asyncio.timeout(20):
            rest = await reader.read()
        assert not rest.endswith(b"0\r\n\r\n")
        writer.close()
        assert (await server.send("GET", "/live", auth=None)).status == 200


async def test_a_namespace_sees_its_own_only(node: FakeNode) -> None:
    """As without a stream."""
    async with serving(operator=Operator("admin", node.status)) as server:
        answer = await server.send("GET", "/admin/status")
        assert answer.json["namespace"] == "guest"
        assert (await server.send("GET", "/admin/status", headers={"Accept": "text/event-stream"}, auth="nobody:x")).status == 401
