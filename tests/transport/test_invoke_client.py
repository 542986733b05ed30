"""What a node's answer to `/invoke` means: taken, certainly not taken, or nobody knows."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

import transport.invoke_client
from transport.invoke_client import Declined, InvokeClient, Received, Unknown

ACK = b'{"transid":["t",1],"activationId":"x"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(ACK), ACK)


class Node:
    """A server that answers each request with the next part of a script; None closes the connection."""

    def __init__(self, *script: bytes | None) -> None:
        self.script = list(script)
        self.requests: list[bytes] = []
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.script.pop(0)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def running(node: Node) -> AsyncIterator[str]:
    server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for writer in node.writers:
            writer.close()
        server.close()
        await server.wait_closed()


@pytest.fixture
async def client() -> AsyncIterator[InvokeClient]:
    made = InvokeClient(headers={"Authorization": "Bearer secret"})
    yield made
    made.close()
    await asyncio.sleep(0)


async def test_the_head_is_the_receipt_and_the_body_the_end(client: InvokeClient) -> None:
    """The receipt comes before the body does, and the connection is used again afterwards."""
    node = Node(HEAD, WHOLE)
    async with running(node) as url:
        first = await client.invoke(url, b'{"n":1}', {"Functions-Transaction-Id": "t"})
        assert isinstance(first, Received)
        assert not first.body.done()
        assert client.busy(url) == 1
        node.writers[0].write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(ACK), ACK))
        assert await first.body == ACK
        assert client.busy(url) == 0
        second = await client.invoke(url, b'{"n":2}', {})
        assert isinstance(second, Received)
        assert await second.body == ACK
    assert node.connections == 1
    assert b"POST /invoke HTTP/1.1\r\n" in node.requests[0]
    assert b"Authorization: Bearer secret\r\nFunctions-Transaction-Id: t\r\n" in node.requests[0]
    assert node.requests[1].endswith(b'\r\n\r\n{"n":2}')


@pytest.mark.parametrize("status", [400, 401, 413, 429, 503])
async def test_a_refusal_is_certain_and_has_a_reason(client: InvokeClient, status: int) -> None:
    async with running(Node(b"HTTP/1.1 %d No\r\nContent-Length: 9\r\n\r\noverload\n" % status)) as url:
        assert await client.invoke(url, b"{}", {}) == Declined(status, "overload\n")


async def test_no_connection_is_certain(client: InvokeClient) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        outcome = await client.invoke(f"http://127.0.0.1:{free.getsockname()[1]}", b"{}", {})
    assert isinstance(outcome, Declined)
    assert outcome.status == 0


@pytest.mark.parametrize("answer", [None, b"SSH-2.0-OpenSSH\r\n"])
async def test_a_connection_that_ends_without_a_head_leaves_it_unknown(client: InvokeClient, answer: bytes | None) -> None:
    async with running(Node(answer)) as url:
        assert isinstance(await client.invoke(url, b"{}", {}), Unknown)


async def test_a_body_that_does_not_come_is_a_connection_error(client: InvokeClient) -> None:
    """It was taken all the same: its end has to be learned elsewhere."""
    node = Node(HEAD)
    async with running(node) as url:
        outcome = await client.invoke(url, b"{}", {})
        assert isinstance(outcome, Received)
        node.writers[0].close()
        with pytest.raises(ConnectionError):
            await outcome.body


async def test_a_kept_connection_that_the_node_closed_is_replaced(client: InvokeClient) -> None:
    """The same node is asked once more on a fresh one."""
    node = Node(WHOLE, None, WHOLE)
    async with running(node) as url:
        for _ in range(2):
            outcome = await client.invoke(url, b"{}", {})
            assert isinstance(outcome, Received)
            assert await outcome.body == ACK
    assert node.connections == 2
    assert len(node.requests) == 3


async def test_a_refusal_after_a_lost_answer_proves_nothing(client: InvokeClient) -> None:
    node = Node(WHOLE, None, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    async with running(node) as url:
        outcome = await client.invoke(url, b"{}", {})
        assert isinstance(outcome, Received)
        await outcome.body
        assert isinstance(await client.invoke(url, b"{}", {}), Unknown)


async def test_a_node_that_says_nothing_is_given_up(client: InvokeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport.invoke_client, "RECEIPT_TIMEOUT", 0.05)
    async with running(Node(b"")) as url:
        assert isinstance(await client.invoke(url, b"{}", {}), Unknown)


async def test_an_endless_body_ends_the_connection(client: InvokeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport.invoke_client, "MAX_BODY", 10)
    async with running(Node(WHOLE)) as url:
        outcome = await client.invoke(url, b"{}", {})
        assert isinstance(outcome, Received)
        with pytest.raises(ConnectionError):
            await outcome.body
