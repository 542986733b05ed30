"""A simulated process that runs the node's core: what `transport.node.Node` is around it, on simulated parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from actors import recovery
from actors.base import Rules
from actors.pool import PoolSettings
from actors.system import RestartLimit
from messages.action import Executable
from messages.commands import Invoke
from messages.wire import ActivationMessage, ActivationRecord
from store.journal_queue import JournalSettings
from store.ports import Actions, Records
from tests.oracle import Told
from tests.simulation.containers import Machine, SimContainers
from tests.simulation.network import Network, Remote, RemoteLog
from tests.simulation.world import Killed, Process, World
from transport.core import Core

STREAM = "invoker0"
RUN_AHEAD_AFTER = 3.0


class SimAnswers:
    """An AnswerPort that writes down who was told what."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        self.accepting: dict[str, int] = {}
        self.waiting: dict[str, int] = {}

    def expect(self, message: ActivationMessage) -> None:
        """One more caller."""
        self.accepting[message.activation_id] = self.accepting.get(message.activation_id, 0) + 1
        if message.blocking:
            self.waiting[message.activation_id] = self.waiting.get(message.activation_id, 0) + 1

    def accepted(self, activation_id: str) -> None:
        if self.accepting.pop(activation_id, 0):
            self.node.tell(Told(activation_id, "accepted"))

    def refused(self, activation_id: str, reason: str, status: int) -> None:
        self.waiting.pop(activation_id, 0)
        if self.accepting.pop(activation_id, 0):
            self.node.tell(Told(activation_id, "refused"))

    def finished(self, activation_id: str, record: ActivationRecord) -> None:
        self.accepted(activation_id)
        self.waiting.pop(activation_id, 0)
        self.node.tell(Told(activation_id, "answer", msgspec.json.decode(msgspec.json.encode(record))))

    def unanswered(self) -> list[str]:
        return sorted(self.accepting.keys() | self.waiting.keys())


class SimNode:
    """One process of the node."""

    def __init__(self, world: World, machine: Machine, network: Network, name: str, told: list[Told]) -> None:
        self.world = world
        self.machine = machine
        self.network = network
        self.process = Process(world, name)
        self.told = told
        self.answers = SimAnswers(self)
        self.core: Core | None = None
        self.ready = False
        self.fenced = False
        self.closed = False
        self.draining = False
        self.failpoint: Callable[[str, str], None] | None = None
        self.containers: SimContainers | None = None
        self.tasks: list[asyncio.Task] = []
        self.handed_in: set[str] = set()
        self.failures: list[tuple[str, Exception, object]] = []

    @property
    def alive(self) -> bool:
        return self.process.alive

    def tell(self, told: Told) -> None:
        self.world.trace(self.process.name, "told", told.id, told.what)
        if self.fenced:
            self.world.violated(f"{self.process.name} told {told.id} {told.what} after it was fenced")
        self.told.append(told)

    def start(self, rules: Rules, pool: PoolSettings, journal: JournalSettings) -> None:
        self.process.spawn(self._open(rules, pool, journal))

    async def _open(self, rules: Rules, pool: PoolSettings, journal: JournalSettings) -> None:
        process, machine = self.process, self.machine
        clean, machine.clean = machine.clean, False
        core = self.core = Core(
            log=RemoteLog(self.network, process),
            stream=STREAM,
            writer=f"{process.name}-{self.world.rng.getrandbits(64):016x}",
            clock=process,
            call_soon=process.call_soon,
            spawn=self._spawn,
            answers=self.answers,
            rules=rules,
            pool=pool,
            journal_settings=journal,
            instrument=self._observe,
            on_failure=self._actor_failed,
            on_fenced=self._fenced,
            on_failed=self._ends,
            failpoint=self._failpoint,
        )
        await core.open(clean=clean)
        alone = len(self.world.processes) == 1
        if not alone:
            # The older owner is not known to be dead: it may run ahead for a lease from its last write before our claim.
            await asyncio.sleep(journal.lease)
        kept = recovery.keepable(machine.idle.values(), machine.note, core.journal.live, pool.memory) if alone else {}
        await machine.remove_leftovers(process, kept)
        kept = {box: idle for box, idle in kept.items() if box in machine.boxes}
        noted = set(machine.note)
        self.containers = SimContainers(machine, process, core.output)
        records = Records(Remote(self.network, process, "activations"), self._spawn, process.call_later)
        entities, subjects = Remote(self.network, process, "entities"), Remote(self.network, process, "subjects")
        actions = Actions(entities, subjects, self._spawn)
        core.begin(self.containers, records, actions, run_ahead_from=process.monotonic() + (0 if clean else RUN_AHEAD_AFTER))
        core.adopt(list(kept.values()))
        core.resume(noted)
        self.ready = True
        self.world.trace(process.name, "ready", core.journal.epoch)

    def _spawn(self, coroutine: object) -> asyncio.Task:
        task = self.process.spawn(coroutine)
        self.tasks.append(task)
        return task

    def _observe(self, name: str, facts: Mapping[str, object]) -> None:
        if name == "ended twice":
            self.world.violated(f"{facts['activation_id']} ended twice")

    def _actor_failed(self, name: str, error: Exception, message: object) -> None:
        self.failures.append((name, error, message))

    def _failpoint(self, event: str, position: str) -> None:
        self.world.trace(self.process.name, event, position)
        if self.failpoint is not None:
            self.failpoint(event, position)

    def _fenced(self) -> None:
        """It stops itself: its containers go, then it."""
        if self.fenced:
            return
        self.fenced = True
        self.ready = False
        self.world.at(self.world.rng.uniform(0, 0.05), self._gone)

    def heartbeat(self, newest: int) -> None:
        """What the node's own document tells it: an epoch beyond its own is another owner's."""
        if self.alive and not self.process.paused and self.core is not None and 0 < self.core.journal.epoch < newest:
            self.core.fenced()

    def _ends(self, error: Exception) -> None:
        """The process can't go on."""
        if not isinstance(error, RestartLimit):
            self.world.violated(f"{self.process.name}: the journal failed: {error!r}")
        self.ready = False
        self.world.at(0.01, self._gone)

    def _gone(self) -> None:
        if self.process.alive:
            if self.containers is not None:
                self.containers.destroy_all()
            self.process.kill("fenced" if self.fenced else "ended")

    def invoke(self, message: ActivationMessage, action: Executable | None) -> None:
        """A request reaches it."""
        assert self.core is not None
        self.answers.expect(message)
        self.core.hand_in(Invoke(message, action))

    def drain(self, timeout: float) -> None:
        """Refuse new work, wait for what is live, end."""
        self.draining = True
        self.process.spawn(self._drain(timeout))

    async def _drain(self, timeout: float) -> None:
        core, process = self.core, self.process
        assert core is not None
        core.drain()
        until = process.monotonic() + timeout
        while core.journal.live and process.monotonic() < until:
            await asyncio.sleep(0.02)
        core.system.shutdown()
        assert self.containers is not None
        self.containers.destroy_all()
        await core.journal.close()
        if not self.fenced:
            self.machine.clean = True
            self.closed = True
            process.kill("drained")
            raise Killed
