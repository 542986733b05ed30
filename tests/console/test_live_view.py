"""The live console's screen: every state fits, nothing that an action is called steers the terminal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.live_state import View, lost, pressed, said, told
from console.live_view import memory_map, screen, spark, waterfall
from tests.console.test_status import STATUS

LATEST = [
    {
        "id": "a" * 32, "namespace": "guest", "action": "guest/hello", "status_code": 0, "start": "cold", "attempts": 1,
        "end": 1_700_000_000_000, "stages": {"queue": 10.0, "create": 20.0, "init": 30.0, "run": 40.0, "commit": 0.0},
    },
    {
        "id": "b" * 32, "namespace": "guest", "action": "guest/a-very-long-name-of-an-action", "status_code": 2, "start": "",
        "attempts": 0, "end": 1_700_000_000_500, "stages": {"queue": 5.0},
    },
]  # fmt: skip
DOCUMENT = {
    **STATUS, "latest": LATEST, "ended": False, "parts": {"store": None, "disk": "The disk is almost full"},
    "resumed": {"total": 9, "left": 4}, "kafka": {"lag": 7, "unanswered": 0.0}, "taken": ["invoker1"],
    "seconds": [
        {"at": 100, "ended": 8, "failed": 1, "p50": 12, "p99": 99}, {"at": 102, "ended": 4, "failed": 0, "p50": 7, "p99": 8},
    ],
}  # fmt: skip
SHOWN = told(View(), DOCUMENT)


def text(view: View, width: int = 80, height: int = 24, *, unicode: bool = True) -> list[str]:
    return [line.plain for line in screen(view, width, height, unicode=unicode)]


def test_what_the_overview_tells() -> None:
    """State, work, what is resumed, rate, latency, journal, health, memory, queues, the latest activations."""
    shown = "\n".join(text(SHOWN, 100))
    for part in (
        "invoker0  epoch 3  up 1 h 2 min  ready", "running 8  queued 2  unfinished 10", "resumed after the restart: 5 of 9 done",
        "1.2/s, 0.1/s failed", "p50 7 ms  p99 8 ms", "35 documents, 4 events waiting", "store ok  disk: The disk is almost full",
        "768 of 1024 MB in 2 containers", "7 messages to read, goes on with invoker1",
        "# busy 1  - prewarm 1", "guest/slow: 1 in flight, 2 queued  no 256 MB free",
        "aaaaaaaaa  guest/hello", "dev error", "100 ms",
    ):  # fmt: skip
        assert part in shown, shown


def test_an_opened_activation_shows_each_stage() -> None:
    """And why it was cold."""
    shown = "\n".join(text(pressed(SHOWN, "enter")))
    for part in ("a" * 32, "a container was made for it", "create         20 ms", "run            40 ms", "./run.py trace"):
        assert part in shown, shown


@pytest.mark.parametrize(
    ("view", "wanted"),
    [
        (View(), "connecting"),
        (lost(SHOWN, "nobody listens there"), "no answer: nobody listens there"),
        (told(View(), {"node": "invoker0", "ready": False, "reason": "The node is starting"}), "not ready: The node is starting"),
        (told(View(), {"draining": True}), "draining"),
        (told(View(), {"ended": True}), "ended"),
        (pressed(SHOWN, "p"), "PAUSED"),
        (pressed(pressed(SHOWN, "/"), "x"), "filter: x_"),
        (pressed(pressed(pressed(SHOWN, "/"), "x"), "enter"), "nothing matches the filter"),
        (told(View(), {}), "nothing yet"),
        (said(SHOWN, "\x1b[31merror\x1b[0m of a node\n"), "error of a node"),
    ],
)
def test_states(view: View, wanted: str) -> None:
    """Each is told."""
    assert wanted in "\n".join(text(view))


FIELDS = [*DOCUMENT, *LATEST[0], *STATUS["containers"][0], *STATUS["queued"][0], "total", "left", "x"]
HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner),
    max_leaves=8,
)

ITEMS = st.lists(st.dictionaries(st.sampled_from(FIELDS), HOSTILE), max_size=4)


@given(
    st.dictionaries(st.sampled_from(list(DOCUMENT)), HOSTILE | ITEMS),
    st.integers(80, 200), st.integers(24, 60), st.booleans(), st.booleans(),
)  # fmt: skip
def test_any_document_fits_on_any_screen(document: dict[str, Any], width: int, height: int, opened: bool, unicode: bool) -> None:
    """Nothing raises, no line is too long, no control character gets through."""
    view = told(View(), {**DOCUMENT, **document})
    lines = screen(pressed(view, "enter") if opened else view, width, height, unicode=unicode)
    assert len(lines) == height
    assert all(line.cell_len <= width for line in lines)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for line in lines for char in line.plain)


def test_a_container_larger_than_the_node_is_cut_at_the_screen() -> None:
    """A wrong number must not cost the memory of the machine."""
    assert len(memory_map([{"cid": 1, "state": "idle", "memory": 2**40}], 1, 40).plain) <= 41
    opened = told(View(), {"latest": [{"id": "x", "stages": {"queue": 2.0**40, "run": -(2.0**40)}}]})
    assert max(map(len, text(pressed(opened, "enter")))) <= 80


def test_a_screen_without_unicode_has_ascii_lines() -> None:
    """Curves are drawn with signs that every terminal has."""
    assert spark([0, 1, 2, 8], unicode=False).isascii()
    assert spark([0, 1, 2, 8]) == " \u2581\u2582\u2588"
    assert spark([0, 0]) == "  "


def test_the_map_is_as_wide_as_the_memory() -> None:
    """Containers by state, each as wide as its share; free memory is dots."""
    found = memory_map([{"cid": 1, "state": "idle", "memory": 256}, {"cid": 12, "state": "busy", "memory": 512}], 1024, 40)
    assert found.plain == "12################# 1======== .........."


def test_a_waterfall_ends_where_the_sum_does() -> None:
    """Stages too short to be seen don't push the others."""
    assert waterfall({"queue": 10, "run": 30}, 20, 80).plain == "qqrrrrrrrr"
    assert len(waterfall({"queue": 0.1, "init": 0.1, "run": 39.8}, 20, 80).plain) == 10
