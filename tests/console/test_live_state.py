"""The live console's state: documents, losses and keys."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from console.live_keys import NAMES, split
from console.live_state import KEYS, LINES, View, lost, pressed, said, told

ROWS = [
    {"id": "a1", "action": "guest/one", "status_code": 0},
    {"id": "b2", "action": "guest/two", "status_code": 1},
    {"id": "c3", "action": "guest/one", "status_code": 0},
]
SHOWN = told(View(), {"latest": ROWS})


def keys(view: View, *pressed_keys: str) -> View:
    for key in pressed_keys:
        view = pressed(view, key)
    return view


def test_a_filter_is_typed_kept_and_dropped() -> None:
    """While it is typed, keys are letters of it."""
    typed = keys(SHOWN, "/", "q", "\x7f", "t", "w")
    assert (typed.over, typed.wanted, [row["id"] for row in typed.rows()]) == (False, "tw", ["b2"])
    assert keys(typed, "enter", "escape").rows() == ROWS
    assert keys(typed, "escape").wanted == ""
    assert keys(SHOWN, "/", "c", "3", "enter").rows() == [ROWS[2]]


def test_failures_alone() -> None:
    """And back."""
    assert keys(SHOWN, "f").rows() == [ROWS[1]]
    assert keys(SHOWN, "f", "f").rows() == ROWS


def test_choosing_stays_on_its_activation_when_new_ones_come() -> None:
    """And ends at both ends of the list."""
    view = keys(SHOWN, "down", "down")
    assert view.chosen == "b2"
    view = told(view, {"latest": [{"id": "d4"}, *ROWS]})
    assert view.chosen == "b2"
    assert keys(view, "down", "down", "down").chosen == "c3"
    assert keys(view, "up", "up", "up", "up").chosen == "d4"


def test_opening_without_a_choice_opens_the_newest() -> None:
    """Escape goes back to the list, and once more drops the choice."""
    opened = keys(SHOWN, "enter")
    assert (opened.opened, opened.chosen) == (True, "a1")
    assert keys(opened, "escape").chosen == "a1"
    assert keys(opened, "escape", "escape").chosen == ""
    assert not keys(View(), "enter").opened


def test_a_paused_screen_stays_as_it_is_until_the_node_ends() -> None:
    """What comes meanwhile is not shown; going on shows the next document."""
    paused = keys(SHOWN, "p")
    assert told(paused, {"latest": []}).document is SHOWN.document
    assert told(keys(paused, "p"), {"latest": []}).rows() == []
    assert told(paused, {"ended": True}).document == {"ended": True}


def test_a_lost_node_is_told_and_found_again() -> None:
    """The last document stays on the screen meanwhile."""
    gone = lost(SHOWN, "refused")
    assert (gone.connected, gone.problem, gone.rows()) == (False, "refused", ROWS)
    back = told(gone, {})
    assert (back.connected, back.problem) == (True, "")


def test_the_newest_lines_of_the_node_are_kept() -> None:
    """No more than the screen has room for."""
    view = View()
    for n in range(LINES + 3):
        view = said(view, f"line {n}\n")
    assert view.lines == tuple(f"line {n}" for n in range(3, LINES + 3))


@given(st.lists(st.sampled_from([*KEYS, *NAMES.values(), "x", "\x7f"]), max_size=30))
def test_no_sequence_of_keys_breaks_the_state(pressed_keys: list[str]) -> None:
    """What is opened is chosen, and what is chosen was on the list."""
    view = keys(SHOWN, *pressed_keys)
    assert view.chosen in ("", "a1", "b2", "c3")
    assert not view.opened or view.chosen


def test_keys_read_at_once_are_told_apart() -> None:
    """An arrow is one key; a sequence that means nothing here is none."""
    assert split("a\x1b[A\x1bOB\r\x1b[Zq") == ["a", "up", "down", "enter", "q"]
    assert split("\x1b") == ["escape"]
