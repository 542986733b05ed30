"""A composition's way through the composer: the tables, and what the composer knows of each one and of its calls."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from actors.base import step
from actors.ports import Live
from messages.action import Executable
from messages.composing import Component
from messages.composition import ConductorPlan, Plan, Rule, SequencePlan, Spent, Tally, TriggerPlan, Whole, decode_plan
from messages.events import ChildAssigned, Finished
from messages.states import State
from messages.wire import ActivationMessage, Identity, Limits, Response, decode_message

SERVER_ERROR = "There was an internal server error."
INACTIVE = "Rule '{rule}' is inactive, action '{action}' was not activated."

_encode = msgspec.json.Encoder().encode


class Progress(State):
    """Where a composition is."""

    ARRIVED = "arrived"
    ACCEPTING = "accepting"
    WORKING = "working"
    ENDING = "ending"
    OVER = "over"


COMPOSITION: dict[Progress, dict[str, Progress]] = {
    Progress.ARRIVED: {"journal": Progress.ACCEPTING, "take up": Progress.WORKING},
    Progress.ACCEPTING: {"durable": Progress.WORKING},
    Progress.WORKING: {"end": Progress.ENDING, "completed": Progress.OVER},
    Progress.ENDING: {"completed": Progress.OVER},
    Progress.OVER: {},
}


class Calling(State):
    """Where a call of a composition is."""

    RESOLVING = "resolving"
    CHOOSING = "choosing"
    ASSIGNING = "assigning"
    SENT = "sent"
    WAITING = "waiting"
    OVER = "over"


CALL: dict[Calling, dict[str, Calling]] = {
    Calling.RESOLVING: {"choose": Calling.CHOOSING, "assign": Calling.ASSIGNING, "fail": Calling.OVER},
    Calling.CHOOSING: {"assign": Calling.ASSIGNING, "send": Calling.SENT, "wait": Calling.WAITING},
    Calling.ASSIGNING: {"durable": Calling.SENT},
    Calling.SENT: {"refused": Calling.WAITING, "over": Calling.OVER},
    Calling.WAITING: {"choose": Calling.CHOOSING, "send": Calling.SENT},
    Calling.OVER: {},
}


class Call:
    """One call. `message` and what follows are known once its action is; `outcome` is a trigger's line for its rule."""

    __slots__ = (
        "action", "assigned", "child", "executable", "look", "message", "node", "outcome", "plan", "rule", "state", "tries",
    )  # fmt: skip

    def __init__(self, child: str, action: str, rule: str = "") -> None:
        self.child = child
        self.action = action
        self.rule = rule
        self.state = Calling.RESOLVING
        self.message: ActivationMessage | None = None
        self.executable: Executable | None = None
        self.plan: Plan | None = None
        self.node = ""
        self.assigned = False
        self.look = False
        self.tries = 0
        self.outcome: dict[str, object] | None = None

    @classmethod
    def again(cls, event: ChildAssigned) -> Call:
        """The call that was assigned so, perhaps by an earlier process."""
        message = decode_message(event.message)
        call = cls(event.child, message.action.fqn)
        call.message, call.node, call.assigned, call.look = message, event.node, True, True
        call.plan = None if isinstance(event.plan, UnsetType) else decode_plan(event.plan)
        return call

    def step(self, event: str) -> None:
        """Go on by the table. Raises IllegalTransition."""
        self.state = step(CALL, "call", self.child, self.state, event)


class Composition:
    """One composition here. `start`: when it was accepted, epoch ms; `children` in order; `calls` of the step under way.

    `answered`: nested compositions whose outcome is known here and not yet journaled by what follows from it.
    """

    __slots__ = ("answered", "calls", "children", "message", "plan", "start", "state", "tally", "user")

    def __init__(self, message: ActivationMessage, plan: Plan, start: int) -> None:
        self.message = message
        self.plan = plan
        self.start = start
        self.user: Identity = message.user
        self.tally = Tally()
        self.children: list[str] = []
        self.calls: dict[str, Call] = {}
        self.answered: list[str] = []
        self.state = Progress.ARRIVED

    @property
    def id(self) -> str:
        """The activation id."""
        return self.message.activation_id

    def step(self, event: str) -> None:
        """Go on by the table. Raises IllegalTransition."""
        self.state = step(COMPOSITION, "composition", self.id, self.state, event)

    def recall(self, assigned: dict[str, ChildAssigned], children: list[str]) -> None:
        """What the journal has of its calls: those of the newest step may not have been sent."""
        self.children = list(children)
        for event in assigned.values():
            self.tally = event.tally


