"""How the cluster's broker is reached, and its topics: names and settings of upstream (`reference` of OpenWhisk's Kafka)."""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from config.settings import Settings

LARGEST = 1_048_576 + 6068
"""Bytes of the largest message: upstream's payload maximum and its allowance for the rest of the message."""

SEGMENT = {"segment.bytes": "536870912", "retention.bytes": "1073741824"}
HOUR = 3_600_000
TOPICS: Mapping[str, Mapping[str, str]] = {
    "invoker": {**SEGMENT, "retention.ms": str(48 * HOUR), "max.message.bytes": str(LARGEST)},
    "completed": {**SEGMENT, "retention.ms": str(HOUR), "max.message.bytes": str(LARGEST)},
    "health": {**SEGMENT, "retention.ms": str(HOUR)},
    "events": {**SEGMENT, "retention.ms": str(HOUR)},
    "cacheInvalidation": {**SEGMENT, "retention.ms": "300000"},
}
"""First part of a topic's name → its settings; all have one partition and, by default, one copy."""

CONNECT = 3000
RECONNECT = 500
"""Milliseconds: a client that waits at most this long between attempts is back 0.7 s after a broker, not 7."""

Client = TypeVar("Client")
_FIRST = threading.Lock()
_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}", re.ASCII)


class Security(Struct, frozen=True):
    """TLS and SASL: files in PEM form; a mechanism (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512) with its user and password."""

    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    check_hostname: bool = True
    mechanism: str | None = None
    user: str | None = None
    password: str | None = None

    def options(self) -> dict[str, Any]:
        """As kafka-python's clients take them."""
        found: dict[str, Any] = {}
        if self.tls:
            found = {
                "ssl_cafile": self.ca, "ssl_certfile": self.cert, "ssl_keyfile": self.key,
                "ssl_check_hostname": self.check_hostname,
            }  # fmt: skip
        if self.mechanism:
            found |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.user, "sasl_plain_password": self.password}
        found["security_protocol"] = ("SASL_" if self.mechanism else "") + ("SSL" if self.tls else "PLAINTEXT")
        return found


class Access(Struct, frozen=True):
    """A broker's addresses (`host:port`), the prefix of the cluster's topics, and how clients prove who they are."""

    servers: tuple[str, ...]
    prefix: str = ""
    security: Security = Security()
    copies: int = 1
    """Replication factor of topics that are made."""

    def options(self, client_id: str) -> dict[str, Any]:
        """What all clients have in common."""
        return {
            "bootstrap_servers": list(self.servers),
            "client_id": client_id,
            "bootstrap_timeout_ms": CONNECT,
            "reconnect_backoff_max_ms": RECONNECT,
            **self.security.options(),
        }

    def topic(self, kind: str, number: object = "") -> str:
        """The topic of a kind (`invoker`, `completed`, `health`, …) and number."""
        return f"{self.prefix}{kind}{number}"


def access_of(settings: Settings) -> Access:
    """What the settings say of the broker; there must be one."""
    assert settings.kafka
    sasl = settings.kafka_protocol.startswith("sasl")
    security = Security(
        tls=settings.kafka_protocol.endswith("ssl"),
        ca=_text(settings.kafka_ca),
        cert=_text(settings.kafka_cert),
        key=_text(settings.kafka_key),
        check_hostname=settings.kafka_check_hostname,
        mechanism=settings.kafka_mechanism.upper() if sasl else None,
        user=settings.kafka_user,
        password=settings.kafka_password,
    )
    return Access(settings.kafka, settings.topic_prefix, security, settings.kafka_copies)


def _text(path: Path | None) -> str | None:
    return str(path) if path else None


@functools.cache
def _share_decoders() -> None:
    """Let one thread at a time make a decoder of the client library, which makes each at its first use, for all clients.

    Made by two at once, one may come out wrong and stays: then no client of the process reads an answer of that kind any more.
    """
    from kafka.protocol.schemas.fields.struct import StructField

    make, lock = StructField.compiled_decode_from, threading.RLock()

    @functools.wraps(make)
    def one_at_a_time(*arguments: Any, **more: Any) -> Any:
        with lock:
            return make(*arguments, **more)

    StructField.compiled_decode_from = one_at_a_time


def connected(make: Callable[..., Client], **options: Any) -> Client:
    """A client of kafka-python. One that can't be made is closed: the library would leave its thread and sockets behind.

    Blocks; raises KafkaError and whatever else the library raises.
    """
    from kafka.net.compat import KafkaNetClient

    with _FIRST:
        _share_decoders()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # it says the same many times a second; who uses it says it once
    begun: list[Any] = []

    def net_client(*arguments: Any, **more: Any) -> Any:
        begun.append(KafkaNetClient(*arguments, **more))
        return begun[0]

    try:
        return make(kafka_client=net_client, **options)
    except BaseException:
        for each in begun:
            each.close()
        raise


def topic_name(name: str) -> bool:
    """Whether a topic can have this name."""
    return bool(_NAME.fullmatch(name)) and name not in (".", "..")


def ensure_topics(access: Access, wanted: Mapping[str, str]) -> None:
    """Make the topics that aren't there: name → kind. Those that are there stay as they are. Blocks; raises KafkaError."""
    from kafka.admin import KafkaAdminClient
    from kafka.errors import TopicAlreadyExistsError, for_code

    admin = connected(KafkaAdminClient, **access.options("rewhisk-topics"))
    try:
        made = {
            name: {"num_partitions": 1, "replication_factor": access.copies, "configs": dict(TOPICS[kind])}
            for name, kind in wanted.items()
        }
        answer = admin.create_topics(made, raise_errors=False)
        for topic in answer["topics"]:
            error = for_code(topic["error_code"])
            if topic["error_code"] and error is not TopicAlreadyExistsError:
                raise error(f"topic {topic['name']}: {topic.get('error_message')}")
    finally:
        admin.close()
