"""What a composition does next: pure decisions on its plan, how far it has come, and what its last call returned.

Upstream's rules and texts (openwhisk-controller.md 4.5, 4.6). A sequence hands each component's result to the next one and stops
at a result with `error`; a conductor is asked who comes next until it names nobody.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from messages.action import annotation
from messages.composition import ConductorPlan, SequencePlan, Spent, Tally
from messages.wire import EMPTY_OBJECT, ActivationRecord, Limits, Response

TOO_LONG = "Too many actions in the sequence."
COMPONENT_MISSING = "Sequence component does not exist."
SEQUENCE_FAILED = "Sequence failed."
COMPOSITION_TOO_LONG = "Too many actions in the composition."
COMPOSITION_FAILED = "Activation failure during composition."
NAME_UNREADABLE = "Failed to parse action name from json value {value} during composition."
NOT_RESOLVED = "Failed to resolve action with name '{name}' during composition."
NOT_ENTITLED = "Failed entitlement check for action with name '{name}' during composition."

_object = msgspec.json.Decoder(dict[str, Raw]).decode
_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class Call(Struct, frozen=True):
    """Call `action` (fully qualified, no leading slash) with `content`; `name` and the step give the child its id."""

    name: str
    action: str
    content: Raw


class Next(Struct, frozen=True):
    """Go on with this call; the tally counts it, but for what it spends: that depends on what the action turns out to be."""

    call: Call
    tally: Tally


class End(Struct, frozen=True):
    """The composition is over."""

    response: Response


Decision = Next | End
Composed = SequencePlan | ConductorPlan


def failed(status_code: int, text: str) -> End:
    """An end that the platform makes."""
    return End(Response(status_code, error(text)))


def error(text: str) -> Raw:
    """`{"error": text}`."""
    return Raw(_encode({"error": text}))


def begin(plan: Composed, content: Raw) -> Decision:
    """The first step, with the caller's arguments: an `error` among them stops nothing."""
    tally = Tally(spent=plan.spent)
    return _component(plan, tally, content) if isinstance(plan, SequencePlan) else _conduct(plan, tally, content)


def advance(plan: Composed, tally: Tally, response: Response, namespace: str) -> Decision:
    """The step after a call that ended so. `namespace`: the caller's, in which a conductor's relative names lie."""
    if isinstance(plan, SequencePlan):
        return _after_component(plan, tally, response)
    result = fields(response.result)
    if result is None:
        return failed(3, COMPOSITION_FAILED)
    if not tally.conducting:
        assert isinstance(response.result, Raw)
        return _conduct(plan, tally, response.result)
    return _conducted(plan, tally, response, result, namespace)


def unresolved(plan: Composed, tally: Tally, name: str, *, forbidden: bool) -> Decision:
    """The step when the action `name` can't be had: there is none, or the caller may not call it."""
    if isinstance(plan, SequencePlan):
        return failed(1, COMPONENT_MISSING)
    if tally.conducting:
        return failed(3, COMPOSITION_FAILED)
    text = (NOT_ENTITLED if forbidden else NOT_RESOLVED).format(name=name)
    return _conduct(plan, tally, error(text))


def too_deep(plan: Composed) -> End:
    """The end of a composition that nests others without end: each would start to count anew."""
    return failed(1, TOO_LONG if isinstance(plan, SequencePlan) else COMPOSITION_TOO_LONG)


def refused(plan: Composed) -> End:
    """The end when a call can't be made for good, for instance because its arguments are too large."""
    return failed(3, SEQUENCE_FAILED if isinstance(plan, SequencePlan) else COMPOSITION_FAILED)


def spending(plan: Composed, tally: Tally, form: str) -> Tally:
    """The tally with the call under way counted as what it is: `action`, `sequence` or `conductor`."""
    if tally.conducting or shared(plan, form):
        return tally
    return structs.replace(tally, spent=structs.replace(tally.spent, actions=tally.spent.actions + 1))


def shared(plan: Composed, form: str) -> bool:
    """Whether a component of that form counts what it calls against this composition's limit, as upstream's of the same form."""
    return form == ("sequence" if isinstance(plan, SequencePlan) else "conductor")


def inherited(plan: Composed, tally: Tally, form: str) -> Spent:
    """What a nested composition starts with."""
    return tally.spent if shared(plan, form) else Spent()


