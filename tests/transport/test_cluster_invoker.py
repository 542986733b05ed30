"""A controller's invoker with a scripted network: what is accepted, where it goes, how its caller learns the end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import UNSET, structs

from controller.balancer.balancer import Balancer, Rules
from controller.balancer.health import PING_PATIENCE
from messages.action import Executable
from messages.cluster import Ack, Heartbeat, InvokerId, PingMessage, combined, completion, result
from messages.record import fallback, record_of
from messages.wire import ActivationMessage, ActivationRecord, decode_message, encode
from store.memory import MemoryStore
from tests.support.actor_bench import action, message
from transport import cluster_answers, kafka_producer
from transport.cluster_invoker import RETENTION, ClusterInvoker
from transport.contract import Refused
from transport.invoke_client import Declined, Outcome, Received, Unknown

ID = "1" * 32
TAKEN = kafka_producer.Sent(7)


class Clock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return round(self.now * 1000)

    def call_later(self, seconds: float, callback: object) -> Any:
        raise AssertionError("no timers here")


class Network:
    """Bus and InvokeClient: `broker` and `nodes` say what comes of sending, `sent` what was sent where."""

    def __init__(self) -> None:
        self.broker: kafka_producer.Outcome | None = TAKEN
        self.nodes: dict[str, Outcome] = {}
        self.sent: list[tuple[str, ActivationMessage]] = []
        self.waiting: list[kafka_producer.Done] = []
        self.open = 0

    def send(self, topic: str, value: bytes, done: kafka_producer.Done) -> None:
        self.sent.append((topic, decode_message(value)))
        if self.broker is None:
            self.waiting.append(done)
        else:
            asyncio.get_running_loop().call_soon(done, self.broker)

    async def invoke(self, url: str, body: bytes, about: Mapping[str, str]) -> Outcome:
        self.sent.append((url, decode_message(body)))
        return self.nodes[url]

    def busy(self, url: str) -> int:
        return self.open

    @property
    def places(self) -> list[str]:
        return [place for place, _ in self.sent]


class Cluster:
    """A controller's invoker, two nodes of ours behind it; `foreign`: they are upstream's and have proved themselves."""

    def __init__(self, *, http: bool = False, foreign: bool = False, nodes: int = 2, patience: float = 0.0) -> None:
        self.clock, self.network, self.store = Clock(), Network(), MemoryStore()
        self.balancer = Balancer(Rules(), lambda n: 0)
        self.invoker = ClusterInvoker(
            balancer=self.balancer,
            bus=self.network,
            client=self.network,  # type: ignore[arg-type]
            records=self.store.activations,
            clock=self.clock,
            topic=lambda number: f"invoker{number}",
            instrument=lambda step, facts: None,
            unready=lambda: None,
            start_patience=patience,
        )
        self.foreign, self.http, self.count = foreign, http, nodes
        self.ping()

    def ping(self) -> None:
        beats = {f"invoker{n}": Heartbeat("w", 1, address=f"http://{n}" if self.http else "") for n in range(self.count)}
        for number in range(self.count):
            self.invoker.pinged(PingMessage(instance(number)))
        self.clock.now += 0.001
        self.invoker.nodes({} if self.foreign else beats, 1)
        for number in range(self.count):
            self.invoker.pinged(PingMessage(instance(number)))
            if self.foreign:
                self.balancer.tests(self.clock.now)
                self.invoker.acknowledged(completion(["sid_invokerHealth", 1], "f" * 32, instance(number), system_error=False))

    async def tick(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.ping()
        await self.invoker.tick(lambda number: None)

    async def invoke(self, activation_id: str = ID, *, blocking: bool = True, node: str = "", **limits: int) -> Any:
        return await self.invoker.invoke(message(activation_id, blocking), action(**limits), node)

    async def record(self, activation_id: str = ID) -> ActivationRecord:
        made = record(activation_id)
        await self.store.activations.write([made])
        return made


def instance(number: int) -> InvokerId:
    return InvokerId(number, "1073741824 B")


def record(activation_id: str = ID) -> ActivationRecord:
    return structs.replace(record_of(message(activation_id), fallback(activation_id, 1000, 0, "x"), []), logs=["line"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_answers, "LOOKS", (0.01,) * 6)


async def test_accepted_is_what_the_broker_acknowledged() -> None:
    """The answer waits for it."""
    cluster = Cluster()
    cluster.network.broker = None
    asked = asyncio.create_task(cluster.invoke())
    await asyncio.sleep(0.01)
    assert not asked.done()
    cluster.network.waiting[0](TAKEN)
    assert (await asked).id == ID
    assert cluster.invoker.pending("guest", ID) == {"state": "sent", "since": 1000, "attempt": 1}
    assert cluster.invoker.pending("other", ID) is None
    assert cluster.invoker.unfinished() == [(ID, "guest/hello")]
    assert (cluster.invoker.in_flight("guest"), cluster.invoker.in_flight("other")) == (1, 0)


async def test_the_message_is_upstreams_with_the_callers_key() -> None:
    cluster = Cluster()
    await cluster.invoke()
    (_, sent), expected = cluster.network.sent[0], message(ID, True)
    assert encode(sent) == encode(expected)
    assert sent.user.authkey == {"api_key": "u:k"}


async def test_a_node_that_has_an_address_is_asked_itself() -> None:
    """Its head is the receipt; its body ends the activation and answers the caller."""
    cluster = Cluster(http=True)
    body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    cluster.network.nodes = {f"http://{n}": Received(body) for n in range(2)}
    invocation = await cluster.invoke()
    assert cluster.network.places in (["http://0"], ["http://1"])
    body.set_result(encode(combined(["t", 1000], record(), instance(0), system_error=False)))
    assert await invocation.result(5.0) == record()
    assert cluster.balancer.in_flight() == 0


@pytest.mark.parametrize("why", ["overload", "connections"])
async def test_an_overloaded_node_gets_it_through_its_topic(why: str) -> None:
    cluster = Cluster(http=True, nodes=1)
    if why == "connections":
        cluster.network.open = 10_000
    limits = {"memory": 2048} if why == "overload" else {}
    await cluster.invoke(**limits)
    assert cluster.network.places == ["invoker0"]


@pytest.mark.parametrize("refusal", [Declined(0, "no connection"), Declined(503, "draining"), Declined(429, "full")])
async def test_after_a_certain_refusal_another_node_is_asked(refusal: Declined) -> None:
    cluster = Cluster(http=True)
    chosen = await cluster.invoker.choose(message(ID), action())
    first, second = (0, 1) if chosen == "invoker0" else (1, 0)
    body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    cluster.network.nodes = {f"http://{first}": refusal, f"http://{second}": Received(body)}
    await cluster.invoke()
    assert cluster.network.places == [f"http://{first}", f"http://{second}"]
    assert cluster.balancer.in_flight() == 1
    assert cluster.balancer.invokers[first].slots.used == 0


async def test_when_all_refuse_the_last_ones_topic_keeps_it() -> None:
    cluster = Cluster(http=True)
    cluster.network.nodes = {f"http://{n}": Declined(429, "full") for n in range(2)}
    await cluster.invoke()
    assert len(cluster.network.places) == 3
    assert cluster.network.places[2] == cluster.network.places[1].replace("http://", "invoker")


async def test_a_lost_receipt_is_repeated_to_the_same_node_only() -> None:
    """Through its topic, with the same id: whoever owns its stream recognises it."""
    cluster = Cluster(http=True)
    cluster.network.nodes = {f"http://{n}": Unknown("reset") for n in range(2)}
    await cluster.invoke()
    first, second = cluster.network.places
    assert second == first.replace("http://", "invoker")
    assert {sent.activation_id for _, sent in cluster.network.sent} == {ID}


@pytest.mark.parametrize("after", [Unknown("reset"), None])
async def test_what_nobody_knows_is_neither_accepted_nor_refused(after: Unknown | None) -> None:
    """The caller's connection ends without an answer; the place stays taken until the record shows up or time is over."""
    cluster = Cluster(http=after is not None, nodes=1)
    if after is not None:
        cluster.network.nodes = {"http://0": after}
    cluster.network.broker = kafka_producer.Unsent("no broker", certain=after is not None)
    with pytest.raises(ConnectionAbortedError):
        await cluster.invoke()
    await cluster.tick()
    assert cluster.balancer.in_flight() == 1
    await cluster.record()
    await cluster.tick()
    assert cluster.balancer.in_flight() == 0


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (kafka_producer.Unsent("down", certain=True), 503),
        (kafka_producer.Unsent("no topic", certain=True, no_topic=True), 503),
        (kafka_producer.Unsent("large", certain=True, too_large=True), 413),
    ],
)
async def test_what_is_certainly_not_there_is_refused_and_leaves_nothing(outcome: kafka_producer.Unsent, status: int) -> None:
    cluster = Cluster()
    cluster.network.broker = outcome
    with pytest.raises(Refused) as refused:
        await cluster.invoke()
    assert refused.value.status == status
    assert cluster.balancer.in_flight() == 0
    assert len(cluster.invoker.answers) == 0


