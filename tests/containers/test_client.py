"""The client gives every call exactly one result, in time, and says REFUSED only of what certainly wasn't sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from containers import client as client_module
from containers.client import ActionClient, tcp_address, unix_address
from containers.contract import Answer, Failure

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"ok":true}'
Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


class Runtime:
    """A fake runtime: `answer` is called for every request; counts connections and requests."""

    def __init__(self, answer: Handler) -> None:
        self.answer = answer
        self.connections = 0
        self.requests: list[bytes] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                request = await read_request(reader)
                self.requests.append(request)
                await self.answer(request, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()


def sends(data: bytes) -> Handler:
    async def answer(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


async def closes(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def hangs(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


@asynccontextmanager
async def runtime(answer: Handler, path: Path) -> AsyncIterator[tuple[Runtime, str]]:
    fake = Runtime(answer)
    address = str(path / "s")
    server = await asyncio.start_unix_server(fake.serve, address)
    try:
        yield fake, address
    finally:
        server.close()
        for task in list(fake.tasks):
            task.cancel()
        await asyncio.gather(*fake.tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def test_calls_share_one_connection(tmp_path: Path) -> None:
    async with runtime(sends(OK), tmp_path) as (fake, address):
        client = ActionClient(unix_address(address))
        for number in range(5):
            body = b'{"n":%d}' % number
            assert await client.post("/run", body, 5, 100) == Answer(200, b'{"ok":true}', 11)
            assert fake.requests[-1].endswith(b"\r\n\r\n" + body)
            assert fake.requests[-1].startswith(b"POST /run HTTP/1.1\r\n")
        assert fake.connections == 1
        assert repr(client) == "<ActionClient [0 busy, 1 idle, 0 waiting]>"
        client.close()


async def test_over_tcp() -> None:
    fake = Runtime(sends(OK))
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = ActionClient(tcp_address("127.0.0.1", port))
    assert await client.post("/run", b"{}", 5, 4) == Answer(200, b'{"ok', 11)
    client.close()
    server.close()
    await asyncio.sleep(0.01)


async def test_a_large_body_arrives_whole(tmp_path: Path) -> None:
    async with runtime(sends(OK), tmp_path) as (fake, address):
        client = ActionClient(unix_address(address))
        body = b"x" * 5_000_000
        assert isinstance(await client.post("/init", body, 10, 100), Answer)
        assert fake.requests[0].endswith(body)
        client.close()


async def test_a_run_that_cannot_connect_is_refused_at_once(tmp_path: Path) -> None:
    client = ActionClient(unix_address(str(tmp_path / "nothing")))
    async with asyncio.timeout(1):
        assert await client.post("/run", b"{}", 30, 10) is Failure.REFUSED


async def test_an_init_waits_for_the_runtime_to_listen(tmp_path: Path) -> None:
    client = ActionClient(unix_address(str(tmp_path / "s")))
    call = asyncio.create_task(client.post("/init", b"{}", 10, 100, retry=True))
    await asyncio.sleep(0.05)
    assert not call.done()
    async with runtime(sends(OK), tmp_path):
        assert isinstance(await call, Answer)
        client.close()


async def test_an_init_that_never_connects_is_a_timeout(tmp_path: Path) -> None:
    client = ActionClient(unix_address(str(tmp_path / "nothing")))
    started = asyncio.get_running_loop().time()
    assert await client.post("/init", b"{}", 0.1, 10, retry=True) is Failure.TIMEOUT
    assert asyncio.get_running_loop().time() - started < 1


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{", b"HTTP/1.1 2"])
async def test_a_connection_that_ends_early_is_broken(tmp_path: Path, said: bytes) -> None:
    async def answer(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async with runtime(answer, tmp_path) as (_, address):
        client = ActionClient(unix_address(address))
        assert await client.post("/run", b"{}", 5, 100) is Failure.BROKEN
        assert repr(client) == "<ActionClient [0 busy, 0 idle, 0 waiting]>"
        client.close()


async def test_answers_without_an_end_are_broken(tmp_path: Path) -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    async with runtime(sends(said), tmp_path) as (fake, address):
        client = ActionClient(unix_address(address))
        assert await client.post("/run", b"{}", 5, 100) is Failure.BROKEN
        assert await client.post("/run", b"{}", 5, 100) is Failure.BROKEN
        assert fake.connections == 2
        client.close()


async def test_the_time_limit_is_total_not_per_read(tmp_path: Path) -> None:
    """A runtime that trickles bytes for ever doesn't outlive the limit."""

    async def trickle(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with runtime(trickle, tmp_path) as (_, address):
        client = ActionClient(unix_address(address))
        started = asyncio.get_running_loop().time()
        assert await client.post("/run", b"{}", 0.1, 100) is Failure.TIMEOUT
        assert asyncio.get_running_loop().time() - started < 1
        client.close()


async def test_each_call_on_a_connection_has_its_own_time_limit(tmp_path: Path) -> None:
    """A short limit after a long one ends in time; a long one after a short one isn't ended by what is left of it."""

    async def answer(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wait = int(request.rpartition(b"\r\n\r\n")[2])
        await asyncio.sleep(wait / 1000)
        writer.write(OK)

    async with runtime(answer, tmp_path) as (fake, address):
        client = ActionClient(unix_address(address))
        assert isinstance(await client.post("/run", b"0", 0.1, 100), Answer)
        assert isinstance(await client.post("/run", b"250", 10, 100), Answer)
        assert fake.connections == 1
        started = asyncio.get_running_loop().time()
        assert await client.post("/run", b"5000", 0.05, 100) is Failure.TIMEOUT
        assert asyncio.get_running_loop().time() - started < 2
        client.close()


async def test_an_answer_before_the_request_was_sent_whole_spoils_the_connection() -> None:
    """What is left of the request would be read as the next one."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    client = ActionClient.over_socket(ours)
    call = asyncio.create_task(client.post("/init", b"x" * 5_000_000, 5, 100))
    loop = asyncio.get_running_loop()
    assert (await loop.sock_recv(theirs, 10)).startswith(b"POST /init")
    await loop.sock_sendall(theirs, b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
    assert await call == Answer(413, b"{}", 2)
    assert repr(client) == "<ActionClient [0 busy, 0 idle, 0 waiting]>"
    client.close()
    theirs.close()


async def test_a_place_given_to_a_cancelled_call_goes_to_the_next(tmp_path: Path) -> None:
    async with runtime(sends(OK), tmp_path) as (_, address):
        client = ActionClient(unix_address(address))
        calls = [asyncio.create_task(client.post("/run", b"{}", 5, 100)) for _ in range(3)]
        await asyncio.sleep(0)
        assert repr(client).endswith("2 waiting]>")
        calls[0].cancel()  # its place passes to the second, which is cancelled in the same turn of the loop
        client._waiting[0].add_done_callback(lambda _: calls[1].cancel())
        assert isinstance(await calls[2], Answer)
        assert client._free == 1
        assert calls[0].cancelled()
        assert calls[1].cancelled()
        client.close()


async def test_an_answer_after_the_time_limit_is_not_the_next_calls(tmp_path: Path) -> None:
    answers = [0.2, 0.0]

    async def answer(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(answers.pop(0))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % len(answers))

    async with runtime(answer, tmp_path) as (fake, address):
        client = ActionClient(unix_address(address))
        assert await client.post("/run", b"{}", 0.05, 100) is Failure.TIMEOUT
        assert await client.post("/run", b"{}", 5, 100) == Answer(200, b"0", 1)
        assert fake.connections == 2
        client.close()


async def test_an_idle_connection_is_not_reused_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "IDLE_LIMIT", 0.03)
    async with runtime(sends(OK), tmp_path) as (fake, address):
        client = ActionClient(unix_address(address))
        await client.post("/run", b"{}", 5, 100)
        await client.post("/run", b"{}", 5, 100)
        assert fake.connections == 1
        await asyncio.sleep(0.05)
        assert isinstance(await client.post("/run", b"{}", 5, 100), Answer)
        assert fake.connections == 2
        client.close()


async def test_a_connection_that_the_runtime_closed_is_replaced(tmp_path: Path) -> None:
    async def answer(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.close()

    async with runtime(answer, tmp_path) as (fake, address):
        client = ActionClient(unix_address(address))
        for _ in range(3):
            assert isinstance(await client.post("/run", b"{}", 5, 100), Answer)
            await asyncio.sleep(0.01)
        assert fake.connections == 3
        client.close()


async def test_a_reused_connection_that_fails_is_broken_not_refused(tmp_path: Path) -> None:
    """The request may have been read: it must not be taken for one that never ran."""
    first = True

    async def answer(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        if first:
            first = False
            writer.write(OK)
        else:
            writer.close()

    async with runtime(answer, tmp_path) as (_, address):
        client = ActionClient(unix_address(address))
        assert isinstance(await client.post("/run", b"{}", 5, 100), Answer)
        assert await client.post("/run", b"{}", 5, 100) is Failure.BROKEN
        client.close()


async def test_at_most_so_many_requests_at_once_the_others_wait(tmp_path: Path) -> None:
    running = most = 0

    async def answer(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        writer.write(OK)

    async with runtime(answer, tmp_path) as (fake, address):
        client = ActionClient(unix_address(address), connections=3)
        results = await asyncio.gather(*(client.post("/run", b"{}", 5, 100) for _ in range(12)))
        assert all(isinstance(result, Answer) for result in results)
        assert most == 3
        assert fake.connections == 3
        assert repr(client) == "<ActionClient [0 busy, 3 idle, 0 waiting]>"
        client.close()


async def test_waiting_for_ones_turn_counts_and_loses_no_place(tmp_path: Path) -> None:
    async with runtime(hangs, tmp_path) as (_, address):
        client = ActionClient(unix_address(address))
        first = asyncio.create_task(client.post("/run", b"{}", 0.2, 100))
        await asyncio.sleep(0.01)
        assert await client.post("/run", b"{}", 0.05, 100) is Failure.REFUSED
        assert await first is Failure.TIMEOUT
        assert client._free == 1
        client.close()


async def test_a_cancelled_call_closes_its_connection_and_frees_its_place(tmp_path: Path) -> None:
    async with runtime(hangs, tmp_path) as (fake, address):
        client = ActionClient(unix_address(address))
        call = asyncio.create_task(client.post("/run", b"{}", 30, 100))
        waiter = asyncio.create_task(client.post("/run", b"{}", 30, 100))
        await asyncio.sleep(0.02)
        assert repr(client) == "<ActionClient [1 busy, 0 idle, 1 waiting]>"
        waiter.cancel()
        call.cancel()
        for task in (call, waiter):
            with pytest.raises(asyncio.CancelledError):
                await task
        fake.answer = sends(OK)
        assert isinstance(await client.post("/run", b"{}", 5, 100), Answer)
        assert fake.connections == 2
        client.close()


async def test_closing_ends_calls_on_the_way_and_refuses_later_ones(tmp_path: Path) -> None:
    async with runtime(hangs, tmp_path) as (_, address):
        client = ActionClient(unix_address(address))
        call = asyncio.create_task(client.post("/run", b"{}", 30, 100))
        waiter = asyncio.create_task(client.post("/run", b"{}", 30, 100))
        await asyncio.sleep(0.02)
        client.close()
        client.close()
        assert await call is Failure.BROKEN
        assert await waiter is Failure.REFUSED
        assert await client.post("/run", b"{}", 30, 100) is Failure.REFUSED
        assert await client.post("/init", b"{}", 0.05, 100, retry=True) is Failure.TIMEOUT


async def served_pair(answer: Handler) -> tuple[ActionClient, Runtime, asyncio.Task[None]]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=theirs)
    fake = Runtime(answer)
    return ActionClient.over_socket(ours), fake, asyncio.create_task(fake.serve(reader, writer))


async def test_one_socket_serves_for_ever() -> None:
    client, fake, task = await served_pair(sends(OK))
    for _ in range(3):
        assert isinstance(await client.post("/run", b"{}", 5, 100), Answer)
    assert fake.connections == 1
    client.close()
    await task


async def test_a_socket_that_ended_refuses() -> None:
    client, _, task = await served_pair(closes)
    assert await client.post("/run", b"{}", 5, 100) is Failure.BROKEN
    assert await client.post("/run", b"{}", 5, 100) is Failure.REFUSED
    client.close()
    await task


async def test_an_answer_without_a_question_spoils_the_connection() -> None:
    """A runtime that writes by itself can't plant the answer of the next run."""

    async def twice(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await asyncio.sleep(0.01)
        writer.write(OK)

    client, _, task = await served_pair(twice)
    assert isinstance(await client.post("/run", b"{}", 5, 100), Answer)
    await asyncio.sleep(0.03)
    assert await client.post("/run", b"{}", 5, 100) is Failure.REFUSED
    client.close()
    await task


async def test_a_socket_that_was_never_used_is_closed_too() -> None:
    ours, theirs = socket.socketpair()
    client = ActionClient.over_socket(ours)
    client.close()
    assert ours.fileno() == -1
    assert theirs.recv(1) == b""
    theirs.close()
    assert await client.post("/run", b"{}", 5, 100) is Failure.REFUSED
