"""Work that is made of other activations: sequences, conductors, and triggers that fire their rules.

A composition's `accepted` event carries its plan: what is to be called, as it stood then. Each call is a child with an id of
its own that follows from the composition's, so that a process which takes the work up again gives the same id once more.
"""

from __future__ import annotations

from hashlib import sha256

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from messages.wire import Limits


class Spent(Struct, frozen=True, omit_defaults=True):
    """What counts against the limits: `actions` called, and how often a conductor was. Nested compositions of one form share it."""

    actions: int = 0
    conducted: int = 0


class SequencePlan(Struct, frozen=True, tag="sequence", tag_field="form"):
    """Call the components one after the other, each with what the one before returned.

    `most` actions in all (upstream's sequence length); `limits`: the sequence's own; `depth` of nesting.
    """

    components: list[str]
    most: int
    limits: Limits
    spent: Spent = Spent()
    depth: int = 0


class ConductorPlan(Struct, frozen=True, tag="conductor", tag_field="form"):
    """Call `action` over and over; it says each time whom to call in between: at most `most` times."""

    action: str
    most: int
    limits: Limits
    spent: Spent = Spent()
    depth: int = 0


class Rule(Struct, frozen=True, omit_defaults=True):
    """A rule as it stood when its trigger was fired. Names are fully qualified; `child` is empty for an inactive one."""

    name: str
    action: str
    child: str = ""


class TriggerPlan(Struct, frozen=True, tag="trigger", tag_field="form"):
    """Call the action of each active rule. `payload`: what the caller sent, which is the record's result."""

    rules: list[Rule]
    payload: Raw


Plan = SequencePlan | ConductorPlan | TriggerPlan


class Tally(Struct, frozen=True, omit_defaults=True):
    """How far a composition has come, with the call under way counted: all that going on takes beside that call's outcome.

    `steps` made so far; `spent` against the limits; `duration` (ms) and largest `memory` (MB, 0 if unknown) of the children
    that have ended; a conductor's `state`; whether `conducting`: the call under way is the conductor's own.
    """

    steps: int = 0
    spent: Spent = Spent()
    duration: int = 0
    memory: int = 0
    state: Raw | UnsetType = UNSET
    conducting: bool = False


class Whole(Struct, frozen=True, omit_defaults=True):
    """What the record of a composition has beside that of an action. `logs` are its children's ids, or a trigger's JSON lines."""

    form: str
    logs: list[str]
    duration: int = 0
    spent: Spent = Spent()


encode_plan = msgspec.json.Encoder().encode
decode_plan = msgspec.json.Decoder(Plan).decode


def child_id(parent: str, name: str, counter: int) -> str:
    """The id of a composition's call: `name` of the step or rule, `counter` of the step."""
    return sha256(f"{parent}\0{name}\0{counter}".encode()).hexdigest()[:32]
