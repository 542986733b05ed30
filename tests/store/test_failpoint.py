"""The failpoint setting names one place, and nothing else passes for one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from messages.events import KINDS
from store.failpoint import CONTAINER_STEPS, POSITIONS, STEP_POSITIONS, BadFailpoint, parse_failpoint


@pytest.mark.parametrize("event", KINDS)
@pytest.mark.parametrize("position", POSITIONS)
def test_it_kills_at_the_nth_hit_only(event: str, position: str) -> None:
    """Of that event at that position; others don't count."""
    killed: list[int] = []
    failpoint = parse_failpoint(f"{event}:{position}:3", lambda: killed.append(1))
    for other_event in KINDS:
        for other_position in POSITIONS:
            for _ in range(2):
                failpoint(other_event, other_position)
    assert killed == []
    failpoint(event, position)
    failpoint(event, position)
    assert killed == [1]


@pytest.mark.parametrize("step", CONTAINER_STEPS)
def test_steps_with_containers(step: str) -> None:
    """Before and after each; nothing is written there."""
    for position in STEP_POSITIONS:
        killed: list[int] = []
        parse_failpoint(f"{step}:{position}", lambda killed=killed: killed.append(1))(step, position)
        assert killed == [1]
    with pytest.raises(BadFailpoint, match="no position"):
        parse_failpoint(f"{step}:written")


def test_without_a_number_the_first_hit_counts() -> None:
    """As `:1`."""
    killed: list[int] = []
    parse_failpoint("accepted:before", lambda: killed.append(1))("accepted", "before")
    assert killed == [1]


@pytest.mark.parametrize(
    "text",
    ["", ":", "accepted", "accepted:", "accepted:during", "invented:before", "accepted:before:0", "accepted:before:x",
     "accepted:before:-1", "accepted:before:1:2", "accepted:before:", "accepted:before:²", "Accepted:before"],
)  # fmt: skip
def test_anything_else_is_told(text: str) -> None:
    """With the text and what would be right."""
    with pytest.raises(BadFailpoint, match="want <event>:<before"):
        parse_failpoint(text)


def test_it_ends_the_process_as_kill_9_would() -> None:
    """No handler, no flush, no exit code of one's own."""
    code = "from store.failpoint import parse_failpoint as p; p('claim:after')('claim', 'after'); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20, check=False, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout, done.stderr) == (-9, b"", b"")
