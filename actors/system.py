"""A Thespian system on an event loop, in one thread: what actors send is queued and delivered by the loop's callbacks.

Thespian's stock in-process base drains its queue in the caller's stack, delivers what fails three times, never restarts,
scans all wakeups for each message and can't cancel them (platform.md, section 9). This base replaces it under Thespian's own
ActorSystem; Thespian's Actor, addresses and system messages are used as they are. It leans on these private names of
thespian 4.0.1, which the tests pin: `Actor._myRef` and what Actor calls on it, `ActorSystem._systemBase`.

Rules

* A message is delivered once. Messages between two actors keep their order. `tell` and `send` never run an actor at once.
* A turn of the loop delivers at most `per_turn` messages, so that I/O gets its share.
* An actor that raises is reported through `on_failure`, once. Then its class attribute `supervision` decides: `"restart"`
  replaces the instance at the same address and tells it `Restarted`, wakeups of the old one cancelled, children kept;
  `"stop"` (default) ends it, its parent gets ChildActorExited. More than RESTARTS restarts within RESTART_WINDOW seconds are
  reported as RestartLimit, and the actor ends.
* A sender whose class says `poison = True` gets PoisonMessage for what its receiver failed at.
* No clock and no loop is imported: `call_soon` and `call_later` come from outside, so that a simulation drives it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from msgspec import Struct
from thespian.actors import (
    Actor,
    ActorAddress,
    ActorExitRequest,
    ActorSystem,
    ChildActorExited,
    InvalidActorAddress,
    PoisonMessage,
    WakeupMessage,
)

PER_TURN = 64
RESTARTS = 5
RESTART_WINDOW = 10.0

Factory = Callable[[], Any]
"""Makes an actor: its class, or functools.partial of it with the constructor's arguments."""


class Handle(Protocol):
    """What `call_later` returns: a timer that can be cancelled."""

    def cancel(self) -> object:
        """Don't fire. No harm if it has fired."""


CallSoon = Callable[[Callable[[], None]], object]
CallLater = Callable[[float, Callable[[], None]], Handle]
OnFailure = Callable[[str, Exception, object], None]


class RestartLimit(Exception):
    """An actor failed too often to be restarted: it has ended for good. `__cause__` is the last failure."""


class Restarted(Struct, frozen=True):
    """First message to an instance that replaces a failed one: why, at which message, and its living children."""

    cause: Exception
    message: object
    children: tuple[ActorAddress, ...] = ()


class NodeAddress(ActorAddress):  # type: ignore[misc]
    """An address of this system: one object per actor, so it compares by identity and can be a key."""

    cell: _Cell | None = None

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return str(self._aaddr)


