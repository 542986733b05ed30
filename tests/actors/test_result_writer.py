"""ResultWriter: the order of journal, answer and record; redoing; what follows a bug in it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from msgspec import Raw

import actors.result_writer as module
from actors.endings import NOT_RUN, failed
from actors.result_writer import ENDING, End, ResultWriter
from actors.system import Restarted
from messages.commands import Completed, Ended, FinishedDurable, Logs, LookedUp, RecordWritten, Redo, Repeated
from messages.errors import IllegalTransition
from messages.events import Acked, Finished, Recorded
from messages.lifecycle import Stage
from messages.record import record_of
from messages.wire import Limits, encode
from tests.support.actor_bench import ID, ROUTER, Bench, message
from tests.support.supervision import sweep

FINISHED = Finished(ID, 5000, 0, 4000, 4500, result=Raw(b'{"a":1}'), limits=Limits())


def bench() -> Bench:
    made = Bench(ResultWriter)
    made.journal.stages[ID] = Stage.STARTED
    return made


def ended(logs: list[str] | None = None) -> Ended:
    return Ended(message(), FINISHED, logs, 3)


def finished_before(made: Bench, stage: Stage) -> None:
    """The journal has its end, and what was appended since."""
    made.journal.stages[ID] = stage
    made.journal.live[ID] = SimpleNamespace(message=Raw(encode(message())), finished=FINISHED, stage=stage, topic=None)


def names(made: Bench) -> list[str]:
    return [event.name for event in made.journal.appended]


def test_nothing_leaves_before_finished_is_durable() -> None:
    """No answer, no record, no word to the router."""
    made = bench()
    made.deliver(ended(), Logs(3, ID, ["line"], True))
    assert names(made) == ["finished"]
    assert (made.answers.made, made.records.made, made.sent) == ([], [], [])
    made.journal.settle()
    assert [name for name, _ in made.answers.made] == ["finished"]
    assert names(made) == ["finished", "acked"]
    assert [type(each) for each in made.to(ROUTER)] == [Completed]
    assert [args[0].logs for args in made.records.named("write")] == [["line"]]


def test_the_answer_has_no_logs_and_else_is_the_record() -> None:
    """What a caller was told is what the record says."""
    made = bench()
    made.deliver(ended(["line"]))
    made.journal.settle()
    ((_, answer),) = made.answers.named("finished")
    ((record, _),) = made.records.named("write")
    assert answer.logs == []
    assert (answer.response, answer.start, answer.end, answer.annotations) == (
        record.response, record.start, record.end, record.annotations,
    )  # fmt: skip


def test_the_note_is_settled_only_when_finished_is_durable() -> None:
    """Until then a crash has to find it there."""
    made = bench()
    made.deliver(ended())
    assert made.containers.named("settled") == []
    made.journal.settle()
    assert made.containers.named("settled") == [(3, ID)]


def test_recorded_follows_the_record() -> None:
    """It is journaled when the store has it."""
    made = bench()
    made.deliver(ended([]))
    made.journal.settle()
    assert names(made) == ["finished", "acked"]
    made.deliver(RecordWritten(ID))
    assert names(made) == ["finished", "acked", "recorded"]
    made.deliver(RecordWritten(ID))
    assert names(made) == ["finished", "acked", "recorded"]


def test_a_second_end_is_ignored_and_reported() -> None:
    """The first one counts, journaled or not."""
    made = bench()
    made.deliver(ended(), ended())
    made.journal.settle()
    made.deliver(ended())
    assert names(made) == ["finished", "acked"]
    assert made.failing.count("ended twice") == 2


def test_logs_of_an_earlier_container_are_not_taken() -> None:
    """A run that was given back may leave lines behind that come late."""
    made = bench()
    made.deliver(ended(), Logs(2, ID, ["other"], False))
    made.journal.settle()
    assert made.records.made == []
    made.deliver(Logs(3, ID, ["own"], True), Logs(3, ID, ["again"], True))
    assert [args[0].logs for args in made.records.named("write")] == [["own"]]


@pytest.mark.parametrize(
    ("stage", "recorded", "acked", "journaled", "answered"),
    [
        (Stage.FINISHED, False, False, ["acked", "recorded"], 1),
        (Stage.ACKED, False, True, ["recorded"], 0),
        (Stage.RECORDED, True, False, ["acked"], 0),
    ],
)
def test_only_what_is_missing_is_redone(
    stage: Stage, recorded: bool, acked: bool, journaled: list[str], answered: int
) -> None:
    """After a crash: neither a second acknowledgement nor a second `recorded`."""
    made = bench()
    made.journal.stages[ID] = stage
    made.deliver(Redo(message(), FINISHED, recorded, acked), RecordWritten(ID))
    assert names(made) == journaled
    assert len(made.answers.named("finished")) == answered
    for (record, _) in made.records.named("write"):
        assert "issue while collecting" in record.logs[0]


@pytest.mark.parametrize("stage", [Stage.FINISHED, Stage.ACKED, Stage.RECORDED])
def test_a_restarted_writer_goes_on_by_what_was_appended(stage: Stage) -> None:
    """Also with what is not durable yet: nothing is appended twice, and late messages of before do no harm."""
    made = bench()
    finished_before(made, stage)
    made.deliver(Restarted(RuntimeError(), None), FinishedDurable(ID), RecordWritten(ID), RecordWritten(ID))
    assert set(names(made)) == {"acked", "recorded"} - {stage.value}
    assert len(names(made)) == (2 if stage is Stage.FINISHED else 1)


def test_what_becomes_durable_after_a_restart_is_not_forgotten() -> None:
    """Its `finished` was under way when the instance before failed."""
    made = bench()
    made.deliver(Restarted(RuntimeError(), None))
    finished_before(made, Stage.FINISHED)
    made.deliver(FinishedDurable(ID))
    assert len(made.answers.named("finished")) == 1
    assert len(made.records.named("write")) == 1


def test_the_end_at_which_it_failed_is_one_that_says_so() -> None:
    """The result is lost, the activation is not."""
    made = bench()
    made.deliver(Restarted(RuntimeError(), ended()))
    (event,) = made.journal.appended
    assert isinstance(event, Finished)
    assert NOT_RUN.encode() in bytes(event.result)


def test_an_end_that_was_journaled_is_not_replaced_after_a_failure() -> None:
    """It failed after it had appended it."""
    made = bench()
    made.journal.stages[ID] = Stage.FINISHED
    made.deliver(Restarted(RuntimeError(), ended()))
    assert made.journal.appended == []


def test_a_repeated_activation_gets_the_answer_of_then() -> None:
    """From memory until the record is stored, from the store afterwards, and nothing before it is durable."""
    made = bench()
    made.deliver(ended(), Repeated(message()))
    assert made.answers.made == []
    made.journal.settle()
    made.deliver(Repeated(message()))
    assert len(made.answers.named("finished")) == 2
    made.deliver(Logs(3, ID, [], True), RecordWritten(ID), Repeated(message()))
    ((namespace, activation_id, reply),) = made.records.named("lookup")
    assert (namespace, activation_id) == ("guest", ID)
    reply(record_of(message(), FINISHED, ["line"]))
    assert made.answers.named("finished")[-1][1].logs == []
    made.deliver(LookedUp(ID, None, Repeated(message())))
    assert len(made.answers.named("finished")) == 3


def test_the_ended_are_remembered_for_their_time() -> None:
    """To recognise a duplicate."""
    made = Bench(ResultWriter, remember=10.0)
    for letter in "12":
        activation_id = letter * 32
        made.journal.stages[activation_id] = Stage.ACCEPTED
        made.deliver(Ended(message(activation_id), failed(message(activation_id), None, 3, "x", 1), []))
        made.journal.settle()
        made.clock.now += 11
    assert list(made.services.ended) == ["2" * 32]


@pytest.mark.parametrize("state", list(End))
def test_illegal_steps_raise(state: End) -> None:
    """Whatever the table doesn't have."""
    events = {event for steps in ENDING.values() for event in steps}
    for event in events - ENDING[state].keys():
        with pytest.raises(IllegalTransition):
            module.step(ENDING, "ending", ID, state, event)


def test_every_step_of_the_table_is_reached() -> None:
    """In one life."""
    made = bench()
    seen = []
    made.deliver(ended())
    ending = made.actor.endings[ID]
    seen.append(ending.state)
    made.journal.settle()
    seen.append(ending.state)
    made.deliver(Logs(3, ID, [], True))
    seen.append(ending.state)
    made.deliver(RecordWritten(ID))
    seen.append(ending.state)
    assert seen == list(ENDING)


def test_events_are_the_lifecycle_s() -> None:
    """Acked and recorded close a life in either order."""
    made = bench()
    made.deliver(ended([]))
    made.journal.settle()
    made.deliver(RecordWritten(ID))
    assert [type(event) for event in made.journal.appended] == [Finished, Acked, Recorded]
    assert made.journal.stage(ID) is Stage.UNKNOWN


@pytest.mark.parametrize("position", ["before", "after"])
def test_a_writer_that_fails_loses_no_activation(position: str) -> None:
    """At whatever message."""
    assert sweep(ResultWriter, position) > 40
