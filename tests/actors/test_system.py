"""Actors on a loop: order, turns, timers, failures, restarts, ends. The loop here is a list and a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ActorTypeDispatcher,
    ChildActorExited,
    InvalidActorAddress,
    PoisonMessage,
    WakeupMessage,
)

from actors.system import RESTARTS, NodeSystem, Restarted, RestartLimit


class Timer:
    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """call_soon and call_later on a virtual clock; `run` until nothing is ready, `advance` moves the clock."""

    def __init__(self) -> None:
        self.ready: list[Callable[[], None]] = []
        self.timers: list[Timer] = []
        self.now = 0.0
        self.turns = 0

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.ready.append(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self.now + seconds, callback)
        self.timers.append(timer)
        return timer

    def pending(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def run(self) -> None:
        while self.ready:
            self.turns += 1
            self.ready.pop(0)()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        self.run()
        while due := sorted((t for t in self.pending() if t.due <= end), key=lambda t: t.due):
            self.timers.remove(due[0])
            self.now = due[0].due
            due[0].callback()
            self.run()
        self.now = end


class World:
    def __init__(self, per_turn: int = 64) -> None:
        self.loop = Loop()
        self.failures: list[tuple[str, Exception, object]] = []
        self.system = NodeSystem(
            self.loop.call_soon, self.loop.call_later, lambda *failure: self.failures.append(failure), per_turn
        )
        self.heard: list[object] = []

    def create(self, kind: type[Actor], *arguments: object) -> ActorAddress:
        address: ActorAddress = self.system.createActor(partial(kind, self.heard, *arguments))
        return address

    def tell(self, address: ActorAddress, *messages: object) -> None:
        for message in messages:
            self.system.tell(address, message)
        self.loop.run()


@pytest.fixture
def world() -> World:
    return World()


class Listener(Actor):
    """Notes what it hears; does what it is told by callables."""

    def __init__(self, heard: list[object], name: str = "") -> None:
        super().__init__()
        self.heard = heard
        self.name = name
        self.count = 0

    def receiveMessage(self, message: object, sender: ActorAddress) -> None:
        self.count += 1
        if callable(message):
            message(self)
        else:
            self.heard.append((self.name, message) if self.name else message)


class Restarting(Listener):
    supervision = "restart"


def fail(actor: Actor) -> None:
    raise ValueError("told to")


def test_tell_queues_and_the_loop_delivers(world: World) -> None:
    actor = world.create(Listener)
    world.system.tell(actor, "one")
    world.system.tell(actor, "two")
    assert world.heard == []
    assert repr(world.system) == "<NodeSystem [1 actors, 2 queued, 0 dead letters]>"
    world.loop.run()
    assert world.heard == ["one", "two"]


def test_a_turn_delivers_a_bounded_number_of_messages() -> None:
    world = World(per_turn=10)
    actor = world.create(Listener)
    for number in range(35):
        world.system.tell(actor, number)
    assert len(world.loop.ready) == 1
    world.loop.ready.pop(0)()
    assert world.heard == list(range(10))
    world.loop.run()
    assert world.heard == list(range(35))
    assert world.loop.turns == 3


def test_actors_that_send_for_ever_leave_the_loop_its_turns() -> None:
    world = World(per_turn=5)

    def again(actor: Listener) -> None:
        actor.send(actor.myAddress, again)

    actor = world.create(Listener)
    world.system.tell(actor, again)
    for _ in range(20):
        world.loop.ready.pop(0)()
    assert len(world.loop.ready) == 1


def test_send_reaches_the_other_with_the_sender(world: World) -> None:
    class Echo(Actor):
        def receiveMessage(self, message: object, sender: ActorAddress) -> None:
            self.send(sender, ("echo", message))

    echo = world.system.createActor(Echo)
    world.tell(world.create(Listener), lambda actor: actor.send(echo, 1))
    assert world.heard == [("echo", 1)]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=40), st.integers(1, 7))
def test_messages_between_two_actors_keep_their_order(sends: list[tuple[int, int]], per_turn: int) -> None:
    world = World(per_turn)
    actors = [world.create(Listener, str(n)) for n in range(3)]

    def sending(target: int, number: int) -> Callable[[Listener], None]:
        return lambda actor: actor.send(actors[target], (actor.name, number))

    for number, (source, target) in enumerate(sends):
        world.system.tell(actors[source], sending(target, number))
    world.loop.run()
    assert len(world.heard) == len(sends)
    for source in range(3):
        for target in range(3):
            got = [m[1][1] for m in world.heard if isinstance(m, tuple) and m[0] == str(target) and m[1][0] == str(source)]
            assert got == [n for n, pair in enumerate(sends) if pair == (source, target)]


def test_dispatch_by_type_works(world: World) -> None:
    class Typed(ActorTypeDispatcher):
        def receiveMsg_int(self, message: int, sender: ActorAddress) -> None:
            world.heard.append(message + 1)

    world.tell(world.system.createActor(Typed), 41, "text")
    assert world.heard == [42]
    assert world.failures == []


def test_children_have_constructor_arguments_and_addresses_of_their_own(world: World) -> None:
    parent = world.create(Listener)
    children: list[ActorAddress] = []

    def create(actor: Listener) -> None:
        children.extend(actor.createActor(partial(Listener, actor.heard, str(n))) for n in range(2))
        for child in children:
            actor.send(child, "hello")

    world.tell(parent, create)
    assert world.heard == [("0", "hello"), ("1", "hello")]
    assert len({parent, *children}) == 3
    assert children[0] != children[1]
    assert [repr(address) for address in (parent, *children)] == ["/0", "/0/0", "/0/1"]


def test_wakeups_come_by_the_given_clock(world: World) -> None:
    actor = world.create(Listener)
    world.tell(actor, lambda a: (a.wakeupAfter(timedelta(seconds=5), "later"), a.wakeupAfter(timedelta(seconds=1), "soon")))
    world.loop.advance(0.9)
    assert world.heard == []
    world.loop.advance(10)
    assert [(m.payload, m.delayPeriod.total_seconds()) for m in world.heard if isinstance(m, WakeupMessage)] == [
        ("soon", 1.0), ("later", 5.0),
    ]  # fmt: skip
    assert world.loop.timers == []


def test_an_actor_that_exits_gets_no_more_wakeups_and_no_more_messages(world: World) -> None:
    actor = world.create(Listener)
    world.tell(actor, lambda a: a.wakeupAfter(timedelta(seconds=5)), ActorExitRequest(), "late")
    assert [type(m) for m in world.heard] == [ActorExitRequest]
    assert world.loop.pending() == []
    assert (world.system.alive, world.system.dead_letters) == (0, 1)


def test_a_parent_is_told_of_its_childs_end(world: World) -> None:
    children: list[ActorAddress] = []
    parent = world.create(Listener, "parent")
    world.tell(parent, lambda a: children.append(a.createActor(partial(Listener, a.heard, "child"))))
    world.tell(children[0], ActorExitRequest())
    assert [(name, type(m)) for name, m in world.heard] == [("child", ActorExitRequest), ("parent", ChildActorExited)]  # type: ignore[misc,attr-defined]
    assert world.heard[1][1].childAddress == children[0]  # type: ignore[index]
    assert world.system._base.primaries
    assert not parent.cell.children


def test_exit_takes_the_children_along_unless_told_otherwise(world: World) -> None:
    parent = world.create(Listener)
    world.tell(parent, lambda a: a.createActor(partial(Listener, a.heard, "child")))
    world.tell(parent, ActorExitRequest())
    assert world.system.alive == 0
    lonely = world.create(Listener)
    world.tell(lonely, lambda a: a.createActor(partial(Listener, a.heard, "child")))
    world.tell(lonely, ActorExitRequest(recursive=False))
    assert world.system.alive == 1


def test_a_failure_is_reported_once_and_the_message_not_delivered_again(world: World) -> None:
    actor = world.create(Restarting)
    world.tell(actor, fail)
    assert len(world.failures) == 1
    name, error, message = world.failures[0]
    assert name == "Restarting@/0"
    assert isinstance(error, ValueError)
    assert message is fail


def test_a_restarted_actor_is_new_at_its_old_address(world: World) -> None:
    """It hears Restarted before what was queued; its old wakeups are gone, its children live."""
    actor = world.create(Restarting, "r")
    child: list[ActorAddress] = []
    world.tell(
        actor, lambda a: a.wakeupAfter(timedelta(seconds=1)), lambda a: child.append(a.createActor(partial(Listener, [], "c")))
    )
    first = actor.cell.instance
    world.tell(actor, fail, "queued")
    restarted = world.heard[0][1]  # type: ignore[index]
    assert isinstance(restarted, Restarted)
    assert isinstance(restarted.cause, ValueError)
    assert (restarted.message, restarted.children) == (fail, (child[0],))
    assert world.heard[1:] == [("r", "queued")]
    assert actor.cell.instance is not first
    assert actor.cell.instance.count == 2
    world.loop.advance(5)
    assert world.heard[2:] == []
    assert world.system.alive == 2


def test_an_actor_that_stops_by_failure_is_told_to_its_parent(world: World) -> None:
    parent = world.create(Listener, "parent")
    children: list[ActorAddress] = []
    world.tell(parent, lambda a: children.append(a.createActor(partial(Listener, a.heard, "child"))))
    world.tell(children[0], fail)
    assert [type(m) for _, m in world.heard] == [ChildActorExited]  # type: ignore[misc,has-type]
    assert len(world.failures) == 1
    assert world.system.alive == 1


def test_too_many_restarts_end_the_actor(world: World) -> None:
    actor = world.create(Restarting)
    world.tell(actor, *[fail] * (RESTARTS + 1), "dead")
    assert [type(error) for _, error, _ in world.failures] == [ValueError] * (RESTARTS + 1) + [RestartLimit]
    fatal = world.failures[-1][1]
    assert isinstance(fatal.__cause__, ValueError)
    assert str(fatal) == "Restarting@/0 failed 6 times within 10 s: it is stopped"
    assert (world.system.alive, world.loop.pending()) == (0, [])


def test_restarts_that_lie_apart_go_on_for_ever(world: World) -> None:
    actor = world.create(Restarting)
    for _ in range(4 * RESTARTS):
        world.tell(actor, fail)
        world.loop.advance(2.1)
    assert world.system.alive == 1
    assert not any(isinstance(error, RestartLimit) for _, error, _ in world.failures)


def test_an_instance_that_cannot_be_made_again_is_an_end(world: World) -> None:
    made: list[int] = []

    class Once(Restarting):
        def __init__(self, heard: list[object]) -> None:
            super().__init__(heard)
            made.append(1)
            if len(made) > 1:
                raise RuntimeError("only once")

    world.tell(world.create(Once), fail)
    assert [type(error) for _, error, _ in world.failures] == [ValueError, RuntimeError]
    assert world.system.alive == 0


def test_constructors_that_fail(world: World) -> None:
    """A top-level one is the caller's; a child's is reported, and its parent told."""

    class Broken(Actor):
        def __init__(self) -> None:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        world.system.createActor(Broken)
    with pytest.raises(TypeError, match="is no Actor"):
        world.system.createActor(lambda: 5)
    assert world.system._base.primaries == {}
    parent = world.create(Listener)
    world.tell(parent, lambda a: a.createActor(Broken))
    assert [type(m) for m in world.heard] == [ChildActorExited]
    assert [(name, type(error)) for name, error, _ in world.failures] == [("Broken@/2/0", RuntimeError)]
    assert world.system.alive == 1


def test_an_actor_that_fails_at_its_exit_ends_all_the_same(world: World) -> None:
    class Clinging(Restarting):
        def receiveMessage(self, message: object, sender: ActorAddress) -> None:
            raise ValueError("no")

    world.tell(world.create(Clinging), ActorExitRequest())
    assert len(world.failures) == 1
    assert world.system.alive == 0


def test_a_sender_that_asked_for_it_gets_what_its_receiver_failed_at(world: World) -> None:
    class Asking(Listener):
        poison = True

    targets = [world.create(Listener), world.create(Listener)]
    world.tell(world.create(Asking), lambda a: a.send(targets[0], fail))
    world.tell(world.create(Listener), lambda a: a.send(targets[1], fail))
    assert [type(m) for m in world.heard] == [PoisonMessage]
    assert world.heard[0].poisonMessage is fail  # type: ignore[attr-defined]


def test_what_breaks_through_a_turn_does_not_stop_the_next(world: World) -> None:
    def interrupt(actor: Listener) -> None:
        raise KeyboardInterrupt

    actor = world.create(Listener)
    with pytest.raises(KeyboardInterrupt):
        world.tell(actor, interrupt)
    world.tell(actor, "one")
    assert world.heard == ["one"]
    world.system.tell(actor, interrupt)
    world.system.tell(actor, "two")
    with pytest.raises(KeyboardInterrupt):
        world.loop.run()
    world.loop.run()
    assert world.heard == ["one", "two"]


def test_shutdown_ends_everything_at_once(world: World) -> None:
    parent = world.create(Listener, "parent")
    world.tell(
        parent, lambda a: a.createActor(partial(Restarting, a.heard, "child")), lambda a: a.wakeupAfter(timedelta(seconds=1))
    )
    world.system.tell(parent, "queued")
    world.system.shutdown()
    assert [(name, type(m)) for name, m in world.heard] == [("parent", ActorExitRequest), ("child", ActorExitRequest)]  # type: ignore[misc,attr-defined]
    assert (world.system.alive, world.system.dead_letters, world.loop.pending()) == (0, 1, [])
    world.tell(parent, "after")
    assert world.system.dead_letters == 2
    world.system.shutdown()


def test_an_actor_can_shut_the_system_down(world: World) -> None:
    actor = world.create(Listener)
    other = world.create(Listener)
    world.tell(actor, lambda a: a.actorSystemShutdown(), "never")
    world.tell(other, "never")
    assert [type(m) for m in world.heard] == [ActorExitRequest, ActorExitRequest]
    assert world.failures == []


def test_an_actor_that_fails_after_shutting_the_system_down_is_not_restarted(world: World) -> None:
    def last(actor: Listener) -> None:
        actor.actorSystemShutdown()
        fail(actor)

    world.tell(world.create(Restarting), last)
    assert (world.system.alive, len(world.failures)) == (0, 1)


def test_what_this_system_cannot_do_is_said(world: World) -> None:
    actor = world.create(Listener)
    for call in (world.system.ask, world.system.listen):
        with pytest.raises(NotImplementedError):
            call(actor)
    with pytest.raises(NotImplementedError):
        world.system.createActor(Listener, globalName="x")
    with pytest.raises(InvalidActorAddress):
        world.system.tell(ActorAddress("/forged"), 1)
    world.tell(actor, lambda a: a.send(ActorAddress("/forged"), 1))
    assert [type(error) for _, error, _ in world.failures] == [InvalidActorAddress]
    world.tell(world.create(Listener), lambda a: a.createActor(Listener, globalName="x"))
    assert isinstance(world.failures[-1][1], NotImplementedError)


def test_replies_to_the_outside_are_dead_letters(world: World) -> None:
    class Reply(Actor):
        def receiveMessage(self, message: object, sender: ActorAddress) -> None:
            self.send(sender, "hello?")

    world.tell(world.system.createActor(Reply), 1)
    assert world.system.dead_letters == 1


def test_ended_actors_leave_nothing_behind(world: World) -> None:
    parent = world.create(Listener)
    for _ in range(50):
        world.tell(parent, lambda a: a.send(a.createActor(partial(Listener, [])), ActorExitRequest()))
    assert len(parent.cell.children) == 0
    assert world.system.alive == 1


async def test_on_a_real_loop() -> None:
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    class Waiting(Actor):
        def receiveMessage(self, message: object, sender: ActorAddress) -> None:
            if isinstance(message, WakeupMessage):
                done.set_result(message.payload)
            else:
                self.wakeupAfter(timedelta(milliseconds=5), message)

    system = NodeSystem(loop.call_soon, loop.call_later, lambda *failure: done.set_exception(failure[1]))
    system.tell(system.createActor(Waiting), "woken")
    async with asyncio.timeout(5):
        assert await done == "woken"
    system.shutdown()