class _Cell:
    """One actor's place in the system; it stays when the instance is replaced. Thespian's Actor calls it `_myRef`."""

    __slots__ = ("address", "base", "born", "children", "factory", "instance", "parent", "restarts", "timers")

    def __init__(self, base: _Base, address: NodeAddress, parent: _Cell | None, factory: Factory) -> None:
        self.base = base
        self.address = address
        self.parent = parent
        self.factory = factory
        self.instance: Any = None
        self.children: dict[_Cell, None] = {}
        self.timers: set[Handle] = set()
        self.restarts: set[Handle] = set()
        self.born = 0
        address.cell = self

    @property
    def name(self) -> str:
        """Class and address, for people."""
        made = self.factory
        made = getattr(made, "func", made)
        return f"{getattr(made, '__name__', repr(made))}@{self.address!r}"

    # What Actor's methods call.

    def actor_send(self, target: ActorAddress, message: object) -> None:
        """Actor.send."""
        if type(target) is not NodeAddress:
            raise InvalidActorAddress(target, "not an address of this system")
        self.base.post(target, message, self.address)

    def createActor(self, factory: Factory, *options: object) -> NodeAddress:  # noqa: N802
        """Actor.createActor. Constructors that fail are reported, and the parent gets ChildActorExited."""
        if any(options):
            raise NotImplementedError("requirements, global names and source hashes are for systems of several processes")
        cell = self.base.new_cell(factory, self)
        try:
            self.base.make(cell)
        except Exception as error:  # noqa: BLE001 - supervision: any failure of a constructor is its actor's
            self.base.on_failure(cell.name, error, None)
            self.base.end(cell)
        return cell.address

    def wakeupAfter(self, period: timedelta | float, payload: object = None) -> None:  # noqa: N802
        """Actor.wakeupAfter."""
        seconds = period.total_seconds() if isinstance(period, timedelta) else float(period)

        def fire() -> None:
            self.timers.discard(timer)
            self.base.post(self.address, WakeupMessage(period, payload), self.address)

        timer = self.base.call_later(seconds, fire)
        self.timers.add(timer)

    def actorSystemShutdown(self) -> None:  # noqa: N802
        """Actor.actorSystemShutdown."""
        self.base.shutdown()

    def cancel_timers(self) -> None:
        """No wakeup that was asked for comes any more."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


class _Base:
    """The base under Thespian's ActorSystem: queue, delivery, supervision."""

    def __init__(self, call_soon: CallSoon, call_later: CallLater, on_failure: OnFailure, per_turn: int) -> None:
        self.call_soon = call_soon
        self.call_later = call_later
        self.on_failure = on_failure
        self.per_turn = per_turn
        self.outside = NodeAddress("outside")
        self.queue: deque[tuple[NodeAddress, object, NodeAddress]] = deque()
        self.scheduled = False
        self.primaries: dict[_Cell, None] = {}
        self.created = 0
        self.alive = 0
        self.dead_letters = 0

    # What ActorSystem's methods call.

    def newPrimaryActor(self, factory: Factory, *options: object) -> NodeAddress:  # noqa: N802
        """ActorSystem.createActor. What the constructor raises is the caller's."""
        if any(options):
            raise NotImplementedError("requirements, global names and source hashes are for systems of several processes")
        cell = self.new_cell(factory, None)
        try:
            self.make(cell)
        except BaseException:
            self.primaries.pop(cell)
            raise
        return cell.address

    def tell(self, target: ActorAddress, message: object) -> None:
        """ActorSystem.tell."""
        if type(target) is not NodeAddress:
            raise InvalidActorAddress(target, "not an address of this system")
        self.post(target, message, self.outside)

    def shutdown(self) -> None:
        """ActorSystem.shutdown: every actor gets ActorExitRequest now, parents first; what is queued is dropped."""
        self.dead_letters += len(self.queue)
        self.queue.clear()
        for cell in list(self.primaries):
            self._shut(cell)
        self.queue.clear()

    # The core.

    def new_cell(self, factory: Factory, parent: _Cell | None) -> _Cell:
        """A place without an instance yet."""
        if parent is None:
            text = f"/{self.created}"
            self.created += 1
            siblings = self.primaries
        else:
            text = f"{parent.address!r}/{parent.born}"
            parent.born += 1
            siblings = parent.children
        cell = _Cell(self, NodeAddress(text), parent, factory)
        siblings[cell] = None
        return cell

    def make(self, cell: _Cell) -> None:
        """Put an instance into its place. Raises what the constructor raises."""
        instance = cell.factory()
        if not isinstance(instance, Actor):
            raise TypeError(f"{cell.name} made {type(instance).__name__}, which is no Actor")
        instance._myRef = cell
        if cell.instance is None:
            self.alive += 1
        cell.instance = instance

    def post(self, target: NodeAddress, message: object, sender: NodeAddress) -> None:
        """Queue a message."""
        self.queue.append((target, message, sender))
        if not self.scheduled:
            self.scheduled = True
            self.call_soon(self.turn)

    def turn(self) -> None:
        """Deliver what is queued, at most `per_turn` messages; more wait for the loop's next turn."""
        queue = self.queue
        try:
            for _ in range(min(self.per_turn, len(queue))):
                if not queue:
                    break  # shut down meanwhile
                target, message, sender = queue.popleft()
                cell = target.cell
                if cell is None or cell.instance is None:
                    self.dead_letters += 1
                    continue
                self._deliver(cell, message, sender)
        finally:  # whatever comes through here, for instance a KeyboardInterrupt, must not leave the queue without its turn
            if queue:
                self.call_soon(self.turn)
            else:
                self.scheduled = False

    def end(self, cell: _Cell, recursive: bool = True) -> None:
        """The actor is no more; its children are asked to exit, its parent is told."""
        if cell.instance is not None:
            self.alive -= 1
        cell.instance = None
        cell.cancel_timers()
        for timer in cell.restarts:
            timer.cancel()
        cell.restarts.clear()
        if recursive:
            for child in cell.children:
                self.post(child.address, ActorExitRequest(), cell.address)
        if cell.parent is None:
            self.primaries.pop(cell, None)
        else:
            cell.parent.children.pop(cell, None)
            if cell.parent.instance is not None:
                self.post(cell.parent.address, ChildActorExited(cell.address), self.outside)

    def _deliver(self, cell: _Cell, message: Any, sender: NodeAddress) -> None:
        try:
            cell.instance.receiveMessage(message, sender)
        except Exception as error:  # noqa: BLE001 - the supervisor: any failure is its actor's
            self.on_failure(cell.name, error, message)
            if not isinstance(message, ActorExitRequest):
                self._supervise(cell, error, message, sender)
        if type(message) is ActorExitRequest and cell.instance is not None:
            self.end(cell, message.isRecursive)

    def _supervise(self, cell: _Cell, error: Exception, message: object, sender: NodeAddress) -> None:
        origin = sender.cell
        if origin is not None and origin is not cell and getattr(origin.instance, "poison", False):
            self.post(sender, PoisonMessage(message, repr(error)), self.outside)
        if cell.instance is None:
            return  # it had shut the system down before it failed
        if getattr(cell.instance, "supervision", "stop") != "restart":
            self.end(cell)
        elif len(cell.restarts) >= RESTARTS:
            fatal = RestartLimit(f"{cell.name} failed {RESTARTS + 1} times within {RESTART_WINDOW:g} s: it is stopped")
            fatal.__cause__ = error
            self.end(cell)
            self.on_failure(cell.name, fatal, message)
        else:
            self._restart(cell, error, message)

    def _restart(self, cell: _Cell, error: Exception, message: object) -> None:
        def forget() -> None:
            cell.restarts.discard(timer)

        cell.cancel_timers()
        try:
            self.make(cell)
        except Exception as failed:  # noqa: BLE001 - the supervisor
            self.on_failure(cell.name, failed, message)
            self.end(cell)
            return
        timer = self.call_later(RESTART_WINDOW, forget)
        cell.restarts.add(timer)
        told = Restarted(error, message, tuple(child.address for child in cell.children))
        # Before anything that is queued for the address already.
        self.queue.appendleft((cell.address, told, self.outside))
        if not self.scheduled:
            self.scheduled = True
            self.call_soon(self.turn)

    def _shut(self, cell: _Cell) -> None:
        children = list(cell.children)
        if cell.instance is not None:
            self._deliver(cell, ActorExitRequest(), self.outside)
        for child in children:
            self._shut(child)


