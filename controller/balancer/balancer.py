"""The sharding balancer of one controller: chooses invokers and keeps the books of what it sent where. Decides, does no I/O.

The caller carries decisions out and tells what came of them: every `Sent` that `choose` or `at` gives is ended by exactly one
call of `done`. What each invoker may take from this controller is its memory divided by the number of controllers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field

from controller.balancer import placement
from controller.balancer.health import Health, Outcome, State
from controller.balancer.slots import Slots

MIN_MEMORY = 128
"""MB that a controller may always use of an invoker, however many controllers there are: the smallest action's."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Upstream's settings of the same names. `standard_timeout` and `addon` in seconds."""

    managed_fraction: float = 0.9
    blackbox_fraction: float = 0.1
    standard_timeout: float = 60.0
    timeout_factor: float = 2.0
    timeout_addon: float = 60.0


@dataclass(frozen=True, slots=True)
class Need:
    """What an activation asks of an invoker. `namespace` invokes; `timeout` seconds; `blackbox`: its image isn't the manifest's."""

    activation_id: str
    namespace: str
    fqn: str
    version: str
    memory: int
    concurrency: int = 1
    timeout: float = 60.0
    blackbox: bool = False

    @property
    def key(self) -> str:
        """What activations must have in common to share a container's places."""
        return f"{self.fqn}@{self.version}"


@dataclass(frozen=True, slots=True)
class Sent:
    """An activation in the books. `overload`: there was no room anywhere; `due`: when it counts as lost."""

    need: Need
    invoker: int
    overload: bool
    due: float


@dataclass(slots=True)
class Invoker:
    """One invoker. `memory`: all MB that it has for actions; `label`: its key in `/invokers`."""

    number: int
    label: str = ""
    memory: int = MIN_MEMORY
    health: Health = field(default_factory=Health)
    slots: Slots = field(default_factory=lambda: Slots(MIN_MEMORY))


