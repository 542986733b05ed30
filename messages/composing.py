"""What a composer is told and asks for: new compositions, the actions behind their calls, and how the calls end."""

from __future__ import annotations

from msgspec import Raw, Struct

from messages.action import Executable
from messages.commands import Command
from messages.composition import Plan
from messages.wire import ActionName, ActivationMessage, ActivationRecord, Identity, Limits


class Compose(Command, frozen=True):
    """New work that is made of other activations. `owed`: part of a composition that was accepted."""

    message: ActivationMessage
    plan: Plan
    owed: bool = False

    @property
    def activation_id(self) -> str:
        """For the failure log."""
        return self.message.activation_id


class TakeUp(Command, frozen=True):
    """Go on with a composition that an earlier process, or an earlier instance of the actor, left in the journal."""

    activation_id: str


class Component(Struct, frozen=True):
    """The action behind a call. `content`: the merged arguments; `user`: the caller with the key.

    `form` is `action` (then there is an `executable`), `sequence` (then there are `components`) or `conductor`.
    """

    form: str
    action: ActionName
    user: Identity
    content: Raw
    limits: Limits
    executable: Executable | None = None
    components: tuple[str, ...] = ()
    init_args: tuple[str, ...] = ()
    locked_args: dict[str, str] = {}


class NoComponent(Struct, frozen=True):
    """There is no action behind a call, or none for this caller: HTTP status and text as the API would answer."""

    status: int
    error: str


class Resolved(Command, frozen=True):
    """What became of looking up the action behind the call `child`."""

    activation_id: str
    child: str
    found: Component | NoComponent


class NodeChosen(Command, frozen=True):
    """Where a child shall run; empty: nowhere now."""

    activation_id: str
    child: str
    node: str


class ChildAssignedDurable(Command, frozen=True):
    """The `child_assigned` event is in the journal: the child may be sent."""

    activation_id: str
    child: str


class ChildAccepted(Command, frozen=True):
    """The child's `accepted` is durable where it was sent."""

    activation_id: str
    child: str


class ChildEnded(Command, frozen=True):
    """The child's record."""

    activation_id: str
    child: str
    record: ActivationRecord


class ChildRefused(Command, frozen=True):
    """The child was not accepted where it was sent, certainly."""

    activation_id: str
    child: str
    status: int
    reason: str
