"""One node on a real broker, its store in a file; the test is the controller."""

from __future__ import annotations

import http.client
import itertools
import json
import signal
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.kafka import Kafka
from tests.cluster.wire import Wire, kinds
from tests.crash.node import Node, request, until
from tests.crash.runner import bare_runtimes
from tests.support.certificates import Authority

pytestmark = pytest.mark.kafka

_prefixes = itertools.count()
CODE = (
    "def main(args):\n    import time\n    time.sleep(args.get('sleep', 0))\n    print('line')\n    return {'n': args.get('n')}\n"
)


class Alone:
    """A node on a topic of its own, started as often as wanted on the same data."""

    def __init__(self, address: str, directory: Path, stack: ExitStack) -> None:
        self.prefix = f"n{next(_prefixes)}-"
        self.directory = directory
        self.address = address
        self.wire = Wire(address, self.prefix)
        self._stack = stack
        stack.callback(self.wire.close)

    def start(self, *flags: str, number: int = 0, **more: str) -> Node:
        environment = {"REWHISK_RUN_AHEAD_AFTER": "0s", **{f"REWHISK_{key.upper()}": value for key, value in more.items()}}
        given = ["--kafka", self.address, "--topic-prefix", self.prefix, "--id", str(number), "--memory", "1024m",
                 "--driver", "process", "--auth", "guest", "--runtimes", bare_runtimes(self.directory)]  # fmt: skip
        node = self._stack.enter_context(Node(self.directory / "data", *given, *flags, environment=environment))
        return node.wait_ready()

    def record(self, node: Node, activation_id: str) -> dict:
        """Once it is there: it is written after the acknowledgement."""
        until(lambda: node.api("GET", f"activations/{activation_id}").status == 200, 30, lambda: f"no record of {activation_id}")
        return node.api("GET", f"activations/{activation_id}").body


@pytest.fixture
def alone(broker: Kafka, tmp_path: Path) -> Iterator[Alone]:
    with ExitStack() as stack:
        yield Alone(broker.address, tmp_path, stack)


def test_upstreams_acknowledgements(alone: Alone) -> None:
    """Blocking: result, then the slot; else only the slot; without logs, or without a container, one message; pings meanwhile."""
    node = alone.start(user_events="on")
    node.put_action("hello", "python:3", CODE)
    node.put_action("quiet", "python:3", CODE, limits={"logs": 0})
    wire = alone.wire
    blocking, plain, quiet = wire.invoke(), wire.invoke(blocking=False), wire.invoke(name="quiet")
    missing, shrunk = wire.invoke(name="nothing"), wire.invoke(name="nothing", blocking=False)
    transid = ["t" * 32, 1, True, ["parent", 2, ["grand", 3]]]
    long = wire.invoke(transid=transid, content=[1, 2], cause="c" * 32)
    wire.freed(blocking, plain, quiet, missing, shrunk, long)
    assert kinds(wire.acks(blocking)) == ["result", "completion"]
    assert kinds(wire.acks(plain)) == ["completion"]
    assert kinds(wire.acks(quiet)) == ["combined"]
    assert kinds(wire.acks(missing)) == kinds(wire.acks(shrunk)) == ["combined"]
    assert wire.acks(shrunk)[0]["response"] == shrunk
    response = wire.acks(blocking)[0]["response"]
    assert (response["response"]["result"], response["logs"]) == ({"n": 1}, [])
    assert wire.acks(missing)[0]["response"]["response"]["statusCode"] == 1
    assert all(ack["transid"] == transid for ack in wire.acks(long))
    assert wire.acks(plain)[0]["instance"] == {
        "instance": 0, "userMemory": f"{1 << 30} B", "instanceType": "invoker", "tags": [], "dedicatedNamespaces": [],
        "uniqueName": "0", "displayedName": "0",
    }  # fmt: skip
    until(lambda: len(wire.heard["events"]) == 6, 20, lambda: str(wire.heard["events"]))
    until(lambda: len(wire.heard["health"]) > 2, 20, "no pings")
    ping = wire.heard["health"][0]
    assert (ping["isEnabled"], ping["name"]) == (True, wire.acks(plain)[0]["instance"])
    until(lambda: "line" in str(alone.record(node, blocking)["logs"]), 20, "no logs")
    assert "authorization" not in json.dumps(wire.heard)


