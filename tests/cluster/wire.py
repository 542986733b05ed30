"""A controller as the broker sees it: what it posts to nodes, and what it hears from them."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

from tests.crash.node import until
from transport.kafka import Access, ensure_topics


class Wire:
    """Posts messages by hand and keeps every acknowledgement and ping of its topics."""

    def __init__(self, address: str, prefix: str = "") -> None:
        from kafka import KafkaProducer

        self.access = Access((address,), prefix)
        self.heard: dict[str, list[dict[str, Any]]] = {"completed0": [], "health": [], "events": []}
        ensure_topics(self.access, {prefix + "completed0": "completed", prefix + "health": "health", prefix + "events": "events"})
        self._producer = KafkaProducer(bootstrap_servers=address, acks="all")
        self._over = False
        self._threads = [threading.Thread(target=self._listen, args=(topic,), daemon=True) for topic in self.heard]
        for thread in self._threads:
            thread.start()

    def _listen(self, topic: str) -> None:
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(
            bootstrap_servers=list(self.access.servers), auto_offset_reset="earliest", reconnect_backoff_max_ms=500
        )
        partition = TopicPartition(self.access.topic(topic), 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        while not self._over:
            for record in consumer.poll(timeout_ms=200).get(partition, []):
                self.heard[topic].append(json.loads(record.value))
        consumer.close(autocommit=False, timeout_ms=500)

    def close(self) -> None:
        self._over = True
        for thread in self._threads:
            thread.join()
        self._producer.close(timeout=1)

    def message(self, name: str = "hello", *, blocking: bool = True, **changed: Any) -> dict[str, Any]:
        """As a controller would write it."""
        return {
            "transid": [uuid.uuid4().hex, round(time.time() * 1000)],
            "action": {"path": "guest", "name": name, "version": "0.0.1"},
            "revision": None,
            "user": {
                "subject": "guest-subject", "namespace": {"name": "guest", "uuid": "23bc46b1-71f6-4ed5-8c54-816aa4f8c502"},
                "authkey": {"api_key": "a:b"}, "rights": ["ACTIVATE"], "limits": {},
            },
            "activationId": uuid.uuid4().hex,
            "rootControllerIndex": {"asString": "0", "instanceType": "controller"},
            "blocking": blocking,
            "content": {"n": 1},
            "initArgs": [],
            "lockedArgs": {},
            **changed,
        }  # fmt: skip

    def post(self, number: int, *messages: dict[str, Any] | bytes, at: int | None = None) -> None:
        """To an invoker's topic, confirmed. `at`: the record's time, epoch ms."""
        topic = self.access.topic("invoker", number)
        texts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in messages]
        for future in [self._producer.send(topic, text, timestamp_ms=at) for text in texts]:
            future.get(60)

    def invoke(self, number: int = 0, name: str = "hello", **changed: Any) -> str:
        """Post one message; its activation id."""
        made = self.message(name, **changed)
        self.post(number, made)
        return str(made["activationId"])

    def acks(self, activation_id: str) -> list[dict[str, Any]]:
        """What came for an activation, in order."""
        return [ack for ack in list(self.heard["completed0"]) if _id(ack) == activation_id]

    def freed(self, *ids: str, seconds: float = 60.0) -> None:
        """Wait until each one's slot is free."""
        until(
            lambda: all(any("instance" in ack for ack in self.acks(id)) for id in ids),
            seconds,
            lambda: str(self.heard["completed0"][-5:]),
        )


def _id(ack: dict[str, Any]) -> str:
    response = ack.get("response")
    return response["activationId"] if isinstance(response, dict) else response or ack["activationId"]


def kinds(acks: list[dict[str, Any]]) -> list[str]:
    """What upstream's reader takes them for."""
    return ["result" if "instance" not in ack else "combined" if "response" in ack else "completion" for ack in acks]
