"""A node's part in a cluster: its topic, acknowledgements, pings, sign of life. One `ClusterStream` for each stream it owns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog
from msgspec import DecodeError

from actors.ports import Clock, Instrument
from config.settings import Settings
from messages.cluster import Heartbeat, InvokerId, decode_heartbeat
from messages.commands import Invoke
from store.contract import Store
from store.ports import patiently
from transport.acks import Acks
from transport.blocked import Blocked
from transport.core import Core
from transport.feed import Feed, FeedRules
from transport.heartbeat import Beating
from transport.invoke_door import App, Guard, InvokeDoor
from transport.kafka import access_of, ensure_topics
from transport.kafka_consumer import Record, TopicConsumer
from transport.kafka_producer import TopicProducer
from transport.local import LocalAnswers
from transport.pings import Pings
from transport.steady import SteadyClock
from transport.stream_answers import StreamAnswers

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
LEASE_LOST = "The node could not write its sign of life for {seconds:.0f} s: it takes no work until it can."
TOPIC_RETRY = 1.0
"""Seconds until topics that could not be made are tried again."""

STOP_WAIT = 2.0
"""Seconds that an orderly end waits for the last acknowledgements and the last sign of life."""

log = structlog.get_logger("kafka")


class Cluster:
    """What the streams of a process share: the broker, the producer of acknowledgements, who is blocked, the clock's steadiness."""

    def __init__(self, settings: Settings, clock: Clock, spawn: Spawn, instrument: Instrument) -> None:
        self.settings = settings
        self.clock = clock
        self.spawn = spawn
        self.call_soon = asyncio.get_running_loop().call_soon
        self.instrument = instrument
        self.access = access_of(settings)
        self.steady = SteadyClock(clock, settings.duplicates_for)
        self.producer = TopicProducer(self.access, f"acks-invoker{settings.id}", bound=2 * settings.live_bound)
        self.ping_producer = TopicProducer(self.access, f"pings-invoker{settings.id}", bound=4, patience=5.0)
        self.blocked: Blocked | None = None

    async def open(self, store: Store) -> None:
        """Know who is blocked before anything is taken."""
        self.blocked = Blocked(store.subjects, self.settings.blocked_every)
        await self.blocked.read()
        self.spawn(self.blocked.run())

    def consumer(self, topic: str, deliver: Callable[[list[Record]], None]) -> TopicConsumer:
        """What reads a stream's topic."""
        return TopicConsumer(self.access, topic, topic, deliver, instrument=self.instrument)

    async def make_topics(self, wanted: Mapping[str, str]) -> None:
        """Make those that aren't there; a broker that isn't there is waited for."""
        while True:
            try:
                await asyncio.to_thread(ensure_topics, self.access, wanted)
            except Exception as error:  # noqa: BLE001 - a broker that is not there, whatever the client library says of it
                log.warning("topics can't be made", topics=sorted(wanted), error=repr(error))
                await asyncio.sleep(TOPIC_RETRY)
            else:
                return

    def is_blocked(self, namespace: str) -> bool:
        """Whether invocations of a namespace are not run."""
        return self.blocked is not None and namespace in self.blocked

    async def close(self) -> None:
        """Nothing is sent any more."""
        await asyncio.gather(self.producer.close(STOP_WAIT), self.ping_producer.close(0.5))


