from __future__ import annotations

import asyncio
import contextlib
import re
import time

import pytest

import transport.http
from config.limits import SystemLimits
from tests.controller.serving import API, basic, parsed, serving

HEAD = f"Host: localhost\r\nAuthorization: {basic('guest')}\r\n"


def post(path: str, body: bytes, extra: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Three requests in one packet: three answers, in their order."""
    async with serving() as server:
        await server.put_action("echo")
        target = f"{API}/actions/echo?blocking=true&result=true"
        data = b"".join(post(target, b'{"n":%d}' % n, "Connection: close\r\n" if n == 3 else "") for n in (1, 2, 3))
        found = await server.raw(data)
        assert [int(number) for number in re.findall(rb'\{"n":(\d)\}', found)] == [1, 2, 3]


async def test_http_1_0_is_answered_and_closed() -> None:
    """No Host header is needed there, and the connection ends with the answer."""
    async with serving() as server:
        answer = parsed(await server.raw(b"GET /ping HTTP/1.0\r\n\r\n"))
        assert (answer.status, answer.body) == (200, b"pong")


async def test_expect_100_continue_is_asked_for_the_body_only_if_it_will_be_read() -> None:
    """A body within the limit is asked for, one beyond it is refused at once."""
    async with serving() as server:
        await server.put_action("echo")
        head = f"POST {API}/actions/echo?blocking=true&result=true HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n"
        reader, writer = await server.connect()
        writer.write(f"{head}Expect: 100-continue\r\nContent-Length: 7\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 100")
        writer.write(b'{"a":1}')
        assert b'{"a":1}' in await reader.read()
        writer.close()
        refused = await server.raw(f"{head}Expect: 100-continue\r\nContent-Length: 2000000\r\nConnection: close\r\n\r\n".encode())
        assert refused.startswith(b"HTTP/1.1 413")


async def test_payload_limit_holds_for_chunked_bodies() -> None:
    """Without Content-Length the body is counted as it comes."""
    async with serving() as server:
        await server.put_action("echo")
        head = f"POST {API}/actions/echo HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        answer = parsed(await server.raw(f"{head}Connection: close\r\n\r\n".encode() + chunk * 17 + b"0\r\n\r\n"))
        assert answer.status == 413
        assert answer.error.startswith("Request larger than allowed: ")
        assert not server.invoker.seen


async def test_chunked_body_is_read_whole() -> None:
    """Chunks are put together."""
    async with serving() as server:
        await server.put_action("echo")
        head = f"POST {API}/actions/echo?blocking=true&result=true HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n"
        data = b'3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
        answer = parsed(await server.raw(f"{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode() + data))
        assert answer.json == {"a": 1}


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """408 in plain text, and the connection ends."""
    async with serving(limits=SystemLimits(body_timeout=0.1)) as server:
        head = f"PUT {API}/actions/a HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
        answer = parsed(await server.raw(head.encode() + b'{"exec":'))
        assert answer.status == 408
        assert answer.headers["connection"] == "close"


async def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header a minute keeps no connection open."""
    monkeypatch.setattr(transport.http, "HEAD_TIMEOUT", 0.1)
    async with serving() as server:
        answer = parsed(await server.raw(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX-"))
        assert answer.status == 408


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"".join(b"X-%d: y\r\n" % n for n in range(200)), 431),
        (b"X: " + b"y" * 70_000 + b"\r\n", 431),
        (b"X-\x00: y\r\n", 400),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n", 400),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
    ],
)
async def test_unacceptable_heads_end_the_connection(head: bytes, status: int) -> None:
    """A plain text answer, nothing behind it is looked at, and the server goes on."""
    async with serving() as server:
        data = b"POST /ping HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\nabcde"
        assert parsed(await server.raw(data)).status == status
        assert (await server.send("GET", "/ping")).status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 20,
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_400(data: bytes) -> None:
    """TLS on the plain port, binary noise, unknown versions."""
    async with serving() as server:
        assert parsed(await server.raw(data)).status == 400
        assert (await server.send("GET", "/ping")).status == 200


async def test_an_upgrade_is_not_followed() -> None:
    """A WebSocket handshake is an ordinary request, and an offer of HTTP/2 doesn't cost the body."""
    async with serving() as server:
        head = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        reader, writer = await server.connect()
        writer.write(head)
        async with asyncio.timeout(5):
            assert b"200" in await reader.readline()
        writer.close()
        await server.put_action("echo")
        offer = "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        answer = parsed(await server.raw(post(f"{API}/actions/echo?blocking=true&result=true", b'{"a":1}', offer)))
        assert (answer.status, answer.json) == (200, {"a": 1})
        assert parsed(await server.raw(b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n")).status == 405


@pytest.mark.parametrize("length", [8150, 8300, 60_000])
async def test_uri_length(length: int) -> None:
    """8192 characters at most, query included."""
    async with serving() as server:
        answer = await server.send("GET", "/ping?" + "x" * (length - 6))
        assert answer.status == (200 if length <= 8192 else 414)


@pytest.mark.parametrize(("path", "column"), [("/%", 3), ("/%4", 4), ("/a?b=%zz", 7), ("/%41%4g", 7)])
async def test_bad_percent_escapes(path: str, column: int) -> None:
    """Refused in plain text, with the place."""
    async with serving() as server:
        answer = await server.send("GET", path)
        assert answer.status == 400
        assert answer.headers["content-type"].startswith("text/plain")
        assert f"column {column})".encode() in answer.body


async def test_a_client_that_leaves_stops_the_wait() -> None:
    """Nobody is waited for who isn't there any more: the invocation is forgotten, once, and goes on."""
    async with serving() as server:
        await server.put_action("echo")
        server.invoker.hold = True
        _, writer = await server.connect()
        writer.write(post(f"{API}/actions/echo?blocking=true", b"{}"))
        until = time.monotonic() + 5
        while not server.invoker.invocations and time.monotonic() < until:
            await asyncio.sleep(0.01)
        (invocation,) = server.invoker.invocations
        assert invocation.forgotten == 0
        writer.close()
        while not invocation.forgotten and time.monotonic() < until:
            await asyncio.sleep(0.01)
        assert invocation.forgotten == 1
        assert (await server.send("GET", "/ping")).status == 200


async def test_unknown_outcome_ends_the_connection_without_an_answer() -> None:
    """Neither a status nor a byte: the caller must not take it for a refusal."""
    async with serving() as server:
        await server.put_action("echo")
        server.invoker.refusal = ConnectionAbortedError()
        found = b""
        with contextlib.suppress(ConnectionResetError):
            found = await server.raw(post(f"{API}/actions/echo", b"{}"))
        assert found == b""


async def test_stop_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """Who still waits when the grace is over finds the connection ended, without an answer and without noise."""
    async with serving() as server:
        await server.put_action("echo")
        server.invoker.hold = True
        waiting = asyncio.create_task(server.raw(post(f"{API}/actions/echo?blocking=true", b"{}")))
        await asyncio.sleep(0.1)
        start = time.monotonic()
    assert time.monotonic() - start < 3
    found = b""
    with contextlib.suppress(ConnectionResetError):
        found = await waiting
    assert found == b""
    assert not caplog.records


async def test_stop_answers_what_is_under_way_and_ends() -> None:
    """Nothing is left: neither a task nor the port."""
    async with serving() as server:
        await server.put_action("echo")
        server.invoker.hold = True
        waiting = asyncio.create_task(server.send("POST", f"{API}/actions/echo?blocking=true&timeout=300", {}))
        await asyncio.sleep(0.1)
    assert (await waiting).status == 202
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", server.port)
