"""What the parts of an invocation cost: CPU microseconds of this process per operation, best of three.

.venv/bin/python -m benchmarks.parts
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable

import uvloop
from msgspec import Raw
from thespian.actors import Actor, ActorExitRequest, ActorSystem

from actors.system import NodeSystem
from containers import outcome, payload
from containers.client import ActionClient
from containers.contract import Answer
from containers.logs import SENTINEL, LogDemux, log_time
from messages.action import Executable
from messages.events import Finished
from messages.record import api_form, fitting, record_of, storable, summary
from messages.wire import ActionName, ActivationMessage, ControllerId, Identity, Limits, Namespace

ID = "9c1f0a52d2b74c3e9f0a52d2b7ac3e11"
MB = 1 << 20
RESULT = b'{"width":640}'
MESSAGE = ActivationMessage(
    ["k3dYqv0cJc5b9s2Qm1ZrT8uXwEfLhNoA", 1735689600123], ActionName("guest/imagetools", "resize", "0.0.7"), "7-b",
    Identity("alice@example.org", Namespace("alice", "1b")), ID, ControllerId("0"), True, Raw(b'{"url":"https://example.org/a.png"}'),
)  # fmt: skip
ACTION = Executable("guest/imagetools/resize", "1", "0.0.7", "nodejs:20", "main", "x", False, "", Limits(), False, "rerun")
FINISHED = Finished(
    ID, 1735689600740, 0, 1735689600400, 1735689600733, Raw(RESULT), 13, "0.0.8", "nodejs:20", Limits(), False, 277
)  # fmt: skip
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nX-Powered-By: Express\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 13\r\n"
    b'ETag: W/"2-vyGp6PvFo4RvsFtPoIWeCReyIC8"\r\nDate: Mon, 1 Jan 2025 00:00:00 GMT\r\nConnection: keep-alive\r\n\r\n' + RESULT
)


def measure(name: str, work: Callable[[int], object], n: int = 20_000) -> None:
    """Print the CPU µs of one of `n` operations that `work(n)` does."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work(n)
        best = min(best, (time.process_time() - start) / n * 1e6)
    print(f"{name:<44} {best:8.2f} µs")


def repeat(call: Callable[[], object]) -> Callable[[int], None]:
    """`call`, n times."""

    def work(n: int) -> None:
        for _ in range(n):
            call()

    return work


def pure_parts() -> None:
    """Bodies, outcomes, records, logs."""
    answer, record, now = Answer(200, RESULT, len(RESULT)), record_of(MESSAGE, FINISHED, []), log_time(time.time_ns())
    demux = LogDemux()

    def logs(printed: bytes) -> None:
        demux.begin(ID, 10 * MB)
        demux.feed("stdout", printed + SENTINEL + b"\n", now)
        demux.feed("stderr", SENTINEL + b"\n", now)
        demux.collect(ID, now)

    measure("run_body", repeat(lambda: payload.run_body(MESSAGE, ACTION, 1735689660455)))
    measure("run_response, small ASCII result", repeat(lambda: outcome.run_response(answer, 5, 60_000, MB)))
    measure("record_of", repeat(lambda: record_of(MESSAGE, FINISHED, [])))
    measure("storable and fitting", repeat(lambda: (storable(FINISHED), fitting(record, ""))))
    measure("api_form", repeat(lambda: api_form(record)))
    measure("summary", repeat(lambda: summary(record)))
    measure("logs of a run with one line", repeat(lambda: logs(b"hello\n")))
    measure(
        "logs of a run with 1000 lines", repeat(lambda: logs(b"a line of fifty characters, more or less, no more.\n" * 1000)), 200
    )


def runtime() -> socket.socket:
    """A connection to another process that answers at once."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        while theirs.recv(65_536):
            theirs.sendall(RESPONSE)
        os._exit(0)
    theirs.close()
    return ours


async def client(label: str) -> None:
    """The /run client over a socket pair, alone and eight at once, beside a bare write and read."""
    body = payload.run_body(MESSAGE, ACTION, 1735689660455)
    loop = asyncio.get_running_loop()

    async def calls(one: ActionClient, n: int) -> None:
        for _ in range(n):
            await one.post("/run", body, 60, MB)

    for parallel in (1, 8):
        clients = [ActionClient.over_socket(runtime()) for _ in range(parallel)]
        await asyncio.gather(*(calls(one, 100) for one in clients))
        start = time.process_time()
        await asyncio.gather(*(calls(one, 8000 // parallel) for one in clients))
        print(f"{f'post, {parallel} at once, {label}':<44} {(time.process_time() - start) / 8000 * 1e6:8.2f} µs")
        for one in clients:
            one.close()
    bare = runtime()
    bare.setblocking(False)
    start = time.process_time()
    for _ in range(8000):
        await loop.sock_sendall(bare, body)
        await loop.sock_recv(bare, 65_536)
    print(f"{f'bare sock_sendall and sock_recv, {label}':<44} {(time.process_time() - start) / 8000 * 1e6:8.2f} µs")
    bare.close()


class Silent(Actor):
    """Does nothing."""

    def receiveMessage(self, message: object, sender: object) -> None:  # noqa: N802
        """Nothing."""


class Pinger(Actor):
    """Counts down with another one."""

    def receiveMessage(self, message: object, sender: object) -> None:  # noqa: N802
        """`(other, n)` starts it."""
        if isinstance(message, tuple):
            self.send(message[0], message[1])
        elif message:
            self.send(sender, message - 1)


class Parent(Actor):
    """Makes a child and ends it."""

    def receiveMessage(self, message: object, sender: object) -> None:  # noqa: N802
        """On `create`."""
        if message == "create":
            self.send(self.createActor(Silent), ActorExitRequest())


def system(label: str, actors: ActorSystem, run: Callable[[], None], n: int) -> None:
    """tell, send, create and exit."""
    silent, ping, pong, parent = (actors.createActor(kind) for kind in (Silent, Pinger, Pinger, Parent))

    def tells(count: int) -> None:
        for number in range(count):
            actors.tell(silent, number)
            if number % 50 == 49:
                run()

    def sends(count: int) -> None:
        actors.tell(ping, (pong, count))
        run()

    def creates(count: int) -> None:
        for _ in range(count):
            actors.tell(parent, "create")
            run()

    measure(f"tell, {label}", tells, n)
    measure(f"send, {label}", sends, n)
    measure(f"create and exit a child, {label}", creates, 1000)


def systems() -> None:
    """Our base beside Thespian's stock in-process one."""
    ready: deque[Callable[[], None]] = deque()

    def run() -> None:
        while ready:
            ready.popleft()()

    def never(seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        raise AssertionError("no wakeups here")

    def failed(name: str, error: Exception, message: object) -> None:
        raise AssertionError(name) from error

    system("NodeSystem", NodeSystem(ready.append, never, failed), run, 20_000)
    logging.getLogger("Thespian").setLevel(logging.CRITICAL)
    stock = ActorSystem("simpleSystemBase", logDefs=False, transientUnique=True)
    system("simpleSystemBase", stock, lambda: None, 5000)


if __name__ == "__main__":
    pure_parts()
    systems()
    asyncio.run(client("asyncio"))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(client("uvloop"))
