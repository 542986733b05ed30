"""What a composition does next, case by case; texts and rules are upstream's (openwhisk-controller.md 4.5, 4.6)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from actors import steps
from actors.steps import End, Next
from messages.composition import ConductorPlan, SequencePlan, Spent, Tally, child_id
from messages.wire import ActivationRecord, KeyValue, Limits, Response

LIMITS = Limits()


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def seen(value: Raw | Any) -> Any:
    return json.loads(bytes(value))


def sequence(*components: str, most: int = 50, actions: int = 0) -> SequencePlan:
    return SequencePlan([f"guest/{name}" for name in components], most, LIMITS, Spent(actions))


CONDUCTOR = ConductorPlan("guest/c", 2, LIMITS)
CONDUCTING = Tally(steps=1, spent=Spent(0, 1), conducting=True)


def after(plan: SequencePlan | ConductorPlan, tally: Tally, result: Any, code: int = 0, size: int | None = None) -> steps.Decision:
    return steps.advance(plan, tally, Response(code, raw(result), UNSET if size is None else size), "guest")


def asked(decision: steps.Decision) -> tuple[str, Any]:
    """Whom it calls, and with what."""
    assert isinstance(decision, Next), decision
    return decision.call.action, seen(decision.call.content)


def over(decision: steps.Decision) -> tuple[int, Any]:
    assert isinstance(decision, End), decision
    return decision.response.status_code, seen(decision.response.result)


def test_an_error_among_the_callers_arguments_stops_no_sequence() -> None:
    assert asked(steps.begin(sequence("a", "b"), raw({"error": "given"}))) == ("guest/a", {"error": "given"})


@pytest.mark.parametrize(
    ("result", "passed_on"),
    [({"n": 1}, {"n": 1}), ([1, 2], [1, 2]), ("text", {}), (5, {}), (None, {}), ({"a": {"error": 1}}, {"a": {"error": 1}})],
)
def test_a_component_gets_what_the_one_before_returned(result: Any, passed_on: Any) -> None:
    assert asked(after(sequence("a", "b"), Tally(steps=1), result)) == ("guest/b", passed_on)


@pytest.mark.parametrize("code", [0, 1, 2, 3])
@pytest.mark.parametrize("error", ["text", None, {"deep": 1}])
def test_a_sequence_stops_at_an_error_with_that_very_response(code: int, error: Any) -> None:
    decision = after(sequence("a", "b", "c"), Tally(steps=1), {"error": error}, code, 17)
    assert over(decision) == (code, {"error": error})
    assert isinstance(decision, End)
    assert decision.response.size == 17


def test_the_last_components_response_is_the_sequences() -> None:
    assert over(after(sequence("a", "b"), Tally(steps=2), [1])) == (0, [1])


def test_a_missing_component_is_an_application_error_when_its_turn_comes() -> None:
    decision = steps.unresolved(sequence("a"), Tally(steps=1), "guest/a", forbidden=False)
    assert over(decision) == (1, {"error": "Sequence component does not exist."})


def test_the_limit_counts_what_nested_sequences_called() -> None:
    plan = sequence("a", "b", most=3, actions=2)
    first = steps.begin(plan, raw({}))
    assert isinstance(first, Next)
    tally = steps.spending(plan, first.tally, "action")
    assert tally.spent == Spent(3)
    assert over(after(plan, tally, {})) == (1, {"error": "Too many actions in the sequence."})


def test_who_shares_a_count() -> None:
    """A nested composition of the same form goes on with the count, one of the other form starts anew and counts as one."""
    plan, tally = sequence("a"), Tally(spent=Spent(5, 0))
    assert (steps.inherited(plan, tally, "sequence"), steps.spending(plan, tally, "sequence").spent) == (Spent(5), Spent(5))
    assert (steps.inherited(plan, tally, "conductor"), steps.spending(plan, tally, "conductor").spent) == (Spent(), Spent(6))
    tally = Tally(spent=Spent(1, 3))
    assert (steps.inherited(CONDUCTOR, tally, "conductor"), steps.spending(CONDUCTOR, tally, "conductor").spent) == (
        Spent(1, 3), Spent(1, 3),
    )  # fmt: skip
    assert (steps.inherited(CONDUCTOR, tally, "sequence"), steps.spending(CONDUCTOR, tally, "sequence").spent) == (
        Spent(), Spent(2, 3),
    )  # fmt: skip


def test_the_record_of_a_child_adds_to_the_tally() -> None:
    """Duration is the sum, memory the largest, whether the record was made here or read from the store."""
    tally = Tally(duration=10, memory=128)
    for limits in ({"memory": 256, "timeout": 1}, Limits(memory=256)):
        tally = steps.ended(tally, record(5, [KeyValue("limits", limits)]), None)
    tally = steps.ended(tally, record(UNSET, []), Spent(7, 8))
    assert (tally.duration, tally.memory, tally.spent) == (20, 256, Spent(7, 8))


def record(duration: Any, annotations: list[KeyValue]) -> ActivationRecord:
    return ActivationRecord("guest", "a", "guest", "0" * 32, 1, 2, Response(0), "0.0.1", annotations, duration=duration)


@pytest.mark.parametrize(
    ("result", "end"),
    [
        ({"params": {"done": 1}, "other": 2}, {"done": 1}),
        ({"done": 1, "state": {"s": 1}}, {"done": 1, "state": {"s": 1}}),
        ({"params": 5}, {"value": 5}),
        ({"error": "mine"}, {"error": "mine"}),
        ({}, {}),
    ],
)
def test_a_conductor_that_names_nobody_ends_the_composition(result: Any, end: Any) -> None:
    decision = after(CONDUCTOR, CONDUCTING, result, 1, 99)
    assert over(decision) == (1, end)
    assert isinstance(decision, End)
    assert decision.response.size is UNSET


@pytest.mark.parametrize(
    ("result", "called", "content", "state"),
    [
        ({"action": "inc", "params": {"n": 1}, "state": {"s": 1}}, "guest/inc", {"n": 1}, {"s": 1}),
        ({"action": "inc", "params": 5, "state": 7}, "guest/inc", {"value": 5}, {"state": 7}),
        ({"action": "p/inc"}, "guest/p/inc", {}, None),
        ({"action": "/_/inc"}, "guest/inc", {}, None),
        ({"action": "/other/p/a"}, "other/p/a", {}, None),
        ({"action": "other/p/a", "params": [1]}, "other/p/a", {"value": [1]}, None),
    ],
)
def test_a_conductor_names_who_comes_next(result: Any, called: str, content: Any, state: Any) -> None:
    decision = after(CONDUCTOR, CONDUCTING, result)
    assert asked(decision) == (called, content)
    assert isinstance(decision, Next)
    assert (None if decision.tally.state is UNSET else seen(decision.tally.state)) == state
    assert not decision.tally.conducting


def test_the_conductor_gets_the_result_with_its_state_over_it() -> None:
    tally = Tally(steps=2, spent=Spent(1, 1), state=raw({"s": 1, "n": "state wins"}))
    decision = after(CONDUCTOR, tally, {"n": 2, "m": 3})
    assert asked(decision) == ("guest/c", {"s": 1, "n": "state wins", "m": 3})
    assert isinstance(decision, Next)
    assert decision.tally == Tally(steps=3, spent=Spent(1, 2), conducting=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (5, "Failed to parse action name from json value 5 during composition."),
        ({"a": 1}, 'Failed to parse action name from json value {"a":1} during composition.'),
        ("a/b/c/d", 'Failed to parse action name from json value "a/b/c/d" during composition.'),
        ("", 'Failed to parse action name from json value "" during composition.'),
    ],
)
def test_names_that_are_none_go_to_the_conductor_as_an_error(name: Any, text: str) -> None:
    assert asked(after(CONDUCTOR, CONDUCTING, {"action": name, "state": {"s": 1}})) == ("guest/c", {"error": text, "s": 1})


def test_actions_that_cannot_be_called_go_to_the_conductor_as_an_error() -> None:
    tally = Tally(steps=2, spent=Spent(0, 1))
    missing = steps.unresolved(CONDUCTOR, tally, "guest/nosuch", forbidden=False)
    assert asked(missing)[1] == {"error": "Failed to resolve action with name 'guest/nosuch' during composition."}
    foreign = steps.unresolved(CONDUCTOR, tally, "other/a", forbidden=True)
    assert asked(foreign)[1] == {"error": "Failed entitlement check for action with name 'other/a' during composition."}


def test_a_conductor_is_told_once_that_there_are_too_many_components_and_then_stopped() -> None:
    """n components, 2n + 1 calls of the conductor."""
    tally = Tally(steps=9, spent=Spent(2, 3), conducting=True)
    told = after(CONDUCTOR, tally, {"action": "inc"})
    assert asked(told) == ("guest/c", {"error": "Too many actions in the composition."})
    tally = Tally(steps=12, spent=Spent(2, 5), conducting=True)
    assert over(after(CONDUCTOR, tally, {"action": "inc"})) == (1, {"error": "Too many actions in the composition."})


@pytest.mark.parametrize("tally", [CONDUCTING, Tally(steps=2, spent=Spent(1, 1))])
def test_what_is_no_object_cannot_be_composed(tally: Tally) -> None:
    assert over(after(CONDUCTOR, tally, [1])) == (3, {"error": "Activation failure during composition."})


@given(st.lists(st.sampled_from(["next", "bad", "missing", "done"]), max_size=30), st.integers(1, 4))
def test_every_conductor_comes_to_an_end_within_the_limits(moves: list[str], most: int) -> None:
    """Whatever it says, it is called at most 2n + 1 times, components at most n times."""
    plan = ConductorPlan("guest/c", most, LIMITS)
    conducted = called = 0
    decision = steps.begin(plan, raw({}))
    for move in [*moves, *["next"] * 200]:
        if isinstance(decision, End):
            break
        tally = decision.tally
        if tally.conducting:
            conducted += 1
            result = {"next": {"action": "a"}, "bad": {"action": 1}, "missing": {"action": "b"}, "done": {}}[move]
            decision = after(plan, tally, result)
        elif move == "missing":
            decision = steps.unresolved(plan, tally, decision.call.action, forbidden=False)
        else:
            called += 1
            decision = after(plan, steps.spending(plan, tally, "action"), {"n": 1})
    assert isinstance(decision, End)
    assert conducted <= 2 * most + 1
    assert called <= most


def test_ids_of_children_follow_from_parent_name_and_step() -> None:
    """Always the same, 32 hex digits, and none like another's."""
    made = {child_id(parent, name, step) for parent in ("p", "q") for name in ("a", "b") for step in range(5)}
    assert len(made) == 20
    assert all(len(each) == 32 and set(each) <= set("0123456789abcdef") for each in made)
    assert child_id("p", "a", 1) == "ce1a5a54294bd8aba430344e1050e685"  # what is journaled must be found by later releases
