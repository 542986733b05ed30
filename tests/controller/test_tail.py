"""Following the logs of what runs: lines as they come, each once, then the end. Through a node: tests/system/test_tail.py."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.tail import missing
from tests.controller.serving import API, Serving, basic, serving

MISSING = "0" * 32


class Reader:
    """A client that reads events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def ask(cls, server: Serving, activation_id: str, auth: str = "guest") -> Reader:
        reader, writer = await server.connect()
        head = f"GET {API}/activations/{activation_id}/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        writer.write(f"{head}Accept: text/event-stream\r\nAuthorization: {basic(auth)}\r\n\r\n".encode())
        return cls(reader, writer)

    async def head(self) -> bytes:
        async with asyncio.timeout(10):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def event(self) -> tuple[str, Any]:
        async with asyncio.timeout(10):
            while True:
                line = (await self._reader.readline()).decode().strip()
                if line.startswith("event: "):
                    data = (await self._reader.readline()).decode().strip()
                    return line[7:], json.loads(data.removeprefix("data: "))


async def running(server: Serving) -> str:
    await server.put_action("a")
    server.invoker.hold = True
    return str((await server.send("POST", f"{API}/actions/a", {})).json["activationId"])


async def test_lines_come_while_it_runs_and_the_end_when_it_ends() -> None:
    async with serving() as server:
        activation_id = await running(server)
        printed = server.invoker.printed[activation_id] = ["one"]
        reader = await Reader.ask(server, activation_id)
        head = await reader.head()
        assert b" 200 " in head
        assert b"text/event-stream" in head
        assert await reader.event() == ("line", "one")
        printed += ["two\n", "drei é"]
        assert [await reader.event() for _ in range(2)] == [("line", "two\n"), ("line", "drei é")]
        printed.append("last")
        await server.invoker.finish(server.invoker.invocations[0])
        assert await reader.event() == ("line", "last")
        assert await reader.event() == ("end", {"activationId": activation_id, "status": "success"})
        reader.writer.close()


async def test_what_has_ended_is_told_at_once() -> None:
    async with serving() as server:
        activation_id = await running(server)
        server.invoker.printed[activation_id] = ["one"]
        await server.invoker.finish(server.invoker.invocations[0])
        reader = await Reader.ask(server, activation_id)
        assert await reader.event() == ("line", "one")
        assert await reader.event() == ("end", {"activationId": activation_id, "status": "success"})
        reader.writer.close()


async def test_a_reader_who_leaves_is_not_followed_on() -> None:
    async with serving() as server:
        reader = await Reader.ask(server, await running(server))
        await reader.head()
        asked = 0
        lines = server.invoker.lines

        def counted(namespace: str, activation_id: str) -> list[str]:
            nonlocal asked
            asked += 1
            return lines(namespace, activation_id)

        server.invoker.lines = counted  # type: ignore[method-assign]
        reader.writer.close()
        async with asyncio.timeout(10):
            before = -1
            while asked != before:
                before = asked
                await asyncio.sleep(0.5)


async def test_only_the_owner_follows_and_only_what_there_is() -> None:
    async with serving() as server:
        activation_id = await running(server)
        for asked, auth, status in ((MISSING, "guest", b"404"), (activation_id, "other", b"404"), (activation_id, "wrong", b"401")):
            reader = await Reader.ask(server, asked, auth)
            assert (await reader.head()).split(b" ")[1] == status
            reader.writer.close()


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_every_line_of_the_record_is_sent_once(sent: list[str], logs: list[str]) -> None:
    rest = missing(sent, logs)
    for line in set(logs):
        assert rest.count(line) == max(0, logs.count(line) - sent.count(line))
    assert missing(logs[: len(logs) // 2], logs) == logs[len(logs) // 2 :]
