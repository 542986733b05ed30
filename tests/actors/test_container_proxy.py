"""ContainerProxy: its two tables, one run from start to end, and what happens when it fails."""

from __future__ import annotations

import pytest
from msgspec import UNSET
from thespian.actors import WakeupMessage

import actors.container_proxy as module
from actors.container_proxy import ContainerProxy
from actors.container_states import CONTAINER, RUN, Container, Phase
from containers.contract import Answer, Failure
from messages.commands import (
    Abandon,
    Called,
    Created,
    Died,
    Ended,
    Free,
    Gone,
    Idle,
    Job,
    Logs,
    LogsBegin,
    LogsEnd,
    LogsForget,
    LogsReset,
    Lost,
    NotCreated,
    Paused,
    Ready,
    Released,
    Remove,
    Removed,
    Resumed,
    Returned,
    Run,
    Start,
    StartFailed,
    Up,
)  # fmt: skip
from messages.errors import IllegalTransition
from messages.events import Started
from messages.lifecycle import Stage
from tests.support.actor_bench import ID, READER, ROUTER, WRITER, Bench, action, message
from tests.support.supervision import sweep

START = Start("python:3", "", 256, 1, False)
GOOD = Answer(200, b'{"ok":true}', 11)
BAD_INIT = Answer(502, b'{"error":"x"}', 13)


def bench(**rules: float | None) -> Bench:
    made = Bench(lambda services: ContainerProxy(services, 7), **{"pause_grace": 0.0} | rules)
    made.journal.stages.update({letter * 32: Stage.ACCEPTED for letter in "1234"})
    return made


def run(activation_id: str = ID, ahead: bool = True, **limits: int) -> Run:
    return Run(Job(message(activation_id), action(**limits), 1, 0, False, 0.0), ahead)


def called(path: str, result: object = GOOD, activation_id: str = ID, ms: float = 5.0) -> Called:
    return Called(path, activation_id, result, ms, 1)


WAKE = WakeupMessage(None)
IDLE = [START, Created("c", {}), run(logs=0), called("/init"), called("/run")]
TO: dict[Container, list[object]] = {
    Container.NEW: [],
    Container.ADOPTING: [Idle("c", START)],
    Container.STARTING: [START],
    Container.STARTED: [START, Created("c", {})],
    Container.INITIALIZING: [START, Created("c", {}), run()],
    Container.RUNNING: [START, Created("c", {}), run(), called("/init")],
    Container.READY: IDLE,
    Container.FAILING: [START, Created("c", {}), run(), called("/init", BAD_INIT)],
    Container.PAUSING: [*IDLE, WAKE],
    Container.PAUSED: [*IDLE, WAKE, Paused(True, 1.0)],
    Container.RESUMING: [*IDLE, WAKE, Paused(True, 1.0), run("3" * 32)],
    Container.REMOVING: [START, Created("c", {}), Remove()],
    Container.GONE: [START, Created("c", {}), Remove(), Removed()],
}
"""The shortest way into each state."""

EVENTS: dict[str, object] = {
    "start": START,
    "adopt": Idle("c", START),
    "created": Created("c", {}),
    "not created": NotCreated(3, "no", False),
    "run": run("2" * 32),
    "paused": Paused(True, 1.0),
    "not paused": Paused(False, 1.0),
    "resumed": Resumed(True, 1.0),
    "not resumed": Resumed(False, 1.0),
    "remove": Remove(),
    "died": Died(),
    "abandon": Abandon(),
    "removed": Removed(),
}
"""The events that are messages; the others are steps inside of one."""


def in_state(state: Container) -> Bench:
    made = bench()
    made.deliver(*TO[state])
    assert made.actor.state is state
    return made


@pytest.mark.parametrize("state", list(Container))
@pytest.mark.parametrize("event", list(EVENTS))
def test_each_message_in_each_state_follows_the_table(state: Container, event: str) -> None:
    """A legal one leads where the table says; an illegal one raises and names both."""
    made = in_state(state)
    target = CONTAINER[state].get(event)
    if target is None:
        with pytest.raises(IllegalTransition, match=event):
            made.deliver(EVENTS[event])
        assert made.actor.state is state
    else:
        made.deliver(EVENTS[event])
        assert made.actor.state is target


