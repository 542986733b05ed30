"""Schedules with sequences, conductors and fired triggers: a simulated process that has a composer beside its invoker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec import UNSET, Raw

from actors.base import Rules
from actors.pool import PoolSettings
from messages.action import ActionDoc, Exec, Executable, executable
from messages.commands import Invoke
from messages.composing import Component, Compose, NoComponent
from messages.composition import ConductorPlan, Plan, Rule, SequencePlan, TriggerPlan, child_id
from messages.wire import ActionName, ActivationMessage, ControllerId, Identity, KeyValue, Limits, Namespace, encode
from store.contract import EntityRow
from store.journal_queue import JournalSettings
from store.ports import Records
from tests.oracle import History, Submitted, journal_events
from tests.simulation.containers import Script
from tests.simulation.network import Remote, RemoteLog, at_once
from tests.simulation.node import SimAnswers, SimNode
from tests.simulation.scenario import RULES, Options, Simulation
from tests.simulation.world import WALL, Killed
from transport.children import Children
from transport.compositions import CompositionCore
from transport.local import LocalAnswers, LocalInvocation

STREAM = "controller0"
MOST = 6
"""Actions that a composition may call: small, so that some are too long."""


def conduct(arguments: dict[str, Any]) -> dict[str, Any]:
    """The conductor's code: two components, then an end."""
    called = arguments.get("called", 0)
    if called == 2:
        return {"params": {"done": 1}}
    return {"action": ("ok", "inner")[called], "params": {"n": called}, "state": {"called": called + 1}}


ACTIONS = {
    "ok": Script("ok", run=(0.001, 0.1)),
    "late": Script("late", run=(0.2, 1.0)),
    "bad": Script("bad", "application error"),
    "once": Script("once", run=(0.01, 0.5)),
    "cond": Script("cond", answer=conduct),
}
SEQUENCES = {"inner": ("guest/ok", "guest/late"), "deep": ("guest/inner", "guest/ok")}


class BothAnswers(LocalAnswers):
    """Answers for children inside the process, and for clients outside."""

    def __init__(self, clients: SimAnswers) -> None:
        super().__init__()
        self.clients = clients
        self.expect = clients.expect
        self.unanswered = clients.unanswered

    def accepted(self, activation_id: str) -> None:
        super().accepted(activation_id)
        self.clients.accepted(activation_id)

    def refused(self, activation_id: str, reason: str, status: int) -> None:
        super().refused(activation_id, reason, status)
        self.clients.refused(activation_id, reason, status)

    def finished(self, activation_id: str, record: Any) -> None:
        self.clients.finished(activation_id, record)
        super().finished(activation_id, record)


class SimInvoker:
    """What a composer needs of an Invoker. Tells the machine what code a child runs: its id is not known before."""

    def __init__(self, answers: LocalAnswers, hand_in: Callable[[Invoke], None], scripts: dict[str, Script]) -> None:
        self._answers = answers
        self._hand_in = hand_in
        self._scripts = scripts

    async def choose(self, message: ActivationMessage, action: Executable | None = None) -> str:
        return "invoker0"

    async def invoke(self, message: ActivationMessage, action: Executable | None = None, node: str = "") -> LocalInvocation:
        self._scripts[message.activation_id] = ACTIONS[message.action.name]
        command = Invoke(message, action, owed=bool(node))
        return await self._answers.accept(message.activation_id, lambda: self._hand_in(command))


class SimComponents:
    """A ComponentPort on a fixed set of actions."""

    most = MOST

    def __init__(self, node: ComposingNode, actions: dict[str, Executable]) -> None:
        self._node = node
        self._actions = actions

    def resolve(self, user: Identity, name: str, content: Raw, reply: Callable[[Any], None], *, rule: bool) -> None:
        process = self._node.process
        process.call_later(process.world.rng.uniform(0, 0.02), lambda: reply(self._find(user, name.rpartition("/")[2], content)))

    def _find(self, user: Identity, name: str, content: Raw) -> Component | NoComponent:
        action = ActionName("guest", name, "0.0.1")
        if name in SEQUENCES:
            return Component("sequence", action, user, content, Limits(), components=SEQUENCES[name])
        if name not in self._actions:
            return NoComponent(404, "The requested resource does not exist.")
        return Component("conductor" if name == "cond" else "action", action, user, content, Limits(), self._actions[name])


class ComposingNode(SimNode):
    """A process with both cores."""

    compositions: CompositionCore | None = None
    actions: dict[str, Executable]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.clients = self.answers
        self.answers = BothAnswers(self.clients)

    async def _open(self, rules: Rules, pool: PoolSettings, journal: JournalSettings) -> None:
        await super()._open(rules, pool, journal)
        self.ready, process = False, self.process
        core = CompositionCore(
            log=RemoteLog(self.network, process),
            stream=STREAM,
            writer=f"{process.name}-{self.world.rng.getrandbits(64):016x}",
            clock=process,
            call_soon=process.call_soon,
            spawn=self._spawn,
            answers=self.answers,
            rules=rules,
            journal_settings=journal,
            instrument=self._observe,
            on_failure=self._actor_failed,
            on_fenced=self._fenced,
            on_failed=self._ends,
            failpoint=self._failpoint,
        )
        await core.open(clean=False)
        invoker = SimInvoker(self.answers, self.core.hand_in, self.machine.scripts)
        records = Remote(self.network, process, "activations")
        subjects = Remote(self.network, process, "subjects")
        self.compositions = core
        children = Children(invoker, core, records, subjects, self._spawn)
        core.begin(Records(records, self._spawn, process.call_later), SimComponents(self, self.actions), children)
        self.ready = True

    def compose(self, message: ActivationMessage, plan: Plan) -> None:
        """A request reaches it."""
        self.clients.expect(message)
        self.compositions.services.tell(self.compositions.services.directory.router, Compose(message, plan))

    def _fenced(self) -> None:
        super()._fenced()
        for core in (self.core, self.compositions):
            if core is not None:
                core.system.shutdown()

    async def _drain(self, timeout: float) -> None:
        core, process, composing = self.core, self.process, self.compositions
        core.drain()
        composing.drain()
        until = process.monotonic() + timeout
        while (core.journal.live or composing.journal.live) and process.monotonic() < until:
            await asyncio.sleep(0.02)
        for each in (core, composing):
            each.system.shutdown()
        self.answers.abort()
        self.containers.destroy_all()
        await core.journal.close()
        await composing.journal.close()
        if not self.fenced:
            self.machine.clean = True
            self.closed = True
            process.kill("drained")
            raise Killed


