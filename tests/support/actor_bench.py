"""One actor alone, with its ports written down instead of carried out: what it sends, asks for and journals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw
from thespian.actors import ActorAddress

from actors.base import Directory, NodeActor, Rules, Services
from actors.system import NodeAddress
from messages.action import Executable
from messages.lifecycle import Stage, advance
from messages.wire import ActionName, ActivationMessage, ControllerId, Identity, Limits, Namespace

ROUTER, WRITER, READER, SELF = (NodeAddress(name) for name in ("router", "writer", "reader", "self"))
ID = "1" * 32


def message(activation_id: str = ID, blocking: bool = False, content: bytes = b"{}") -> ActivationMessage:
    """An invocation of guest/hello."""
    return ActivationMessage(
        transid=["t", 1000],
        action=ActionName("guest", "hello", "0.0.1"),
        revision="1-a",
        user=Identity("guest", Namespace("guest", "u"), {"api_key": "u:k"}),
        activation_id=activation_id,
        root_controller_index=ControllerId("0"),
        blocking=blocking,
        content=Raw(content),
    )


def action(replay: str = "rerun", **limits: int) -> Executable:
    """guest/hello as an invoker runs it."""
    made = Limits(**{"memory": 256, "timeout": 1000, "logs": 1, "concurrency": 1} | limits)
    return Executable("guest/hello", "1-a", "0.0.1", "python:3", "main", "code", False, "", made, True, replay)


@dataclass
class FakeJournal:
    """Keeps what is appended; nothing is durable before `settle`."""

    appended: list[Any] = field(default_factory=list)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    stages: dict[str, Stage] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)
    refuses: Exception | None = None

    def append(self, event: Any, done: Callable[[], None] | None = None, *, lazy: bool = False) -> None:
        if self.refuses is not None:
            raise self.refuses
        stage = self.stages[event.id] = advance(self.stage(event.id), event.name, event.id)
        if stage is Stage.DONE:
            del self.stages[event.id]
        self.appended.append(event)
        if done is not None:
            self.waiting.append(done)

    def stage(self, activation_id: str) -> Stage:
        return self.stages.get(activation_id, Stage.UNKNOWN)

    def stalled(self) -> float:
        return 0.0

    def prompt(self) -> bool:
        return True

    def settle(self) -> None:
        """All that was appended is durable."""
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done()


@dataclass
class Calls:
    """Any port: (method, arguments) in order."""

    made: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **named: self.made.append((name, args))

    def named(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of that name."""
        return [args for made, args in self.made if made == name]


class FakeClock:
    """Stands still."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return int(self.now * 1000)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        raise AssertionError("the bench has no timers")


class Bench:
    """`deliver` messages to the actor; look at `sent`, `journal`, `containers`, `answers`, `records`, `actions`."""

    def __init__(self, make: Callable[[Services], NodeActor], **rules: Any) -> None:
        self.journal = FakeJournal()
        self.containers, self.answers, self.records, self.actions = Calls(), Calls(), Calls(), Calls()
        self.clock = FakeClock()
        self.sent: list[tuple[ActorAddress, Any]] = []
        self.wakeups: list[Any] = []
        self.failing: list[str] = []
        self.services = Services(
            clock=self.clock,
            journal=self.journal,
            containers=self.containers,
            records=self.records,
            actions=self.actions,
            answers=self.answers,
            tell=self._told,
            instrument=lambda name, facts: self.failing.append(name),
            rules=Rules(**rules),
            settled=self.containers.settled,
            directory=Directory(ROUTER, WRITER, READER),
        )
        self.actor = make(self.services)
        self.actor._myRef = self

    # What Thespian's Actor calls.

    address = SELF

    def actor_send(self, target: ActorAddress, sent: Any) -> None:
        self.sent.append((target, sent))

    def createActor(self, factory: object, *options: object) -> ActorAddress:
        return NodeAddress(f"child{len(self.sent)}")

    def wakeupAfter(self, period: object, payload: object = None) -> None:
        self.wakeups.append(period)

    def _told(self, target: ActorAddress, told: Any) -> None:
        self.deliver(told)

    # What tests call.

    def deliver(self, *messages: Any) -> None:
        """One after the other."""
        for each in messages:
            self.actor.receiveMessage(each, ROUTER)

    def to(self, target: ActorAddress) -> list[Any]:
        """What was sent there."""
        return [sent for address, sent in self.sent if address is target]