def steps_of(monkeypatch: pytest.MonkeyPatch, table: object) -> set[tuple[object, str]]:
    seen: set[tuple[object, str]] = set()
    honest = module.step

    def step(used, machine, who, state, event):
        after = honest(used, machine, who, state, event)
        if used is table:
            seen.add((state, event))
        return after

    monkeypatch.setattr(module, "step", step)
    return seen


WARM = Idle("c", START, ("guest", ("guest/hello", "1-a")))
SECOND = run("2" * 32, concurrency=3)
STORIES: list[list[object]] = [
    [START, Created("c", {}), run(concurrency=3), called("/init"), SECOND, called("/run"), Logs(7, ID, [], True)],
    [START, Created("c", {}), run(concurrency=3), called("/init"), SECOND, called("/run", Failure.BROKEN),
     called("/run", Failure.BROKEN, "2" * 32), run("3" * 32), Died(), Logs(7, ID, [], False)],
    [START, Created("c", {}), run(), called("/init", Answer(503, b"", 0))],
    [START, Created("c", {}), run(), called("/init"), called("/run", Answer(503, b"", 0))],
    [START, Created("c", {}), run(logs=0), called("/init"), called("/run"), run("2" * 32), called("/run", GOOD, "2" * 32)],
    [*IDLE, WAKE],
    [WARM, Created("c", {})],
    [START, Abandon(), Created("c", {}), Removed()],
    [START, Abandon(), NotCreated(3, "x", False)],
]  # fmt: skip