class ClusterStream:
    """One owned stream: `answers` and `acks` for its core, then `begin` once the core has read its journal.

    `fit()`: why the process may take nothing, or None; `memory` MB. Without `pings` no
    controller sends it anything new.
    """

    def __init__(
        self,
        cluster: Cluster,
        number: int,
        local: LocalAnswers,
        *,
        fit: Callable[[], str | None],
        memory: int,
        pings: bool = True,
    ) -> None:
        settings = cluster.settings
        self.number = number
        self.topic = cluster.access.topic("invoker", number)
        self.answers = StreamAnswers(local)
        self.draining = False
        self._cluster = cluster
        self._local = local
        self._fit = fit
        self._door: InvokeDoor | None = None
        self._core: Core | None = None
        self._consumer: TopicConsumer | None = None
        self._beating: Beating | None = None
        self._tasks: list[asyncio.Task[None]] = []
        name = str(number)
        instance = InvokerId(number, f"{memory << 20} B", unique_name=name, displayed_name=name)
        self.acks = Acks(
            cluster.access,
            cluster.producer,
            instance,
            known=self._known,
            by_http=lambda activation_id: self._door is not None and self._door.waits(activation_id),
            clock=cluster.clock,
            spawn=cluster.spawn,
            instrument=cluster.instrument,
            events=settings.user_events,
        )
        usable = self.usable if pings else lambda: False
        self._pings = Pings(cluster.ping_producer, cluster.access.topic("health"), instance, usable)

    def __repr__(self) -> str:
        return f"<ClusterStream {self.topic} {self.acks!r} {self._beating!r}>"

    def broker(self) -> tuple[int, float]:
        """Messages of the topic still to be read, and for how long (s) the broker has taken no ping."""
        return (self._consumer.lag() if self._consumer is not None else 0), self._pings.unanswered()

    def core_parts(self) -> dict[str, Any]:
        """What the stream's core gets beside what any core has."""
        return {"acks": self.acks, "steady": self._cluster.steady.steady, "may_start": self.held}

    def open_door(self, app: App, *, loopback: bool, unready: Callable[[], str | None]) -> InvokeDoor:
        """The application with `/invoke` in front of it."""
        settings = self._cluster.settings
        self._door = InvokeDoor(
            app,
            guard=Guard(settings.invoke_token, loopback),
            answers=self._local,
            hand_in=self._hand_in,
            unready=unready,
            blocked=self._cluster.is_blocked,
            known=self.known,
            acks=self.acks,
            topic=self.topic,
            wall_ms=self._cluster.clock.wall_ms,
            limit=settings.event_bytes,
            bound=settings.invoke_waiting,
            instrument=self._cluster.instrument,
        )
        return self._door

    def _hand_in(self, command: Invoke) -> None:
        assert self._core is not None
        self._core.hand_in(command)

    # What the core asks -------------------------------------------------------------------------------------------

    def held(self) -> bool:
        """Whether the lease is held."""
        return self._beating is not None and self._beating.held()

    def unfit(self) -> str | None:
        """Why nothing may be taken now, or None."""
        return None if self.held() else LEASE_LOST.format(seconds=self._cluster.settings.lease)

    def usable(self) -> bool:
        """Whether the stream takes work now."""
        return not self.draining and self.unfit() is None and self._fit() is None

    def _known(self, activation_id: str) -> None:
        if self._core is not None:
            self._core.acknowledged(activation_id)

    # Life ---------------------------------------------------------------------------------------------------------

    async def first_beat(self, store: Store, core: Core, writer: str, address: str, lost: Callable[[], None]) -> None:
        """Write the first sign of life, so that recovered work may start at once."""
        settings = self._cluster.settings
        self._core = core
        self._beating = Beating(
            store.heartbeats,
            core.journal.stream,
            writer=writer,
            epoch=core.journal.epoch,
            address=address,
            clock=self._cluster.clock,
            every=settings.heartbeat_every,
            lease=settings.lease,
            lost=lost,
            changed=core.plan,
        )
        if await self._beating.beat() is False:
            await self._beating.beat()  # the document of the owner before

    def begin(self, store: Store, offsets: Mapping[str, int]) -> None:
        """Read the topic where the journal left it, ping, and go on living."""
        core, beating = self._core, self._beating
        assert core is not None
        assert beating is not None
        settings = self._cluster.settings
        self._consumer = consumer = self._cluster.consumer(self.topic, self._deliver)
        self.answers.feed = Feed(
            consumer,
            hand_in=core.hand_in,
            records=store.activations,
            live=lambda: len(core.journal.live),
            ready=lambda: self.usable() and core.journal.stalled() < settings.lease / 2,
            blocked=self._cluster.is_blocked,
            steady=self._cluster.steady.steady,
            clock=self._cluster.clock,
            spawn=self._cluster.spawn,
            instrument=self._cluster.instrument,
            rules=FeedRules(settings.live_bound, settings.duplicates_for),
        )
        spawn = self._cluster.spawn
        self._tasks = [spawn(beating.run()), spawn(self._pings.run()), spawn(self._read(consumer, offsets.get(self.topic)))]

    async def _read(self, consumer: TopicConsumer, offset: int | None) -> None:
        """Topics first."""
        await self._cluster.make_topics({self.topic: "invoker", self._cluster.access.topic("health"): "health"})
        consumer.start(offset)
        assert self.answers.feed is not None
        self.answers.feed.start()

    def _deliver(self, records: list[Record]) -> None:
        if self.answers.feed is not None:
            self.answers.feed.deliver(records)

    async def known(self, command: Invoke) -> bool:
        """Whether a message that comes by HTTP has ended before this process can know."""
        return self.answers.feed is not None and await self.answers.feed.ended_before(command)

    def drain(self) -> None:
        """Say that nothing more is taken, and take nothing more."""
        self.draining = True
        self._pings.tick()
        if self.answers.feed is not None:
            self.answers.feed.stop()

    async def leave(self) -> None:
        """Read nothing, say nothing more: the stream is another's, or the process ends."""
        self.draining = True
        if self.answers.feed is not None:
            self.answers.feed.stop()
        self.acks.close()
        for task in self._tasks:
            task.cancel()
        if self._consumer is not None:
            await self._consumer.close()

    async def before(self, store: Store) -> Heartbeat | None:
        """The last sign of life of the stream's owner before; None if there never was one. Rides out an outage."""
        found = await patiently(lambda: store.heartbeats.get(f"node:invoker{self.number}"))
        try:
            return None if found is None else decode_heartbeat(found.body)
        except DecodeError:
            return None

    async def stopped(self) -> None:
        """Say that this owner and its containers are gone."""
        if self._beating is not None:
            await self._beating.stop(STOP_WAIT)
