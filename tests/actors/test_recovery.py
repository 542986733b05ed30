"""What a new process makes of the work it finds: every combination of how far it had come and what is known of its runs."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import pytest
from msgspec import Raw

from actors import endings, recovery
from messages.commands import Ended, Idle, Redo, Resume, Start
from messages.events import Finished
from messages.lifecycle import Stage
from messages.wire import encode
from tests.support.actor_bench import ID, message

FINISHED = Finished(ID, 5000, 0, 4000, 4500)


def live(stage: Stage = Stage.ACCEPTED, **facts: object) -> SimpleNamespace:
    known = {"starts": 0, "counted": 0, "died_alone": False, "alone": False, "replay": "rerun", "finished": None}
    known |= {"topic": None, "accepted_at": 0, "refusal": None} | facts
    return SimpleNamespace(message=Raw(encode(message())), stage=stage, **known)


def decide(each: SimpleNamespace, noted: bool = False) -> Redo | Resume | Ended:
    (command,) = recovery.resume([each], {ID} if noted else set(), alone_from=3, now_ms=9000)
    return command


@pytest.mark.parametrize("stage", [Stage.FINISHED, Stage.RECORDED, Stage.ACKED])
def test_what_had_finished_is_not_run_again(stage: Stage) -> None:
    """Whatever else is known of it."""
    for replay, died, noted in product(("rerun", "never"), (False, True), (False, True)):
        each = live(stage, finished=FINISHED, starts=1, counted=2, replay=replay, died_alone=died)
        command = decide(each, noted)
        assert isinstance(command, Redo)
        assert (command.recorded, command.acked) == (stage is Stage.RECORDED, stage is Stage.ACKED)


def test_what_had_not_started_is_as_new() -> None:
    """No attempt, no start, not alone; `replay` has no say."""
    for replay in ("rerun", "never"):
        command = decide(live(replay=replay))
        assert command == Resume(message().__class__(**as_kept()), 0, 0, False)


def as_kept() -> dict[str, object]:
    kept = message()
    return {name: getattr(kept, name) for name in kept.__struct_fields__}


def test_never_means_never_once_it_had_started() -> None:
    """It ends with a record that says it was interrupted."""
    command = decide(live(Stage.STARTED, starts=1, counted=1, replay="never"))
    assert isinstance(command, Ended)
    assert endings.INTERRUPTED.encode() in bytes(command.finished.result)


@pytest.mark.parametrize(("counted", "alone"), [(0, False), (1, False), (2, True), (3, True), (7, True)])
def test_from_the_third_attempt_on_it_runs_alone(counted: int, alone: bool) -> None:
    """Attempts that count are those whose process died."""
    command = decide(live(Stage.STARTED, starts=counted + 1, counted=counted))
    assert isinstance(command, Resume)
    assert (command.attempts, command.starts, command.alone) == (counted, counted + 1, alone)


def test_only_what_died_alone_is_given_up() -> None:
    """However often it had died beside others."""
    assert isinstance(decide(live(Stage.STARTED, starts=9, counted=9)), Resume)
    command = decide(live(Stage.STARTED, starts=3, counted=3, died_alone=True))
    assert isinstance(command, Ended)
    assert b"given up" in bytes(command.finished.result)
    assert command.finished.attempts == 3


@pytest.mark.parametrize("stage", [Stage.ACCEPTED, Stage.STARTED])
def test_the_note_counts_only_for_what_the_journal_does_not_know(stage: Stage) -> None:
    """A run-ahead whose `started` was lost is an attempt; one that is journaled is not counted twice."""
    starts = int(stage is Stage.STARTED)
    command = decide(live(stage, starts=starts, counted=starts), noted=True)
    assert isinstance(command, Resume)
    assert (command.attempts, command.starts) == (1, 1)


def test_order_is_kept() -> None:
    """As they were accepted."""
    found = recovery.resume([live(), live(Stage.STARTED, starts=1)], (), alone_from=3, now_ms=1)
    assert [command.starts for command in found if isinstance(command, Resume)] == [0, 1]


START = Start("python:3", "", 256, 1, False)
BOXES = [Idle("a", START), Idle("b", START), Idle("c", START)]


@pytest.mark.parametrize(
    ("noted", "each", "memory", "kept"),
    [
        ({}, live(), 1024, "abc"),
        ({ID: "b"}, live(), 1024, "ac"),
        ({ID: "b"}, live(Stage.FINISHED, finished=FINISHED), 1024, "abc"),
        ({"2" * 32: "b"}, live(), 1024, "abc"),
        ({}, live(), 600, "ab"),
        ({}, live(), 0, ""),
    ],
)
def test_which_containers_are_taken_over(noted: dict[str, str], each: SimpleNamespace, memory: int, kept: str) -> None:
    """Those in which nothing is to be run again elsewhere, as many as there is memory for."""
    assert "".join(recovery.keepable(BOXES, noted, {ID: each}, memory)) == kept