@pytest.mark.parametrize("name", ["CONTAINER", "RUN"])
def test_every_step_of_the_table_is_reached(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The table has no step that can't happen."""
    table = getattr(module, name)
    seen = steps_of(monkeypatch, table)
    for state in Container:
        for event, sent in EVENTS.items():
            if event in CONTAINER[state]:
                in_state(state).deliver(sent)
    for story in STORIES:
        bench().deliver(*story)
    assert {(state, event) for state in table for event in table[state]} - seen == set()


@pytest.mark.parametrize("phase", list(Phase))
def test_illegal_steps_of_a_run_raise(phase: Phase) -> None:
    """Whatever the table doesn't have."""
    events = {event for steps in RUN.values() for event in steps}
    for event in events - RUN[phase].keys():
        with pytest.raises(IllegalTransition):
            module.step(RUN, "run", ID, phase, event)


def test_a_cold_run_from_start_to_end() -> None:
    """Created, initialised, run, logs, free: each told to who needs it, once."""
    made = bench()
    made.deliver(*TO[Container.RUNNING], called("/run"), Logs(7, ID, ["line"], True))
    assert [type(each) for each in made.to(ROUTER)] == [Up, Ready, Free]
    assert [type(each) for each in made.to(READER)] == [LogsBegin, LogsEnd]
    (ended,) = made.to(WRITER)
    assert isinstance(ended, Ended)
    assert (ended.finished.status_code, ended.finished.init_time, ended.logs) == (0, 5, None)
    assert made.actor.state is Container.READY


def test_started_is_journaled_before_any_call() -> None:
    """`/init` runs user code: even it waits for a `started` that has to be durable."""
    made = bench()
    made.deliver(START, Created("c", {}), run(ahead=False))
    assert [type(event) for event in made.journal.appended] == [Started]
    assert not made.containers.named("call")
    made.journal.settle()
    assert [args[1] for args in made.containers.named("call")] == ["/init"]


def test_the_first_run_tells_what_making_its_container_took() -> None:
    """By stage, in its `started`; later ones don't."""
    made = bench()
    made.deliver(START, Created("c", {"create": 16.4, "start": 111.6}), run(logs=0), called("/init"), called("/run"), run("2" * 32))
    first, second = (event for event in made.journal.appended if isinstance(event, Started))
    assert (first.made, second.made) == ({"create": 16, "start": 112}, UNSET)


def test_run_ahead_calls_at_once() -> None:
    """`started` is on its way then."""
    made = bench()
    made.deliver(START, Created("c", {}), run(ahead=True))
    assert made.journal.waiting == []
    assert len(made.containers.named("call")) == 1


@pytest.mark.parametrize("path", ["/init", "/run"])
def test_a_run_that_the_platform_cut_off_goes_back_as_interrupted(path: str) -> None:
    """Its code may have run; nothing has ended."""
    made = in_state(Container.INITIALIZING)
    made.deliver(*([called("/init")] if path == "/run" else []), called(path, Failure.LOST))
    assert [each.interrupted for each in made.to(ROUTER) if isinstance(each, Returned)] == [True]
    assert made.to(WRITER) == []
    assert len(made.containers.named("remove")) == 1


def test_a_refused_warm_run_goes_back() -> None:
    """Its code did not run: nothing has ended, the container is lost and removed."""
    made = in_state(Container.READY)
    made.sent.clear()
    made.deliver(run("2" * 32), called("/run", Failure.REFUSED, "2" * 32))
    assert [type(each) for each in made.to(ROUTER)] == [Lost, Returned]
    assert made.to(WRITER) == []
    assert len(made.containers.named("remove")) == 1


def test_a_job_for_a_container_that_goes_comes_back() -> None:
    """Failing, being removed or gone: the job is not lost with it."""
    for state in (Container.FAILING, Container.REMOVING, Container.GONE):
        made = in_state(state)
        made.sent.clear()
        made.deliver(run("2" * 32))
        assert [each.job.activation_id for each in made.to(ROUTER) if isinstance(each, Returned)] == ["2" * 32]


def test_taken_over_warm() -> None:
    """No start, no init: the first run goes straight to `/run`; it is idle, told to the note, and frozen in time."""
    made = bench()
    made.deliver(WARM)
    assert [args[1] for args in made.containers.named("adopt")] == [WARM]
    made.deliver(Created("c", {}))
    assert [type(each) for each in made.to(ROUTER)] == [Up]
    assert made.containers.named("idle") == [(7, WARM.owner)]
    assert len(made.wakeups) == 1
    made.deliver(run("2" * 32))
    assert [args[1] for args in made.containers.named("call")] == ["/run"]


def test_not_taken_over() -> None:
    """No failed creation: whoever waits for it gets a new one without any delay."""
    made = bench()
    made.deliver(WARM, NotCreated(3, "gone", False))
    assert [type(each) for each in made.to(ROUTER)] == [Gone]


def test_idle_only_when_nothing_runs_in_it() -> None:
    """The note is told at the end of the last run, when its output is read."""
    made = bench()
    made.deliver(*STORIES[0])
    assert made.containers.named("idle") == []
    made.deliver(called("/run", GOOD, "2" * 32), Logs(7, "2" * 32, [], True))
    assert made.containers.named("idle") == [(7, ("guest", ("guest/hello", "1-a")))]


def test_frozen_only_after_the_grace_time() -> None:
    """Counted from the end of the last run; the timer outlives runs, and a container that works is left alone."""
    made = bench(pause_grace=10.0)
    made.deliver(*IDLE)
    assert [period.total_seconds() for period in made.wakeups] == [10.0]
    made.clock.now += 8
    made.deliver(run("2" * 32, logs=0))
    made.deliver(WAKE)
    made.deliver(called("/run", GOOD, "2" * 32))
    made.clock.now += 4
    made.deliver(WAKE)
    assert [period.total_seconds() for period in made.wakeups] == [10.0, 10.0, 6.0]
    assert made.containers.named("pause") == []
    made.clock.now += 6
    made.deliver(WAKE)
    assert len(made.containers.named("pause")) == 1


def test_never_frozen_if_told_so() -> None:
    """Without a grace time nothing is timed."""
    made = bench(pause_grace=None)
    made.deliver(*IDLE)
    assert made.wakeups == []


@pytest.mark.parametrize("before_frozen", [True, False])
def test_runs_wait_until_a_frozen_container_goes_on(before_frozen: bool) -> None:
    """Whether they come while it is being frozen or later: nothing is journaled or called before, all are after, in order."""
    made = in_state(Container.PAUSING if before_frozen else Container.PAUSED)
    made.journal.appended.clear()
    made.containers.made.clear()
    made.deliver(run("2" * 32, concurrency=3), *([Paused(True, 1.0)] if before_frozen else []), run("3" * 32, concurrency=3))
    assert made.journal.appended == []
    assert [name for name, _ in made.containers.made] == ["resume"]
    made.deliver(Resumed(True, 1.0))
    assert [event.id[0] for event in made.journal.appended] == ["2", "3"]
    assert [(args[1], args[2][0]) for args in made.containers.named("call")] == [("/run", "2"), ("/run", "3")]


@pytest.mark.parametrize("answers", [[Paused(False, 1.0)], [Paused(True, 1.0), Resumed(False, 1.0)]])
def test_a_container_that_can_not_go_on_gives_its_runs_back(answers: list[object]) -> None:
    """Their code did not run: the container is lost and removed, another one takes them."""
    made = in_state(Container.PAUSING)
    made.sent.clear()
    made.journal.appended.clear()
    made.deliver(run("2" * 32), run("3" * 32), *answers)
    assert [type(each) for each in made.to(ROUTER)] == [Lost, Returned, Returned]
    assert made.journal.appended == []
    assert len(made.containers.named("remove")) == 1


@pytest.mark.parametrize("result", [Failure.TIMEOUT, Failure.BROKEN, Failure.MEMORY])
def test_a_container_that_failed_takes_no_more(result: Failure) -> None:
    """Its end is told at once, its memory only when it is gone."""
    made = in_state(Container.RUNNING)
    made.deliver(called("/run", result, ms=1000.0), Logs(7, ID, [], False))
    assert [type(each) for each in made.to(ROUTER)] == [Up, Ready, Lost, Released]
    made.deliver(Removed())
    assert isinstance(made.to(ROUTER)[-1], Gone)
    assert isinstance(made.to(READER)[-1], LogsForget)


def test_missing_sentinels_cost_the_container() -> None:
    """Later logs could not be told apart."""
    made = in_state(Container.RUNNING)
    made.deliver(called("/run"), Logs(7, ID, [], False))
    assert made.actor.state is Container.REMOVING


def test_output_of_runs_side_by_side_is_shared() -> None:
    """Both records say so; one that comes when the other was answered has its own output."""
    made = bench()
    made.deliver(*STORIES[0], called("/run", GOOD, "2" * 32), run("3" * 32, concurrency=3), called("/run", GOOD, "3" * 32))
    ended = {each.finished.id[0]: each.finished.shared_logs for each in made.to(WRITER) if isinstance(each, Ended)}
    assert ended == {"1": True, "2": True, "3": False}


def test_one_that_is_too_late_costs_the_container_but_not_the_others() -> None:
    """They end as their code does; only then is it removed."""
    made = bench()
    made.deliver(*STORIES[0][:-2], called("/run", Failure.TIMEOUT, ms=1000.0), Logs(7, ID, [], False))
    assert made.containers.named("remove") == []
    made.deliver(called("/run", GOOD, "2" * 32), Logs(7, "2" * 32, [], True))
    assert [each.finished.status_code for each in made.to(WRITER) if isinstance(each, Ended)] == [2, 0]
    assert len(made.containers.named("remove")) == 1


def test_a_failed_creation_is_told_with_its_reason() -> None:
    """So that the router can end who waits for it."""
    made = bench()
    made.deliver(START, NotCreated(2, "no such image", True))
    (failed,) = made.to(ROUTER)
    assert isinstance(failed, StartFailed)
    assert (failed.status_code, failed.error, failed.permanent) == (2, "no such image", True)


def test_a_log_reader_that_lost_its_lines_is_not_waited_for() -> None:
    """The run ends with a line that says so."""
    made = in_state(Container.RUNNING)
    made.deliver(called("/run"), LogsReset())
    logs = made.to(WRITER)[-1]
    assert isinstance(logs, Logs)
    assert "issue while collecting" in logs.lines[0]
    assert made.actor.runs == {}


@pytest.mark.parametrize("position", ["before", "after"])
def test_a_proxy_that_fails_loses_no_activation(position: str) -> None:
    """At whatever message: its container goes, what had not ended is placed again or ends as interrupted."""
    assert sweep(ContainerProxy, position) > 50
