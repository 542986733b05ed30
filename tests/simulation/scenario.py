"""One schedule from a seed: what is invoked, what goes wrong and when; and running it until everything is at rest."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
from msgspec import Raw

from actors.base import Rules
from actors.pool import PoolSettings, StemCell
from messages.action import ActionDoc, Exec, Executable, executable
from messages.wire import ActionName, ActivationMessage, ControllerId, Identity, KeyValue, Limits, Namespace, decode_message, encode
from store.contract import EntityRow
from store.journal_queue import JournalSettings
from store.memory import MemoryStore
from tests.oracle import History, Submitted, Told, journal_events
from tests.simulation.containers import Machine, Odds, Script
from tests.simulation.network import Network, at_once
from tests.simulation.node import STREAM, SimNode
from tests.simulation.world import WALL, Stuck, World

MEMORY = 1024
LEASE = 10.0
NAMESPACES = ("guest", "alpha", "beta")
RULES = Rules(largest=100_000, remember=30.0, stall=LEASE, log_wait=0.5)
POOL = PoolSettings(memory=MEMORY, starting=2, idle_timeout=8.0, starvation=1.0)

EXPECTED: dict[str, set[int]] = {
    "success": {0}, "application error": {1}, "init fails": {2}, "hangs": {2}, "exit": {2}, "memory": {2}, "unavailable": {0, 3},
    "poison": {3},
}  # fmt: skip


@dataclass(frozen=True)
class Catalogued:
    """An action of the catalogue."""

    name: str
    end: str = "success"
    memory: int = 256
    replay: str = "rerun"
    concurrency: int = 1
    logs: int = 1
    timeout: int = 2000
    kind: str = "python:3"
    run: tuple[float, float] = (0.003, 0.3)
    silent: float = 0.0


CATALOGUE = (
    Catalogued("quick"),
    Catalogued("quick", run=(0.001, 0.01)),
    Catalogued("slow", run=(0.5, 1.8)),
    Catalogued("never", replay="never", run=(0.01, 0.8)),
    Catalogued("large", memory=1024),
    Catalogued("half", memory=512),
    Catalogued("wrong", "application error"),
    Catalogued("broken", "init fails"),
    Catalogued("hangs", "hangs", timeout=700),
    Catalogued("exits", "exit"),
    Catalogued("eats", "memory"),
    Catalogued("many", concurrency=3),
    Catalogued("quiet", logs=0),
    Catalogued("mute", silent=0.5),
    Catalogued("tired", "unavailable"),
    Catalogued("toolarge", memory=4096),
    Catalogued("nowhere", kind="none:1"),
    Catalogued("gone", run=(0.01, 0.1)),
)
POISON = Catalogued("poison", "poison", run=(0.01, 0.3))
POISON_NEVER = Catalogued("poisonever", "poison", replay="never", run=(0.01, 0.3))


@dataclass
class Options:
    """What tests change: `prepare` sees each node before it starts; `actions` are invoked `times` each, without any trouble."""

    actions: tuple[str, ...] = ()
    times: int = 2
    prepare: Callable[[SimNode], None] | None = None
    log: bool = False
    limit: float = 400.0


class Simulation:
    """One schedule."""

    def __init__(self, seed: int, options: Options | None = None) -> None:
        self.options = options or Options()
        self.world = World(seed)
        if self.options.log:
            self.world.log = []
        self.rng = random.Random(seed ^ 0x5EED)
        rng = self.rng
        self.rough = rng.random() < 0.4 and not self.options.actions
        odds = Odds(survive=rng.random() < 0.5)
        if self.rough:
            odds.create_fails, odds.create_slow, odds.dies_idle = rng.uniform(0, 0.5), rng.uniform(0, 0.3), rng.uniform(0, 0.4)
            odds.freeze_fails, odds.adopt_fails = rng.choice((0.0, 0.3)), rng.choice((0.0, 0.3))
        self.odds = odds
        self.network = Network(self.world, MemoryStore())
        self.machine = Machine(self.world, odds, MEMORY)
        self.told: list[Told] = []
        self.nodes: list[SimNode] = []
        self.submitted: dict[str, Submitted] = {}
        self.outstanding = 0
        self.journal = JournalSettings(
            max_events=rng.choice((1, 3, 500)),
            snapshot_every=rng.choice((3, 7, 20, 1000)),
            keep_ms=0,
            lease=LEASE,
            lazy=rng.choice((0.0, 0.02, 0.5)),
        )
        cells = (StemCell("python:3", "", 256, 1),) if rng.random() < 0.3 and not self.options.actions else ()
        self.pool = msgspec.structs.replace(POOL, stem_cells=cells)
        self.rules = replace(RULES, pause_grace=rng.choice((0.02, 0.3, None)))
        self.calm = bool(self.options.actions)
        self.calm_since = 0.0
        self.catalogue = self._catalogue()

    # What there is to invoke

    def _catalogue(self) -> list[tuple[Catalogued, Executable]]:
        chosen = self.rng.sample(CATALOGUE, self.rng.randint(2, 6))
        if self.options.actions:
            chosen = [each for each in (*CATALOGUE, POISON, POISON_NEVER) if each.name in self.options.actions]
        elif self.rng.random() < 0.25:
            chosen.append(self.rng.choice((POISON, POISON, POISON_NEVER)))
        made = []
        for each in {each.name: each for each in chosen}.values():
            doc = ActionDoc(
                namespace="guest",
                name=each.name,
                exec=Exec(kind=each.kind, code="x"),
                limits=Limits(each.timeout, each.memory, each.logs, each.concurrency),
                version="0.0.1",
                publish=False,
                annotations=[KeyValue("replay", each.replay)],
                parameters=[],
            )
            row = EntityRow("actions", "guest", each.name, 0)
            revision = at_once(self.network.store.entities.put(row, encode(doc), None))
            made.append((each, executable(doc, revision)))
        return made

    def _delete(self, name: str) -> None:
        entities = self.network.store.entities
        found = at_once(entities.get(f"guest/{name}"))
        if found is not None:
            at_once(entities.delete(f"guest/{name}", found.rev))

    # Clients

    def _plan_clients(self) -> None:
        rng = self.rng
        span = rng.choice((0.05, 1.0, 6.0))
        for _ in range(rng.choice((1, 4, 8, 14))):
            each, action = rng.choice(self.catalogue)
            if each.name.startswith("poison") and sum(s.poison for s in self.submitted.values()) >= 2:
                continue
            self._plan_one(each, action, rng.uniform(0, span))
        if any(each.name == "gone" for each, _ in self.catalogue):
            self.world.at(rng.uniform(0, span), lambda: self._delete("gone"))

    def _plan_one(self, each: Catalogued, action: Executable, at: float) -> None:
        rng = self.rng
        message = self._message(each, action, at)
        known = action if rng.random() < 0.5 else None
        self.outstanding += 1
        self.world.at(at, lambda: self._submit(message, known))
        if rng.random() < 0.15:
            self.world.at(at + rng.uniform(0, 3), lambda: self._repeat(message, known))

    def _message(self, each: Catalogued, action: Executable, at: float) -> ActivationMessage:
        rng = self.rng
        activation_id = f"{rng.getrandbits(128):032x}"
        namespace = rng.choice(NAMESPACES)
        blocking = rng.random() < 0.6
        message = ActivationMessage(
            transid=[activation_id[:8], WALL + int(at * 1000)],
            action=ActionName("guest", each.name, "0.0.1"),
            revision=action.revision,
            user=Identity(namespace, Namespace(namespace, namespace)),
            activation_id=activation_id,
            root_controller_index=ControllerId("0"),
            blocking=blocking,
            content=Raw(b'{"n":1}'),
        )
        expect = None if self.rough else EXPECTED.get(each.end)
        if each.name in {"toolarge", "nowhere"}:
            expect = {3}
        elif each.name == "gone" and expect:
            expect = {0, 1}
        poison = each.end == "poison"
        self.submitted[activation_id] = Submitted(activation_id, blocking, each.replay, poison, expect)
        self.machine.scripts[activation_id] = Script(each.name, each.end, each.run, each.silent)
        return message

    def _submit(self, message: ActivationMessage, action: Executable | None) -> None:
        """A connection refused is tried again; anything else is left as it is."""
        node = self._serving()
        if node is None:
            self.world.at(0.1, lambda: self._submit(message, action))
            return
        self.outstanding -= 1
        self._hand_in(node, message, action)

    def _hand_in(self, node: SimNode, message: ActivationMessage, action: Executable | None) -> None:
        self.world.trace("submit", message.activation_id, node.process.name)
        node.handed_in.add(message.activation_id)
        node.process.post(node.invoke, message, action)

    def _repeat(self, message: ActivationMessage, action: Executable | None) -> None:
        """The same again, to the process that has it."""
        node = self._serving()
        if node is not None and message.activation_id in node.handed_in:
            self._hand_in(node, decode_message(encode(message)), action)

    def _serving(self) -> SimNode | None:
        node = self.nodes[-1]
        return node if node.alive and node.ready and not node.process.paused else None

    # Faults

    def _start(self) -> SimNode:
        node = self._make_node(f"p{len(self.nodes)}")
        self.nodes.append(node)
        node.process.on_death.append(lambda: self._after_death(node))
        if self.options.prepare is not None:
            self.options.prepare(node)
        node.start(self.rules, self.pool, self.journal)
        if not self.calm:
            self._plan_trouble(node)
        return node

    def _make_node(self, name: str) -> SimNode:
        return SimNode(self.world, self.machine, self.network, name, self.told)

    def _after_death(self, node: SimNode) -> None:
        if self.nodes[-1] is node:
            self.world.at(self.rng.uniform(0.005, 0.5), lambda: self._restart(node))

    def _restart(self, after: SimNode) -> None:
        if self.nodes[-1] is after:
            self._start()

    def _plan_trouble(self, node: SimNode) -> None:
        rng = self.rng
        trouble = rng.choice(("crash", "crash", "write", "write", "write", "pause", "drain", "none"))
        if trouble == "crash":
            self.world.at(rng.uniform(0, rng.choice((0.1, 1.0, 5.0))), lambda: node.process.kill("crash"))
        elif trouble == "write":
            left = rng.choice((rng.randint(1, 12), rng.randint(1, 80)))

            def failpoint(event: str, position: str) -> None:
                nonlocal left
                left -= 1
                if left == 0 and not self.calm:
                    node.process.die_here(f"at {event} {position}")

            node.failpoint = failpoint
        elif trouble == "pause":
            self.world.at(rng.uniform(0, 3), lambda: self._pause(node))
        elif trouble == "drain":
            self.world.at(rng.uniform(0, 4), lambda: self._drain(node))

    def _pause(self, node: SimNode) -> None:
        """It stops whole; perhaps a successor starts after its lease; then it goes on.

        Not while it opens: it would go on to remove its successor's containers, which the lock of the data directory prevents.
        """
        if not node.alive or not node.ready:
            return
        rng = self.rng
        self.world.trace(node.process.name, "paused")
        node.process.paused = True
        succeeded = rng.random() < 0.8

        def successor() -> None:
            if node.alive and self.nodes[-1] is node:
                self._start()

        def go_on() -> None:
            self.world.trace(node.process.name, "goes on")
            node.process.paused = False
            if node.alive and self.nodes[-1] is not node:
                self.world.at(rng.uniform(0, 2), lambda: self._ask_elder(node))

        wait = LEASE + rng.uniform(0.1, 3)
        if succeeded:
            self.world.at(wait, successor)
            self.world.at(wait + LEASE + rng.uniform(0.5, 6), self._compact)
            self.world.at(wait + rng.choice((rng.uniform(0, 0.05), rng.uniform(0, 3), LEASE + rng.uniform(0, 9))), go_on)
        else:
            self.world.at(rng.uniform(0, wait), go_on)

    def _ask_elder(self, node: SimNode) -> None:
        """Somebody still sends work to the older owner: that is how it learns that it is none any more."""
        if node.alive and node.ready and not node.draining:
            each, action = self.catalogue[0]
            message = self._message(each, action, self.world.now)
            self._hand_in(node, message, action)
        elif node.alive and not node.ready:
            self.world.at(1.0, lambda: self._ask_elder(node))

    def _drain(self, node: SimNode) -> None:
        if node.alive and node.ready and not node.draining:
            node.drain(self.rng.choice((0.0, 0.3, 5.0)))

    def _plan_weather(self) -> None:
        rng, network = self.rng, self.network
        if rng.random() < 0.4:
            network.lost = rng.choice((0.02, 0.2))
        if rng.random() < 0.3:
            network.refused = rng.choice((0.02, 0.2))
        if rng.random() < 0.2:
            network.slow = 0.05
        if rng.random() < 0.3:
            at = rng.uniform(0, 4)
            self.world.at(at, lambda: setattr(network, "outage", not self.calm))
            self.world.at(at + rng.choice((0.3, 3, 14)), lambda: setattr(network, "outage", False))
        for _ in range(rng.choice((0, 3))):
            self.world.at(rng.uniform(0.5, 20), self._compact)

    def _compact(self) -> None:
        node = self._serving()
        if node is not None and node.core is not None:
            node.process.post(lambda: node.process.create_task(self._compacted(node)))

    async def _compacted(self, node: SimNode) -> None:
        from store.errors import StoreUnavailable

        try:
            await node.core.journal.compact(node.process.wall_ms())
        except StoreUnavailable:
            return

    # Running

    def run(self) -> History:
        """Everything, until nothing is left to do; then the last process drains."""
        try:
            return self._run()
        finally:
            for process in self.world.processes:
                process.close_unbegun()

    def _run(self) -> History:
        if self.options.actions:
            for each, action in self.catalogue * self.options.times:
                self._plan_one(each, action, self.rng.uniform(0, 0.3))
        else:
            self._plan_clients()
            self._plan_weather()
        self._start()
        self.world.at(0.0 if self.options.actions else self.rng.uniform(2, 12), self._clear_up)
        try:
            self.world.run(self._at_rest, self.options.limit)
        except Stuck as stuck:
            self.world.violated(str(stuck))
            return self._history()
        node = self.nodes[-1]
        node.drain(5.0)
        self.world.run(lambda: node.closed, 60.0)
        return self._history()

    def _clear_up(self) -> None:
        self.calm = True
        self.calm_since = self.world.now
        self.network.calm()
        self.odds.create_fails = self.odds.create_slow = self.odds.dies_idle = 0.0
        self.odds.freeze_fails = 0.0
        self.world.trace("calm")
        self._heartbeats()

    def _heartbeats(self) -> None:
        """Older owners that never write learn of the newer one all the same."""
        newest = max((node.core.journal.epoch for node in self.nodes if node.core is not None), default=0)
        for node in self.nodes:
            node.heartbeat(newest)
        self.world.at(3.0, self._heartbeats)

    def _at_rest(self) -> bool:
        node = self.nodes[-1]
        if not (self.calm and not self.outstanding and node.alive and node.ready and not node.draining):
            return False
        others = any(other.alive for other in self.nodes[:-1])
        process, journal = node.process, node.core.journal
        busy = process.paused or process.ready or journal.live or journal.waiting or self._unanswered()
        return not others and not busy and self.world.now > self.calm_since + 5.0

    def _unanswered(self) -> list[str]:
        return self.nodes[-1].answers.unanswered()

    def _history(self) -> History:
        store, last = self.network.store, self.nodes[-1]
        handed: set[str] = set()
        for body in self.network.handed_over:
            for _, event in journal_events([(0, body)]):
                if event.name == "accepted":
                    handed.add(event.id)
        return History(
            submitted=self.submitted,
            told=self.told,
            records=[msgspec.json.decode(row[3]) for row in store.activations.records.values()],
            journal=journal_events([(n, body) for (stream, n), body in self.network.documents.items() if stream == STREAM]),
            handed_over=handed,
            runs=self.machine.runs,
            live=list(last.core.journal.live) if last.core is not None else [],
            containers=[box.id for box in self.machine.boxes.values()],
            unanswered=self._unanswered(),
            violations=self.world.violations + self._failures() + self._foreign_logs(),
        )

    def _failures(self) -> list[str]:
        return [
            f"{node.process.name}: {name} failed at {message!r:.300}: {error!r}"
            for node in self.nodes
            for name, error, message in node.failures
        ]

    def _foreign_logs(self) -> list[str]:
        """Log lines of one activation in the record of another."""
        wrong = []
        for row in self.network.store.activations.records.values():
            record = msgspec.json.decode(row[3])
            own = record["activationId"]
            if record["name"] == "many":
                continue
            for line in record.get("logs", []):
                word = line.split()[-1]
                if line.split()[-2:-1] in (["begin"], ["end"]) and word in self.submitted and word != own:
                    wrong.append(f"the record of {own} has a log line of {word}")
        return wrong