async def test_a_full_queue_to_the_broker_is_a_certain_refusal() -> None:
    cluster = Cluster()

    def full(topic: str, value: bytes, done: kafka_producer.Done) -> None:
        raise kafka_producer.Overflow("10000 messages wait")

    cluster.network.send = full  # type: ignore[method-assign]
    with pytest.raises(Refused):
        await cluster.invoke()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_result_and_completion_may_come_in_any_order(order: tuple[int, int]) -> None:
    """The caller is answered by the result, the slot is freed by the completion."""
    cluster = Cluster()
    invocation = await cluster.invoke()
    acks: list[Ack] = [result(["t", 1000], record()), completion(["t", 1000], ID, instance(0), system_error=False)]
    for number in order:
        cluster.invoker.acknowledged(acks[number])
        cluster.invoker.acknowledged(acks[number])
    assert await invocation.result(5.0) == record()
    assert cluster.balancer.in_flight() == 0


async def test_a_shrunk_result_is_fetched_from_the_store() -> None:
    cluster = Cluster()
    invocation = await cluster.invoke()
    await cluster.record()
    cluster.invoker.acknowledged(combined(["t", 1000], ID, instance(0), system_error=False))
    assert await invocation.result(5.0) == structs.replace(record(), logs=[])


async def test_without_any_acknowledgement_the_store_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_answers, "LOOK_EVERY", 0.02)
    cluster = Cluster()
    invocation = await cluster.invoke()
    assert await invocation.result(0.05) is None
    await cluster.record()
    assert await invocation.result(5.0) is not None