def ended(tally: Tally, record: ActivationRecord, spent: Spent | None) -> Tally:
    """The tally with what the child's record tells; `spent` is what a nested composition of the same form came to."""
    duration = record.duration if isinstance(record.duration, int) else 0
    memory = max(tally.memory, _memory(annotation(record.annotations, "limits")))
    return structs.replace(tally, duration=tally.duration + duration, memory=memory, spent=tally.spent if spent is None else spent)


def _memory(limits: object) -> int:
    """MB of a `limits` annotation, which is a struct in a record made here and a dict in one that was read."""
    if isinstance(limits, Limits):
        return limits.memory
    return int(limits.get("memory", 0)) if isinstance(limits, dict) else 0


def fields(value: Raw | UnsetType) -> dict[str, Raw] | None:
    """The fields of a JSON object, None if it is none."""
    if isinstance(value, UnsetType) or bytes(value).lstrip()[:1] != b"{":
        return None
    return _object(value)


# Sequences


def _component(plan: SequencePlan, tally: Tally, payload: Raw) -> Decision:
    if tally.spent.actions >= plan.most:
        return failed(1, TOO_LONG)
    name = plan.components[tally.steps]
    return Next(Call(name, name, payload), structs.replace(tally, steps=tally.steps + 1))


def _after_component(plan: SequencePlan, tally: Tally, response: Response) -> Decision:
    result = fields(response.result)
    if (result is not None and "error" in result) or tally.steps == len(plan.components):
        return End(response)
    payload = EMPTY_OBJECT
    if isinstance(response.result, Raw) and bytes(response.result).lstrip()[:1] in (b"{", b"["):
        payload = response.result
    return _component(plan, tally, payload)


# Conductors


def _conduct(plan: ConductorPlan, tally: Tally, payload: Raw) -> Decision:
    """Call the conductor with the payload, over which its state wins."""
    spent = tally.spent
    if spent.conducted > 2 * plan.most:
        return failed(1, COMPOSITION_TOO_LONG)
    state = fields(tally.state)
    content = Raw(_encode({**(fields(payload) or {}), **state})) if state else payload
    more = Spent(spent.actions, spent.conducted + 1)
    return Next(
        Call(plan.action, plan.action, content),
        structs.replace(tally, steps=tally.steps + 1, spent=more, state=UNSET, conducting=True),
    )


def _conducted(plan: ConductorPlan, tally: Tally, response: Response, result: dict[str, Raw], namespace: str) -> Decision:
    """What the conductor wants next. Scalars are boxed: `params` as `value`, `state` as `state`."""
    params = _boxed(result.get("params"), "value")
    tally = structs.replace(tally, state=_boxed(result.get("state"), "state"), conducting=False)
    if "action" not in result:
        return End(Response(response.status_code, response.result if isinstance(params, UnsetType) else params))
    name = resolved_name(result["action"], namespace)
    if name is None:
        return _conduct(plan, tally, error(NAME_UNREADABLE.format(value=_shown(result["action"]))))
    if tally.spent.actions >= plan.most:
        return _conduct(plan, tally, error(COMPOSITION_TOO_LONG))
    content = EMPTY_OBJECT if isinstance(params, UnsetType) else params
    return Next(Call(name, name, content), structs.replace(tally, steps=tally.steps + 1))


def _boxed(value: Raw | None, key: str) -> Raw | UnsetType:
    if value is None:
        return UNSET
    return value if fields(value) is not None else Raw(_encode({key: value}))


def _shown(value: Raw) -> str:
    return msgspec.json.format(bytes(value), indent=-1).decode("utf-8", "replace")


def resolved_name(value: Raw, namespace: str) -> str | None:
    """`namespace/[package/]name` of what a conductor named; `_` and relative names mean the caller's namespace."""
    try:
        name = _text(value)
    except msgspec.DecodeError:
        return None
    parts = name.removeprefix("/").split("/")
    if not name.startswith("/") and len(parts) < 3:
        parts = [namespace, *parts]
    if not 2 <= len(parts) <= 3 or not all(part.strip() for part in parts):
        return None
    return "/".join([namespace if parts[0] == "_" else parts[0], *parts[1:]])