class NodeSystem(ActorSystem):  # type: ignore[misc]
    """Thespian's ActorSystem on a loop that is given by its two functions.

    `createActor(factory)` makes a top-level actor (its constructor's errors are raised), `tell(address, message)` queues a
    message, `shutdown()` ends all actors at once. `on_failure(actor, error, message)` must not raise. There is no `ask`
    and no `listen`: they would block the loop.
    """

    def __init__(self, call_soon: CallSoon, call_later: CallLater, on_failure: OnFailure, per_turn: int = PER_TURN) -> None:
        self._base = _Base(call_soon, call_later, on_failure, per_turn)
        super().__init__(systemBase=self._base, transientUnique=True)

    def __repr__(self) -> str:
        return f"<NodeSystem [{self.alive} actors, {len(self._base.queue)} queued, {self.dead_letters} dead letters]>"

    @property
    def alive(self) -> int:
        """How many actors live."""
        return self._base.alive

    @property
    def dead_letters(self) -> int:
        """How many messages found no actor at their address."""
        return self._base.dead_letters

    def tell(self, address: ActorAddress, message: object) -> None:
        """Queue a message from outside. After `shutdown` it is a dead letter."""
        self._base.tell(address, message)

    def ask(self, *_: object) -> None:
        """Not possible on a loop."""
        raise NotImplementedError("ask would block the loop: tell, and let the actor call back")

    listen = ask

    def shutdown(self) -> None:
        """End all actors, parents first; cancels all wakeups."""
        self._base.shutdown()