async def test_the_end_of_a_node_that_died_in_between_is_found_in_the_store() -> None:
    cluster = Cluster(http=True, nodes=1)
    body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    cluster.network.nodes = {"http://0": Received(body)}
    invocation = await cluster.invoke()
    body.set_exception(ConnectionError("reset"))
    await cluster.tick()
    assert cluster.balancer.in_flight() == 1
    await cluster.record()
    assert await invocation.result(5.0) is not None
    await cluster.tick()
    assert cluster.balancer.in_flight() == 0


async def test_one_of_our_nodes_is_never_given_up_while_its_topic_keeps_the_message() -> None:
    cluster = Cluster(nodes=1)
    cluster.clock.now = 1.0  # when the test message's transaction starts
    await cluster.invoke()
    for _ in range(3):
        await cluster.tick(3600.0)
        assert cluster.balancer.in_flight() == 1
    await cluster.tick(RETENTION)
    assert cluster.balancer.in_flight() == 0
    assert (await cluster.store.activations.get("guest", ID)) is not None


async def test_a_foreign_invoker_that_reports_nothing_leaves_a_record_that_says_so() -> None:
    """Upstream's time, and then a record: the caller learns what is stored."""
    cluster = Cluster(foreign=True, nodes=1)
    invocation = await cluster.invoke()
    await cluster.tick(179.0)
    assert cluster.balancer.in_flight() == 1
    await cluster.tick(2.0)
    stored = await cluster.store.activations.get("guest", ID)
    assert stored is not None
    assert stored.response.status_code == 3
    assert b"did not report" in bytes(stored.response.result)  # type: ignore[arg-type]
    assert structs.replace(await invocation.result(5.0), logs=UNSET) == structs.replace(stored, logs=UNSET)


