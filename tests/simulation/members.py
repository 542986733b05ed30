"""Nodes of a cluster on virtual time: the whole membership (topic, acknowledgements, signs of life, takeover) around the core."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from actors.pool import PoolSettings
from config.settings import Settings
from messages.cluster import decode_ack
from messages.wire import encode
from store.ports import Actions, Records
from tests.simulation.containers import Box, Machine, Script, SimContainers
from tests.simulation.network import Network, Remote, RemoteLog
from tests.simulation.world import WALL, Process, World
from transport.cluster_node import ClusterStream
from transport.core import Core
from transport.kafka import Access
from transport.kafka_consumer import Record, begin_at
from transport.kafka_producer import Sent
from transport.local import LocalAnswers
from transport.membership import Membership
from transport.parts import journal_settings, stream_rules
from transport.steady import SteadyClock

SETTINGS = Settings(
    kafka=("simulated:1",), takeover_after=20.0, heartbeat_every=2.0, lease=6.0, run_ahead_after=0.0, max_action_timeout=3.0,
    blocking_wait=3600.0, memory=512,
)  # fmt: skip
LIMITS: Any = SimpleNamespace(payload=1 << 20)
MANIFEST: Any = SimpleNamespace(families=dict)


class Broker:
    """Topics and what was told in them. It doesn't fail: brokers are killed in the tests with real ones."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.topics: dict[str, list[bytes]] = {}
        self.committed: dict[str, int] = {}
        self.acks: list[Any] = []

    def post(self, topic: str, text: bytes) -> None:
        self.topics.setdefault(topic, []).append(text)

    def told(self, topic: str, text: bytes) -> None:
        if topic.startswith("completed"):
            self.acks.append(decode_ack(text))


class SimConsumer:
    """Reads a topic as `TopicConsumer` does."""

    def __init__(self, broker: Broker, process: Process, topic: str, deliver: Callable[[list[Record]], None]) -> None:
        self.topic = topic
        self._broker = broker
        self._process = process
        self._deliver = deliver
        self._window = 0
        self._held = False
        self._next = -1
        self._closed = False

    def start(self, offset: int | None) -> None:
        end = len(self._broker.topics.get(self.topic, []))
        self._next = begin_at(offset, self._broker.committed.get(self.topic), 0, end).offset
        self._poll()

    def want(self, count: int) -> None:
        self._window += count

    def hold(self, held: bool) -> None:
        self._held = held

    def commit(self, offset: int) -> None:
        self._broker.committed[self.topic] = offset

    async def close(self) -> None:
        self._closed = True

    def _poll(self) -> None:
        if self._closed:
            return
        found = [] if self._held else self._broker.topics.get(self.topic, [])[self._next : self._next + min(self._window, 3)]
        if found:
            wall = WALL + int(self._broker.world.now * 1000)
            records = [Record(self.topic, self._next + n, wall, text) for n, text in enumerate(found)]
            self._next += len(found)
            self._window -= len(found)
            self._deliver(records)
        self._process.call_later(0.05, self._poll)