def test_probes_and_what_nobody_can_read(alone: Alone) -> None:
    """A probe with its controller's old start runs; rubbish costs nothing; half a message ends with a record."""
    node = alone.start()
    node.put_action("hello", "python:3", CODE)
    wire = alone.wire
    half = wire.message(blocking="perhaps")
    wire.post(0, b"rubbish", b"", b"\xff", half)
    probe = wire.invoke(blocking=False, transid=["sid_invokerHealth", 1], revision=None)
    wire.freed(probe, half["activationId"])
    assert "could not be read" in alone.record(node, half["activationId"])["response"]["result"]["error"]
    assert 'event="unreadable"} 4.0' in request(node.url, "GET", "/metrics").body


def test_stale_and_blocked(alone: Alone) -> None:
    """Late by the broker's clock: not run, with a record and its slot free. So is what a blocked namespace sends."""
    node = alone.start(stale_grace="1s", blocking_wait="1s", blocked_every="200ms")
    node.put_action("hello", "python:3", CODE)
    wire = alone.wire
    late = wire.message()
    wire.post(0, late, at=round(time.time() * 1000) - 10_000)
    old = wire.message(blocking=False)
    wire.post(0, old, at=round(time.time() * 1000) - 10_000)
    wire.freed(late["activationId"], old["activationId"])
    assert "late" in alone.record(node, late["activationId"])["response"]["result"]["error"]
    assert wire.acks(late["activationId"])[-1]["isSystemError"] is False
    assert alone.record(node, old["activationId"])["response"]["success"] is True


def test_the_same_message_again(alone: Alone) -> None:
    """While it runs, when it is over, and after a restart that forgot it: run once, told each time."""
    node = alone.start()
    node.put_action("hello", "python:3", CODE)
    wire = alone.wire
    message = wire.message(content={"sleep": 1, "n": 5})
    wire.post(0, message, message)
    id = message["activationId"]
    wire.freed(id)
    assert kinds(wire.acks(id)) == ["result", "completion"]
    wire.post(0, message)
    until(lambda: len(wire.acks(id)) == 3, 30, lambda: str(wire.acks(id)))
    node.signal(signal.SIGTERM)
    assert node.wait_dead().code == 0
    node = alone.start()
    wire.post(0, message)
    until(lambda: len(wire.acks(id)) >= 4, 30, lambda: str(wire.acks(id)))
    assert wire.acks(id)[-1]["response"]["response"]["result"] == {"n": 5}
    assert "attempts" not in str(alone.record(node, id)["annotations"])


@pytest.mark.parametrize("point", ["accepted:before", "accepted:written", "finished:after", "recorded:after", "acked:before"])
def test_killed_the_next_process_tells_what_is_missing(alone: Alone, point: str) -> None:
    """Whatever the broker had was not committed before it was durable: every id gets its record and its slot is freed."""
    first = alone.start()
    first.put_action("hello", "python:3", CODE)
    first.kill()
    doomed = alone.start(failpoint=f"{point}:3")
    wire = alone.wire
    ids = [wire.invoke(blocking=bool(n % 2)) for n in range(8)]
    doomed.wait_dead(60)
    ids += [wire.invoke() for _ in range(2)]
    node = alone.start()
    wire.freed(*ids)
    for id in ids:
        assert alone.record(node, id)["response"]["success"] is True
        if "result" in kinds(wire.acks(id)):
            assert wire.acks(id)[0]["response"]["response"]["result"] == {"n": 1}
    node.wait_quiet()