async def test_a_lost_acknowledgement_is_made_up_for_by_the_record() -> None:
    cluster = Cluster(foreign=True, nodes=1)
    await cluster.invoke()
    await cluster.record()
    await cluster.tick(200.0)
    assert cluster.balancer.in_flight() == 0
    assert cluster.balancer.states()["invoker0"] == "up"


async def test_a_controller_that_has_just_started_waits_for_an_invoker() -> None:
    cluster = Cluster(nodes=0, patience=10.0)
    asked = asyncio.create_task(cluster.invoke())
    await asyncio.sleep(0.01)
    assert not asked.done()
    cluster.count = 1
    cluster.ping()
    assert (await asked).id == ID
    cluster.count = 0
    await cluster.tick(PING_PATIENCE)
    with pytest.raises(Refused):
        await cluster.invoke("2" * 32)


async def test_a_node_chosen_before_gets_it_again_whatever_its_state() -> None:
    """The id is in the books once, and only that node is asked, over HTTP and then its topic."""
    cluster = Cluster(http=True)
    cluster.network.nodes = {f"http://{n}": Declined(503, "draining") for n in range(2)}
    await cluster.invoke(node="invoker1")
    await cluster.invoke(node="invoker1")
    assert cluster.network.places == ["http://1", "invoker1"] * 2
    assert cluster.balancer.in_flight() == 1
    await cluster.invoke("2" * 32, node="invoker7")
    assert cluster.network.places[-1] == "invoker7"


async def test_a_node_that_misunderstands_is_left_alone_for_a_while() -> None:
    cluster = Cluster(http=True, nodes=1)
    cluster.network.nodes = {"http://0": Declined(404, "not found")}
    await cluster.invoke()
    await cluster.invoke("2" * 32)
    assert cluster.network.places == ["http://0", "invoker0", "invoker0"]


async def test_a_node_of_ours_that_pings_before_its_heartbeat_was_read_is_not_tested() -> None:
    """Whose it is shows with the next reading; an invoker that isn't ours has to wait that long too."""
    cluster = Cluster(nodes=0)
    cluster.invoker.pinged(PingMessage(instance(0)))
    assert cluster.balancer.states() == {}
    cluster.clock.now += 1.0
    cluster.invoker.nodes({"invoker0": Heartbeat("w", 1)}, 1)
    cluster.invoker.pinged(PingMessage(instance(0)))
    cluster.invoker.pinged(PingMessage(instance(1)))
    assert cluster.balancer.states() == {"invoker0": "up"}
    cluster.clock.now += 1.0
    cluster.invoker.nodes({"invoker0": Heartbeat("w", 2)}, 1)
    cluster.invoker.pinged(PingMessage(instance(1)))
    assert cluster.balancer.states() == {"invoker0": "up", "invoker1": "unhealthy"}


async def test_a_ping_that_cannot_be_read_is_left_aside() -> None:
    cluster = Cluster()
    cluster.invoker.pinged(PingMessage(InvokerId(5, "much")))
    assert "invoker5" not in cluster.balancer.states()


def test_an_action_tells_what_it_needs() -> None:
    from transport.cluster_invoker import _need

    made: Executable = action(memory=512, timeout=5000, concurrency=3)
    need = _need(message(), made)
    assert (need.memory, need.timeout, need.concurrency, need.key) == (512, 5.0, 3, "guest/hello@0.0.1")
