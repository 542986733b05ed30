"""A controller: the balancer, the broker and the heartbeats behind the REST API. `open`, then `drain`, then `close`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import ssl
import time
from collections.abc import Coroutine, Mapping
from typing import Any

import structlog
from msgspec import DecodeError

from actors.ports import ComponentPort
from config.errors import ConfigError
from config.manifest import Manifest
from config.settings import Settings
from controller.balancer.balancer import Balancer, Rules
from messages.cluster import decode_ack, decode_ping
from messages.wire import ControllerId, encode
from store.contract import Store
from store.data_dir import DataDir
from store.errors import StoreError, StoreFailed, StoreUnavailable
from store.failpoint import parse_failpoint
from store.open import open_store
from store.ports import Records
from transport.children import Children
from transport.clock import LoopClock
from transport.cluster_invoker import ClusterInvoker
from transport.cluster_metrics import ClusterMetrics
from transport.compositions import CompositionCore, CompositionDoor
from transport.health_test import HealthTest
from transport.invoke_client import InvokeClient
from transport.kafka import access_of, ensure_topics
from transport.kafka_consumer import LATEST, Record, TopicConsumer
from transport.kafka_producer import Overflow, TopicProducer
from transport.local import LocalAnswers
from transport.parts import journal_settings, stream_rules
from transport.presence import DEAD_AFTER, Presence

STARTING = "The controller is starting: it waits for the broker and the store."
ENDING = "The controller is ending."
STALLED = "The controller's store has not answered for {seconds:.0f} s."
FENCED = "Another process owns this controller's journal."
FLUSH = 5.0
"""Seconds that a store which does not answer may keep a controller from ending."""

RETRY = 1.0
"""Seconds between attempts to reach the broker at the start."""
TICK = 1.0

log = structlog.get_logger("controller")


class Controller:
    """One controller of a cluster; `failed` is set when it has to end by itself."""

    def __init__(self, settings: Settings, data_dir: DataDir, manifest: Manifest) -> None:
        self.settings = settings
        self.id = ControllerId(str(settings.id))
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.started = time.monotonic()
        self.draining = False
        self.metrics = ClusterMetrics()
        self.compositions = CompositionDoor()
        self._answers = LocalAnswers()
        self._failpoint = parse_failpoint(settings.failpoint) if settings.failpoint else None
        self._data_dir = data_dir
        self._manifest = manifest
        self._loop = asyncio.get_running_loop()
        self._clock = LoopClock(self._loop)
        self._access = access_of(settings)
        self._balancer = Balancer(Rules(), random.SystemRandom().randrange)
        self._client = _client(settings)
        self._store: Store | None = None
        self._invoker: ClusterInvoker | None = None
        self._presence: Presence | None = None
        self._test: HealthTest | None = None
        self._producer: TopicProducer | None = None
        self._consumers: list[TopicConsumer] = []
        self._waited_for: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = False
        self._ended = False

    # Starting ---------------------------------------------------------------------------------------------------------

    async def open_store(self) -> Store:
        """Open the store and make the invoker that the API speaks to. Raises StoreError."""
        self._store = store = await open_store(
            self.settings.store, self._data_dir.path, self.settings.db_prefix, self.settings.store_ca
        )
        self._producer = TopicProducer(self._access, f"controller{self.settings.id}")
        self._invoker = ClusterInvoker(
            balancer=self._balancer,
            bus=self._producer,
            client=self._client,
            records=store.activations,
            clock=self._clock,
            topic=lambda number: self._access.topic("invoker", number),
            instrument=self.metrics.observe,
            unready=self.unready,
            http_open=self.settings.invoke_open,
        )
        name, writer = str(self.settings.id), secrets.token_hex(8)
        self._presence = Presence(store.heartbeats, name, writer, self._clock.monotonic, self._seen)
        self._test = HealthTest(name, self._clock.wall_ms(), store.entities, self._manifest, os.urandom, self._post)
        self.metrics.watch(self._balancer, self._invoker.answers)
        return store

    @property
    def invoker(self) -> ClusterInvoker:
        """What the API hands invocations to."""
        assert self._invoker is not None
        return self._invoker

    async def open(self, components: ComponentPort) -> None:
        """Return when broker and heartbeats were read once and unfinished compositions go on. Raises StoreError."""
        assert self._presence is not None
        while not await self._presence.round():  # noqa: ASYNC110 - asked again for ever
            await asyncio.sleep(RETRY)
        await self._topics()
        acks = self._access.topic("completed", self.settings.id)
        pings = self._access.topic("health")
        self._consume(acks, acks, self._acknowledged)
        self._consume(pings, f"{pings}{self.settings.id}", self._pinged, start=LATEST)
        while self._waited_for:  # noqa: ASYNC110 - told by the consumers' threads through the instrument
            await asyncio.sleep(0.01)
        self.spawn(self._presence.run())
        self.spawn(self._ticking())
        self.spawn(self._compacting())
        await self._open_compositions(components)
        self._ready = True

    async def _open_compositions(self, components: ComponentPort) -> None:
        """Take the stream of this controller's sequences, conductors and fired triggers, and go on with what it holds."""
        assert self._store is not None
        core = CompositionCore(
            log=self._store.journal,
            stream=f"controller{self.settings.id}",
            writer=secrets.token_hex(8),
            clock=self._clock,
            call_soon=self._loop.call_soon,
            spawn=self.spawn,
            answers=self._answers,
            rules=stream_rules(self.settings, self.settings.event_bytes),
            journal_settings=journal_settings(self.settings),
            instrument=self.metrics.observe,
            on_failure=lambda name, error, message: log.error("actor failed", actor=name, exc_info=error),
            on_fenced=lambda: self._end(FENCED),
            on_failed=lambda error: self._end(str(error)),
            failpoint=self._failpoint,
        )
        await core.open(clean=self._data_dir.died is None)
        self.compositions.core = core
        records = Records(self._store.activations, self.spawn, self._clock.call_later)
        children = Children(
            self.invoker, self.compositions, self._store.activations, self._store.subjects, self.spawn
        )
        core.begin(records, components, children)

    async def _topics(self) -> None:
        """Make sure of the topics that controllers make, however long the broker takes."""
        wanted = {self._access.topic(kind): kind for kind in ("health", "events", "cacheInvalidation")}
        wanted[self._access.topic("completed", self.settings.id)] = "completed"
        while True:
            try:
                await asyncio.to_thread(ensure_topics, self._access, wanted)
                return
            except Exception as error:  # noqa: BLE001 - whatever the client library raises, the broker may come yet
                log.warning("the broker can't be reached", servers=list(self._access.servers), error=str(error) or repr(error))
            await asyncio.sleep(RETRY)

    def _consume(self, topic: str, group: str, deliver: Any, start: int | None = None) -> None:
        self._waited_for.add(topic)
        consumer = TopicConsumer(self._access, topic, group, deliver, instrument=self._told, window=None)
        self._consumers.append(consumer)
        consumer.start(start)

    def _told(self, step: str, facts: Mapping[str, object]) -> None:
        if step == "kafka position":
            self._waited_for.discard(str(facts["topic"]))
        self.metrics.observe(step, facts)

    # Running ----------------------------------------------------------------------------------------------------------

    def _acknowledged(self, records: list[Record]) -> None:
        for record in records:
            try:
                ack = decode_ack(record.value or b"")
            except DecodeError as error:
                log.warning("an acknowledgement can't be read", offset=record.offset, error=str(error))
                continue
            self.invoker.acknowledged(ack)
        self._consumers[0].commit(records[-1].offset + 1)

    def _pinged(self, records: list[Record]) -> None:
        for record in records:
            try:
                ping = decode_ping(record.value or b"")
            except DecodeError as error:
                log.warning("a ping can't be read", offset=record.offset, error=str(error))
                continue
            self.invoker.pinged(ping)

    def _seen(self) -> None:
        assert self._presence is not None
        self.invoker.nodes(self._presence.nodes(), self._presence.controllers)

    async def _compacting(self) -> None:
        """Delete what of the compositions' journal nothing needs any more, for ever."""
        while True:
            await asyncio.sleep(self.settings.retention_every)
            with contextlib.suppress(StoreUnavailable):
                await self.compositions.compact(self._clock.wall_ms())

    async def _ticking(self) -> None:
        while True:
            await self.invoker.tick(self._tested)
            await asyncio.sleep(TICK)

    def _tested(self, number: int) -> None:
        assert self._test is not None
        self.spawn(self._test.send(number))

    def _post(self, number: int, message: Any) -> None:
        assert self._producer is not None
        with contextlib.suppress(Overflow):  # the broker is away: there will be another test
            self._producer.send(self._access.topic("invoker", number), encode(message), lambda outcome: None)

    def unready(self) -> str | None:
        """Why the API may not answer now, or None."""
        if not self._ready or self._presence is None:
            return ENDING if self._ended else STARTING
        silent = self._clock.monotonic() - (self._presence.confirmed or 0.0)
        return STALLED.format(seconds=silent) if silent > DEAD_AFTER else None

    def controllers(self) -> int:
        """How many controllers share the load."""
        return self._balancer.controllers

    def invokers(self) -> Mapping[str, str]:
        """Label → state of every invoker."""
        return self._balancer.states()

    def status(self, namespace: str | None = None) -> dict[str, object]:
        """The state of the controller for people and scripts; of one namespace alone if one is named."""
        status: dict[str, object] = {
            "node": f"controller{self.settings.id}",
            "ready": self.unready() is None,
            "reason": self.unready(),
            "draining": self.draining,
            "uptime": round(self.age(), 3),
            "in_flight": self._balancer.in_flight(namespace),
        }
        if namespace is None:
            status["controllers"] = self._balancer.controllers
            status["compositions"] = self.compositions.live()
            status["waiting"] = len(self.invoker.answers) if self._invoker is not None else 0
            status["invokers"] = {
                each.label: {"state": str(each.health.state), "used": each.slots.used, "total": each.slots.total}
                for each in self._balancer.invokers
            }
        return status

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that the controller depends on: if it fails, the controller ends."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None or self.failed.done():
            return
        if not isinstance(error, StoreError):
            log.error("task failed", exc_info=error)
        self._end(str(error) if isinstance(error, StoreFailed) else f"internal failure: {error!r}")

    def _end(self, reason: str) -> None:
        self._ready, self._ended = False, True
        if not self.failed.done():
            self.failed.set_result(reason)

    def age(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    # Ending -----------------------------------------------------------------------------------------------------------

    async def drain(self, timeout: float) -> int:
        """Refuse new work; wait for callers and compositions here, at most `timeout` seconds; how many are left.

        Compositions that are left stay in the journal: the next process goes on with them.
        """
        self.draining = True
        self.compositions.drain()
        until = self._clock.monotonic() + timeout
        while self._waiting() and self._clock.monotonic() < until:  # noqa: ASYNC110 - has no event
            await asyncio.sleep(0.02)
        return self._waiting()

    def _waiting(self) -> int:
        return len(self.invoker.answers) + self.compositions.live()

    async def close(self) -> None:
        """Say goodbye, end all connections, close the store."""
        self._ready, self._ended = False, True
        self.compositions.stop()
        self._answers.abort()
        if not self.failed.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH):
                    await self.compositions.close()
        for task in list(self._tasks):
            task.cancel()
        if self._invoker is not None:
            self._invoker.answers.abort()
        if self._presence is not None and self._presence.confirmed is not None:
            await self._presence.stop()
        if self._producer is not None:
            await self._producer.close()
        await asyncio.gather(*(consumer.close() for consumer in self._consumers))
        self._client.close()
        if self._store is not None:
            await self._store.close()


def _client(settings: Settings) -> InvokeClient:
    """Shows nodes the token and the certificate that there are. Raises ConfigError for files that can't be used."""
    context = None
    try:
        if settings.invoke_ca or settings.tls_cert:
            context = ssl.create_default_context(cafile=settings.invoke_ca)
        if context is not None and settings.tls_cert:
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([f"the certificates for nodes can't be used: {error}"]) from None
    headers = {"Authorization": f"Bearer {settings.invoke_token}"} if settings.invoke_token else {}
    return InvokeClient(context, headers)
