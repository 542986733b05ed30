"""Our controller in front of an invoker that isn't ours: it has to prove itself, and acknowledges through Kafka as upstream's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from msgspec import UNSET, Raw

from messages.cluster import InvokerId, PingMessage, completion, result
from messages.wire import ActivationMessage, ActivationRecord, KeyValue, Response, decode_message, encode
from tests.cluster.cluster import Cluster, invokers, wait_up
from tests.crash.node import until
from transport.kafka import Access, ensure_topics
from transport.kafka_consumer import Record, TopicConsumer
from transport.kafka_producer import TopicProducer

pytestmark = [pytest.mark.kafka, pytest.mark.nodejs]

ECHO = "function main(args) { return args; }"
NAME = InvokerId(0, "1073741824 B", unique_name="0", displayed_name="upstream")


class Upstream:
    """As much of upstream's invoker as a controller sees, in a thread: pings, and an echo for every message."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.seen: list[ActivationMessage] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(),), daemon=True)
        self._over = asyncio.Event()

    def __enter__(self) -> Upstream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()

    async def _live(self) -> None:
        topic = self.access.topic("invoker", 0)
        await asyncio.to_thread(ensure_topics, self.access, {topic: "invoker", self.access.topic("health"): "health"})
        self.producer = TopicProducer(self.access, "upstream")
        consumer = TopicConsumer(self.access, topic, topic, self._deliver, instrument=lambda step, facts: None, window=None)
        consumer.start()
        while not self._over.is_set():
            self.producer.send(self.access.topic("health"), encode(PingMessage(NAME)), lambda outcome: None)
            await asyncio.sleep(0.5)
        await consumer.close()
        await self.producer.close()

    def _deliver(self, records: list[Record]) -> None:
        for record in records:
            assert record.value is not None
            message = decode_message(record.value)
            self.seen.append(message)
            topic = self.access.topic("completed", message.root_controller_index.as_string)
            acks = [completion(message.transid, message.activation_id, NAME, system_error=False)]
            if message.blocking:
                acks.insert(0, result(message.transid, _record(message)))
            for ack in acks:
                self.producer.send(topic, encode(ack), lambda outcome: None)


def _record(message: ActivationMessage) -> ActivationRecord:
    content = message.content if message.content is not UNSET else Raw(b"{}")
    user, start = message.user, message.start
    return ActivationRecord(
        user.namespace.name, message.action.name, user.subject, message.activation_id, start, start + 1,
        Response(0, content, len(bytes(content))), "0.0.1", [KeyValue("path", message.action.fqn), KeyValue("kind", "nodejs:20")],
        logs=[], publish=False, duration=1,
    )  # fmt: skip


@pytest.fixture
def upstream(cluster: Cluster) -> Iterator[Upstream]:
    with Upstream(Access((cluster.broker.address,), cluster.prefix)) as invoker:
        yield invoker


def test_an_invoker_proves_itself_and_gets_work(cluster: Cluster, upstream: Upstream) -> None:
    """Up after the test activation; blocking calls are answered by its result; a controller that was killed goes on with it."""
    controller = cluster.controller()
    wait_up(controller, 1)
    assert invokers(controller) == {"invoker0/0/upstream": "up"}
    assert upstream.seen[0].action.fqn == "whisk.system/invokerHealthTestAction0"
    controller.put_action("echo", "nodejs:20", ECHO)
    answer = controller.api("POST", "actions/echo?blocking=true&result=true", {"n": 1})
    assert (answer.status, answer.body) == (200, {"n": 1})
    answer = controller.api("POST", "actions/echo", {"n": 2})
    assert answer.status == 202
    until(lambda: controller.ask("GET", "/activation/count").body == 0, 20, "slots that stay taken")
    sent = next(message for message in upstream.seen if message.activation_id == answer.body["activationId"])
    assert (sent.action.fqn, sent.blocking, bytes(sent.content)) == ("guest/echo", False, b'{"n": 2}')  # type: ignore[arg-type]
    assert sent.user.authkey["api_key"] == controller.auth

    controller.kill()
    again = cluster.controller()
    wait_up(again, 1)
    assert again.api("POST", "actions/echo?blocking=true&result=true", {"n": 3}).body == {"n": 3}
    assert again.stop().code == 0