def test_drained_it_says_so_and_leaves_the_rest(alone: Alone) -> None:
    """`isEnabled: false` once, nothing more is read; what runs is told; the next process has what came later."""
    node = alone.start()
    node.put_action("hello", "python:3", CODE)
    wire = alone.wire
    running = wire.invoke(content={"sleep": 2})
    until(lambda: node.status()["running"] == 1, 30, lambda: str(node.status()))
    node.signal(signal.SIGTERM)
    until(lambda: wire.heard["health"][-1]["isEnabled"] is False, 20, "no notice")
    later = wire.invoke()
    assert node.wait_dead().code == 0
    wire.freed(running)
    assert wire.acks(later) == []
    assert [ping["isEnabled"] for ping in wire.heard["health"]].count(False) == 1
    alone.start()
    wire.freed(later)


def test_invoke_over_http(alone: Alone) -> None:
    """The head when it is durable, the whole acknowledgement as the body; refusals say why; an id is run once."""
    node = alone.start()
    node.put_action("hello", "python:3", CODE)
    wire = alone.wire
    message = wire.message()
    answer = request(node.url, "POST", "/invoke", message)
    assert (answer.status, kinds([answer.body])) == (200, ["combined"])
    assert answer.body["response"]["response"]["result"] == {"n": 1}
    again = request(node.url, "POST", "/invoke", message)
    assert again.body["response"]["activationId"] == message["activationId"]
    plain = request(node.url, "POST", "/invoke", wire.message(blocking=False))
    assert isinstance(plain.body["response"], str)
    wire.post(0, message)
    wire.freed(message["activationId"])
    assert request(node.url, "POST", "/invoke", {"a": 1}).status == 400
    assert request(node.url, "GET", "/invoke").status == 405
    assert request(node.url, "POST", "/invoke", message, headers={"Origin": "http://evil"}).status == 403


def test_a_broken_connection_is_made_up_for_by_the_broker(alone: Alone) -> None:
    """The controller hung up before the end, or the node died: the end comes by the broker."""
    node = alone.start()
    node.put_action("hello", "python:3", CODE)
    wire = alone.wire
    ids = []
    for last in (False, True):
        message = wire.message(content={"sleep": 1})
        ids.append(message["activationId"])
        connection = http.client.HTTPConnection(*node.url.removeprefix("http://").split(":"))
        connection.request("POST", "/invoke", json.dumps(message), {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
        if last:
            node.kill()
        connection.close()
    alone.start()
    wire.freed(*ids)


def test_the_token(alone: Alone) -> None:
    """Where there is one, nobody comes in without it."""
    token = uuid.uuid4().hex
    node = alone.start(invoke_token=token)
    message = alone.wire.message(name="nothing")
    assert request(node.url, "POST", "/invoke", message).status == 401
    assert request(node.url, "POST", "/invoke", message, headers={"Authorization": "Bearer wrong"}).status == 401
    assert request(node.url, "POST", "/invoke", message, headers={"Authorization": f"Bearer {token}"}).status == 200


def test_certificates(alone: Alone, tmp_path: Path) -> None:
    """Off loopback only who shows a certificate of the right authority comes in; the API is for everybody."""
    ours, others = Authority(tmp_path / "ours", "ours"), Authority(tmp_path / "others", "others")
    cert, key = ours.issue("node")
    node = alone.start("--host", "0.0.0.0", "--tls-cert", str(cert), "--tls-key", str(key), "--tls-client-ca", str(ours.ca))
    assert node.url.startswith("https://")

    def ask(*shown: Path) -> int:
        context = ssl.create_default_context(cafile=str(ours.ca))
        if shown:
            context.load_cert_chain(*shown)
        host, _, port = node.url.removeprefix("https://").partition(":")
        connection = http.client.HTTPSConnection(host, int(port), context=context)
        try:
            connection.request("POST", "/invoke", json.dumps(alone.wire.message(name="nothing")))
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    assert ask() == 403
    assert ask(*others.issue("stranger")) == 0
    assert ask(*ours.issue("controller")) == 200