class Balancer:
    """`pick(n)` gives a random number below n; `controllers` is the size of the cluster."""

    def __init__(self, rules: Rules, pick: Callable[[int], int], controllers: int = 1) -> None:
        self.invokers: list[Invoker] = []
        self.overloads = 0
        self._rules = rules
        self._pick = pick
        self._controllers = controllers
        self._sent: dict[str, Sent] = {}
        self._of_namespace: Counter[str] = Counter()

    def __repr__(self) -> str:
        shown = " ".join(f"{each.number}:{each.health.state}:{each.slots.used}/{each.slots.total}" for each in self.invokers)
        return f"<Balancer {shown or 'no invokers'} sent={len(self._sent)}>"

    # Invokers --------------------------------------------------------------------------------------------------------

    def pinged(self, number: int, label: str, memory: int, *, enabled: bool, own: bool, now: float) -> bool:
        """An invoker's ping; missing numbers below it are filled with ones that are offline. Whether its state changed."""
        invoker = self._invoker(number)
        invoker.label = label
        if invoker.memory != memory:
            invoker.memory = memory
            self._share(invoker)
        return invoker.health.pinged(enabled, own, now)

    def resize(self, controllers: int) -> None:
        """So many controllers share the invokers now."""
        if controllers != self._controllers:
            self._controllers = controllers
            for invoker in self.invokers:
                self._share(invoker)

    @property
    def controllers(self) -> int:
        """How many controllers share the invokers."""
        return self._controllers

    def passed(self, now: float) -> list[int]:
        """Time passed: the invokers that went silent."""
        return [each.number for each in self.invokers if each.health.passed(now)]

    def tests(self, now: float) -> list[int]:
        """The invokers that are to get a test activation now."""
        return [each.number for each in self.invokers if each.health.take_test(now)]

    def outcome(self, number: int, outcome: Outcome, now: float) -> bool:
        """An activation or a test ended on an invoker. Whether its state changed."""
        return number < len(self.invokers) and self.invokers[number].health.ended(outcome, now)

    def states(self) -> dict[str, str]:
        """What `/invokers` answers."""
        return {each.label: str(each.health.state) for each in self.invokers}

    def healthy(self) -> int:
        """How many invokers take work."""
        return sum(each.health.usable for each in self.invokers)

    def offline(self, number: int) -> bool:
        """Whether an invoker doesn't ping."""
        return number >= len(self.invokers) or self.invokers[number].health.state is State.OFFLINE

    def _invoker(self, number: int) -> Invoker:
        while len(self.invokers) <= number:
            known = len(self.invokers)
            self.invokers.append(Invoker(known, f"invoker{known}"))
        return self.invokers[number]

    def _share(self, invoker: Invoker) -> None:
        invoker.slots.total = max(MIN_MEMORY, invoker.memory // self._controllers)

    # Activations -----------------------------------------------------------------------------------------------------

    def choose(self, need: Need, now: float, but: Container[int] = ()) -> Sent | None:
        """The invoker for an activation, in the books at once; none of `but`. None if no invoker can take it."""
        pool = self._pool(need.blackbox)
        usable = [self.invokers[at] for at in pool if self.invokers[at].health.usable and at not in but]
        if not usable:
            return None
        for at in self._asked(need, pool):
            invoker = self.invokers[at]
            if invoker in usable and invoker.slots.acquire(need.key, need.memory, need.concurrency):
                return self._book(need, invoker, now, overload=False)
        self.overloads += 1
        return self._force(need, usable[self._pick(len(usable))], now)

    def at(self, need: Need, number: int, now: float) -> Sent:
        """Put an activation on the books of an invoker chosen before, however full it is, and whether it pings or not."""
        invoker = self._invoker(number)
        if invoker.slots.acquire(need.key, need.memory, need.concurrency):
            return self._book(need, invoker, now, overload=False)
        return self._force(need, invoker, now)

    def done(self, activation_id: str) -> Sent | None:
        """It ended there or was never sent: its room is free again. None if it isn't in the books (any more)."""
        sent = self._sent.pop(activation_id, None)
        if sent is not None:
            need = sent.need
            self.invokers[sent.invoker].slots.release(need.key, need.memory, need.concurrency)
            self._of_namespace[need.namespace] -= 1
            if not self._of_namespace[need.namespace]:
                del self._of_namespace[need.namespace]
        return sent

    def sent(self, activation_id: str) -> Sent | None:
        """Where an unfinished activation is."""
        return self._sent.get(activation_id)

    def in_flight(self, namespace: str | None = None) -> int:
        """How many activations are unfinished; of one namespace if one is named."""
        return len(self._sent) if namespace is None else self._of_namespace[namespace]

    def everything(self) -> list[Sent]:
        """All that is unfinished, oldest first."""
        return list(self._sent.values())

    def overdue(self, now: float) -> list[Sent]:
        """What has been unfinished for so long that its acknowledgement must have been lost."""
        return [each for each in self._sent.values() if each.due <= now]

    def postpone(self, sent: Sent, seconds: float) -> None:
        """Wait that much longer for it."""
        need = sent.need
        if self._sent.get(need.activation_id) is sent:
            self._sent[need.activation_id] = Sent(need, sent.invoker, sent.overload, sent.due + seconds)

    def _pool(self, blackbox: bool) -> range:
        size, rules = len(self.invokers), self._rules
        if not size:
            return range(0)
        if blackbox:
            return placement.blackbox(size, rules.managed_fraction, rules.blackbox_fraction)
        return placement.managed(size, rules.managed_fraction)

    @staticmethod
    def _asked(need: Need, pool: range) -> Iterator[int]:
        hashed = placement.action_hash(need.namespace, need.fqn)
        return (pool[at] for at in placement.probes(hashed, len(pool)))

    def _force(self, need: Need, invoker: Invoker, now: float) -> Sent:
        invoker.slots.acquire(need.key, need.memory, need.concurrency, force=True)
        return self._book(need, invoker, now, overload=True)

    def _book(self, need: Need, invoker: Invoker, now: float, *, overload: bool) -> Sent:
        rules = self._rules
        patience = max(need.timeout, rules.standard_timeout) * rules.timeout_factor + rules.timeout_addon
        sent = self._sent[need.activation_id] = Sent(need, invoker.number, overload, now + patience)
        self._of_namespace[need.namespace] += 1
        return sent