class SimProducer:
    """Confirms what it is given after a while."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self._broker = broker
        self._process = process

    def send(self, topic: str, text: bytes, done: Callable[[object], None]) -> None:
        world = self._broker.world

        def arrive() -> None:
            self._broker.told(topic, text)
            world.at(world.rng.uniform(0.001, 0.02), lambda: self._process.post(done, Sent(0)))

        world.at(world.rng.uniform(0.001, 0.02), arrive)

    async def close(self, timeout: float) -> None:
        pass


class SimCluster:
    """`transport.cluster_node.Cluster` on simulated parts."""

    def __init__(self, broker: Broker, process: Process, settings: Settings) -> None:
        self.settings = settings
        self.clock = process
        self.spawn = process.spawn
        self.call_soon = process.call_soon
        self.instrument = lambda step, facts: None
        self.access = Access(("simulated:1",))
        self.steady = SteadyClock(process, 600)
        self.producer = self.ping_producer = SimProducer(broker, process)
        self._broker = broker
        self._process = process

    async def open(self, store: object) -> None:
        pass

    def consumer(self, topic: str, deliver: Callable[[list[Record]], None]) -> SimConsumer:
        return SimConsumer(self._broker, self._process, topic, deliver)

    async def make_topics(self, wanted: object) -> None:
        pass

    def is_blocked(self, namespace: str) -> bool:
        return False

    async def close(self) -> None:
        pass


class MemberContainers(SimContainers):
    """Containers of one stream of a process: user code begins only while that is allowed, asked at the last moment."""

    def __init__(self, machine: Machine, process: Process, core: Core, allowed: Callable[[], bool]) -> None:
        super().__init__(machine, process, core.output)
        self._allowed = allowed

    def call(self, cid: int, path: str, run_id: str, body: bytes, timeout: float, reply: Any) -> None:
        if self._allowed() or cid not in self.boxes:
            super().call(cid, path, run_id, body, timeout, reply)
        elif self.process.alive:
            self.process.call_later(0.05, lambda: cid in self.boxes and self.call(cid, path, run_id, body, timeout, reply))

    def _initialised(self, box: Box, script: Script, run_id: str, answer: Any) -> None:
        """Of a process that died meanwhile no /run follows: its code has ended."""
        if self.process.alive:
            super()._initialised(box, script, run_id, answer)
        elif not box.dead:
            self.machine.end_code(box, run_id)

    async def clear(self) -> None:
        for box in list(self.boxes.values()):
            self.machine.destroy(box)
        self.boxes.clear()


class Member:
    """One process of node `number`."""

    def __init__(self, world: World, machine: Machine, network: Network, broker: Broker, number: int, life: int) -> None:
        self.world = world
        self.number = number
        self.process = Process(world, f"node{number}.{life}")
        self.network = network
        self.machine = machine
        self.ready = False
        self.fenced = False
        self.core: Core | None = None
        self._died_here = life > 0
        self._containers: list[MemberContainers] = []
        process = self.process
        parts = {name: Remote(network, process, name) for name in ("activations", "entities", "subjects", "heartbeats")}
        self.store: Any = SimpleNamespace(journal=RemoteLog(network, process), **parts)
        settings = replace(SETTINGS, id=number)
        self.member = Membership(
            settings, process, process.spawn, lambda step, facts: None, LocalAnswers(), LIMITS, MANIFEST, Path(),
            fit=lambda: None if self.ready else "starting", writer=f"{process.name}-{world.rng.getrandbits(64):x}",
            on_failure=lambda name, error, message: world.violated(f"{process.name}: {name} failed: {error!r}"),
            cluster=SimCluster(broker, process, settings), make_host=self._make_host,
        )  # fmt: skip
        process.spawn(self._open())

    def _make_host(self, core: Core, allowed: Callable[[], bool]) -> MemberContainers:
        made = MemberContainers(self.machine, self.process, core, allowed)
        self._containers.append(made)
        return made

    async def _open(self) -> None:
        process, member, store = self.process, self.member, self.store
        stream: ClusterStream = member.stream
        core = self.core = Core(
            log=store.journal, stream=f"invoker{self.number}", writer=member.writer, clock=process, call_soon=process.call_soon,
            spawn=process.spawn, answers=stream.answers, rules=stream_rules(SETTINGS, 1 << 20), pool=PoolSettings(memory=512),
            journal_settings=journal_settings(SETTINGS), instrument=lambda step, facts: None,
            on_failure=lambda name, error, message: self.world.violated(f"{process.name}: {name} failed: {error!r}"),
            on_fenced=self._lost, on_failed=lambda error: self.world.violated(f"{process.name}: {error!r}"), **stream.core_parts(),
        )  # fmt: skip
        clean = await member.before(store, died_here=self._died_here)
        folded = await core.open(clean=clean)
        await member.opened(store, core, f"http://node{self.number}", self._lost)
        for box in list(self.machine.boxes.values()):  # what this machine's earlier processes left
            if box.owner is not process and box.owner.name.startswith(f"node{self.number}."):
                self.machine.destroy(box)
        actions = Actions(store.entities, store.subjects, process.spawn)
        records = Records(store.activations, process.spawn, process.call_later)
        core.begin(self._make_host(core, stream.held), records, actions, run_ahead_from=process.monotonic())
        member.resume(store, core, ())
        member.begin(store, None, "", folded)
        self.ready = True

    def _lost(self) -> None:
        if not self.fenced:
            self.fenced, self.ready = True, False
            self.process.spawn(self._leave())

    async def _leave(self) -> None:
        """As a node that is fenced ends."""
        core = self.core
        assert core is not None
        await self.member.leave()
        core.system.shutdown()
        for each in self._containers:
            await each.clear()
        await self.member.close(self.store, core.journal.epoch, fenced=True, failed=True)
        self.process.call_soon(lambda: self.process.kill("fenced"))


def message(activation_id: str, name: str, blocking: bool, at: int) -> bytes:
    """A controller's."""
    return json.dumps({
        "transid": ["t", at], "action": {"path": "guest", "name": name}, "revision": None,
        "user": {"subject": "guest-subject", "namespace": {"name": "guest", "uuid": "u"}, "authkey": {"api_key": "u:k"},
                 "rights": [], "limits": {}},
        "activationId": activation_id, "rootControllerIndex": {"asString": "0"}, "blocking": blocking, "content": {},
        "initArgs": [], "lockedArgs": {},
    }).encode()  # fmt: skip


def shown(record: Any) -> dict[str, Any]:
    """A record or an answer as plain data."""
    return dict(json.loads(encode(record)))