class Composing(Simulation):
    """One schedule: a few compositions of every form beside some plain invocations."""

    def __init__(self, seed: int, options: Options | None = None) -> None:
        super().__init__(seed, options)
        self.actions = {name: self._put(name) for name in ACTIONS}

    def _put(self, name: str) -> Executable:
        doc = ActionDoc(
            namespace="guest",
            name=name,
            exec=Exec(kind="python:3", code="x"),
            limits=Limits(timeout=5000, memory=256, logs=1),
            version="0.0.1",
            publish=False,
            annotations=[KeyValue("replay", "never" if name == "once" else "rerun")],
            parameters=[],
        )
        row = EntityRow("actions", "guest", name, 0)
        return executable(doc, at_once(self.network.store.entities.put(row, encode(doc), None)))

    def _catalogue(self) -> list:
        return [entry for entry in super()._catalogue() if not entry[0].name.startswith("poison")]

    def _plan_clients(self) -> None:
        span = self.rng.choice((0.05, 1.0, 4.0))
        for _ in range(self.rng.choice((1, 2, 4))):
            self._plan_composition(self.rng.uniform(0, span))

    def _plan_one(self, each: Any, action: Executable, at: float) -> None:
        """Without any trouble there are compositions too."""
        self._plan_composition(at)

    def _plan_composition(self, at: float) -> None:
        rng = self.rng
        activation_id = f"{rng.getrandbits(128):032x}"
        plan, expect, steps = self._plan(activation_id)
        blocking = not isinstance(plan, TriggerPlan) and rng.random() < 0.6
        message = ActivationMessage(
            transid=[activation_id[:8], WALL + int(at * 1000)],
            action=ActionName("guest", "whole", "0.0.1"),
            revision=None,
            user=Identity("guest", Namespace("guest", "guest")),
            activation_id=activation_id,
            root_controller_index=ControllerId("0"),
            blocking=blocking,
            content=Raw(b'{"n":1}') if rng.random() < 0.9 else UNSET,
        )
        self.submitted[activation_id] = Submitted(activation_id, blocking, expect=None if self.rough else expect, steps=steps)
        self.outstanding += 1
        self.world.at(at, lambda: self._compose(message, plan))

    def _plan(self, activation_id: str) -> tuple[Plan, set[int] | None, int | None]:
        rng = self.rng
        form = rng.choice(("sequence", "sequence", "conductor", "trigger"))
        if form == "conductor":
            return ConductorPlan("guest/cond", MOST, Limits()), {0}, 5
        if form == "trigger":
            names = [f"guest/r{n}" for n in range(rng.randint(1, 4))]
            actions = [rng.choice((*ACTIONS, *SEQUENCES, "nosuch")) for _ in names]
            rules = [
                Rule(name, f"guest/{action}", child_id(activation_id, name, 0) if rng.random() < 0.8 else "")
                for name, action in zip(names, actions, strict=True)
            ]
            return TriggerPlan(rules, Raw(b'{"n":1}')), {0}, sum(bool(r.child) and not r.action.endswith("nosuch") for r in rules)
        weights = {"ok": 5, "late": 2, "inner": 2, "deep": 1, "cond": 1, "bad": 1, "once": 1, "nosuch": 1}
        names = rng.choices(list(weights), list(weights.values()), k=rng.randint(1, 5))
        plan = SequencePlan([f"guest/{name}" for name in names], MOST, Limits())
        ends = [name for name in names if name in {"bad", "nosuch", "once", "deep", "inner"}]
        return plan, {0} if not ends else None, len(names)

    def _compose(self, message: ActivationMessage, plan: Plan) -> None:
        node = self._serving()
        if node is None:
            self.world.at(0.1, lambda: self._compose(message, plan))
            return
        self.outstanding -= 1
        self.world.trace("compose", message.activation_id, node.process.name)
        node.process.post(node.compose, message, plan)

    def _make_node(self, name: str) -> SimNode:
        node = ComposingNode(self.world, self.machine, self.network, name, self.told)
        node.actions = self.actions
        return node

    def _at_rest(self) -> bool:
        composing = self.nodes[-1].compositions
        return composing is not None and not composing.journal.live and not composing.journal.waiting and super()._at_rest()

    def _unanswered(self) -> list[str]:
        return self.nodes[-1].clients.unanswered()

    def _history(self) -> History:
        history = super()._history()
        documents = [(n, body) for (stream, n), body in self.network.documents.items() if stream == STREAM]
        history.composed = journal_events(documents)
        last = self.nodes[-1].compositions
        history.live += list(last.journal.live) if last is not None else []
        return history


__all__ = ["RULES", "Composing", "ComposingNode"]