def nested_message(parent: ActivationMessage, child: str, now: int, *, fired: bool) -> ActivationMessage:
    """What a call's message has of its parent's. One that a rule fired has no cause, as upstream."""
    trace = [parent.transid[0], now] if fired else [child, now, parent.transid]
    return ActivationMessage(
        transid=trace,
        action=parent.action,
        revision=None,
        user=parent.user,
        activation_id=child,
        root_controller_index=parent.root_controller_index,
        blocking=not fired,
        cause=UNSET if fired else parent.activation_id,
    )


def finished(work: Composition, response: Response, now: int) -> Finished:
    """How a sequence's or a conductor's activation ended (4.5: duration is the sum, memory the largest)."""
    plan, tally = work.plan, work.tally
    assert not isinstance(plan, TriggerPlan)
    form = "sequence" if not hasattr(plan, "action") else "conductor"
    limits = Limits(plan.limits.timeout, tally.memory, plan.limits.logs) if tally.memory else UNSET
    return Finished(
        id=work.id,
        at=now,
        status_code=response.status_code,
        start=work.start,
        end=max(now, work.start),
        result=response.result,
        size=response.size,
        version=work.message.action.version or UNSET,
        kind="sequence",
        limits=limits,
        wait_time=max(0, work.start - work.message.start),
        whole=Whole(form, list(work.children), tally.duration, tally.spent),
    )


def fired(work: Composition, plan: TriggerPlan, now: int) -> Finished:
    """How a trigger's activation ended: a line for each rule."""
    lines = [_encode(_outcome(rule, work.calls)).decode() for rule in plan.rules]
    return Finished(
        id=work.id,
        at=now,
        status_code=0,
        start=work.start,
        end=max(now, work.start),
        result=plan.payload,
        version=work.message.action.version or UNSET,
        kind="trigger",
        whole=Whole("trigger", lines),
    )


def _outcome(rule: Rule, calls: dict[str, Call]) -> dict[str, object]:
    call = calls.get(rule.child)
    if call is None:
        text = INACTIVE.format(rule=rule.name, action=rule.action)
        said: dict[str, object] = {"statusCode": 1, "success": False, "error": text}
    else:
        said = call.outcome or {}
    return {**said, "rule": rule.name, "action": rule.action}


def not_called(status: int, text: str) -> dict[str, object]:
    """A trigger's line for a rule whose action could not be called: 3 if it is the platform's fault."""
    return {"statusCode": 3 if status >= 500 else 1, "success": False, "error": text or SERVER_ERROR}


def called(child: str) -> dict[str, object]:
    """A trigger's line for a rule whose action was accepted."""
    return {"statusCode": 0, "success": True, "activationId": child}


def newest(live: Live, under_way: Iterable[ChildAssigned]) -> list[ChildAssigned]:
    """The calls of a composition's newest step, those that are appended and not durable yet among them."""
    events = {event.child: event for event in under_way if event.id == live.id} | live.assigned
    step = max((event.tally.steps for event in events.values()), default=0)
    return [event for event in events.values() if event.tally.steps == step]


def without_key(message: ActivationMessage) -> ActivationMessage:
    """As it may be journaled."""
    return replace(message, user=replace(message.user, authkey={}))


def nested_plan(form: str, found: Component, most: int, spent: Spent, depth: int) -> Plan | None:
    """The plan of a child that is a composition itself, None for an action."""
    if form == "sequence":
        return SequencePlan(list(found.components), most, found.limits, spent, depth)
    if form == "conductor":
        return ConductorPlan(found.action.called, most, found.limits, spent, depth)
    return None
