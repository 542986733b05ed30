"""ActivationRouter: the one door for work, its table, and what follows a bug in it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from msgspec import Raw
from thespian.actors import ChildActorExited

import actors.route as module
from actors.activation_router import ActivationRouter
from actors.admission import DRAINING, FULL
from actors.endings import INTERRUPTED
from actors.pool import PoolSettings
from actors.route import ROUTE, Route
from actors.system import NodeAddress, Restarted
from containers import outcome
from messages.commands import (
    Abandon,
    AcceptedDurable,
    Completed,
    Drain,
    Ended,
    Fetched,
    Free,
    Gone,
    Invoke,
    Job,
    LogsForget,
    LogsReset,
    Lost,
    NotAccepted,
    Orphaned,
    Ready,
    Released,
    Removed,
    Repeated,
    Resume,
    Returned,
    Run,
    Start,
    StartFailed,
    Up,
)  # fmt: skip
from messages.errors import IllegalTransition
from messages.events import Accepted, Started
from messages.lifecycle import Stage
from messages.wire import decode_message, encode
from store.errors import StoreRefused
from tests.support.actor_bench import ID, READER, WRITER, Bench, action, message
from tests.support.supervision import sweep

TWO = "2" * 32


def bench(memory: int = 512, **rules: object) -> Bench:
    return Bench(lambda services: ActivationRouter(services, PoolSettings(memory=memory)), **rules)


def invoke(activation_id: str = ID, **limits: int) -> Invoke:
    return Invoke(message(activation_id), action(**limits))


def started(made: Bench) -> list[Run]:
    return [each for _, each in made.sent if isinstance(each, Run)]


def placed() -> Bench:
    """One activation runs in container 1."""
    made = bench()
    made.deliver(invoke())
    made.journal.settle()
    made.deliver(Up(1, "c", {}))
    assert len(started(made)) == 1
    return made


def live(made: Bench, stage: Stage = Stage.ACCEPTED, **facts: object) -> None:
    """The journal knows it as unfinished."""
    made.journal.stages[ID] = stage
    known = {"starts": 0, "counted": 0, "replay": "rerun", "finished": None, "alone": False} | facts
    known |= {"topic": None, "accepted_at": 0, "refusal": None}
    made.journal.live[ID] = SimpleNamespace(message=Raw(encode(message())), stage=stage, **known)


def test_accepted_is_told_only_when_it_is_durable() -> None:
    """And nothing is looked up or started before."""
    made = bench()
    made.deliver(invoke())
    assert (made.answers.made, made.sent) == ([], [])
    made.journal.settle()
    assert made.answers.named("accepted") == [(ID,)]
    assert [type(each) for _, each in made.sent] == [Start]


def test_the_callers_key_is_not_journaled() -> None:
    """But what runs at once still has it."""
    made = placed()
    (event,) = made.journal.appended
    assert isinstance(event, Accepted)
    assert decode_message(event.message).user.authkey == {}
    assert started(made)[0].job.message.user.authkey == {"api_key": "u:k"}


def test_a_duplicate_joins_and_is_not_run() -> None:
    """While it is being accepted, while it is live, after it has ended."""
    made = bench()
    made.deliver(invoke(), invoke())
    made.journal.settle()
    assert made.answers.named("accepted") == [(ID,)]
    made.deliver(invoke())
    assert made.answers.named("accepted") == [(ID,), (ID,)]
    made.deliver(Completed(ID))
    made.services.ended[ID] = 0.0
    made.journal.stages[ID] = Stage.FINISHED
    made.deliver(invoke())
    assert [type(each) for each in made.to(WRITER)] == [Repeated]
    assert [event.name for event in made.journal.appended] == ["accepted"]


@pytest.mark.parametrize(
    ("prepare", "reason", "status"),
    [
        (lambda made: made.deliver(Drain()), DRAINING, 503),
        (lambda made: made.journal.live.update({str(n): None for n in range(5)}), FULL, 503),
        (lambda made: setattr(made.services.rules, "largest", 10), "larger than allowed", 413),
        (lambda made: setattr(made.journal, "stalled", lambda: 99.0), "does not answer", 503),
        (lambda made: setattr(made.services, "unfit", lambda: "disk full"), "disk full", 503),
        (lambda made: setattr(made.journal, "refuses", StoreRefused("not JSON")), "not JSON", 400),
    ],
)
def test_a_refusal_is_certain(prepare, reason: str, status: int) -> None:
    """Nothing of it is journaled or kept, and the caller hears why."""
    made = bench(live_bound=5)
    prepare(made)
    made.deliver(invoke())
    ((activation_id, text, code),) = made.answers.named("refused")
    assert (activation_id, code) == (ID, status)
    assert reason in text
    assert made.journal.appended == []
    assert (made.actor.routed, made.services.board) == ({}, {})


def test_a_draining_node_still_finishes_what_it_has() -> None:
    """It refuses only new work."""
    made = placed()
    made.deliver(Drain(), Free(1, ID, 5.0, 1.0), Completed(ID), invoke(TWO))
    assert len(made.answers.named("refused")) == 1
    assert made.actor.routed == {}


def test_what_the_store_refused_is_forgotten() -> None:
    """Its caller was told by the journal's hook."""
    made = bench()
    made.deliver(invoke(), NotAccepted(ID))
    assert (made.actor.routed, made.services.board) == ({}, {})


def test_resumed_work_comes_in_by_the_same_door() -> None:
    """Its action is looked up, its attempts count, `accepted` is not journaled again."""
    made = bench()
    made.deliver(Resume(message(), 1, 2, False))
    assert len(made.actions.named("fetch")) == 1
    made.deliver(Fetched(ID, action(), {"api_key": "new"}), Up(1, "c", {}))
    (run,) = started(made)
    assert (run.job.attempt, run.job.starts, run.ahead) == (2, 2, False)
    assert run.job.message.user.authkey == {"api_key": "new"}
    assert made.journal.appended == []


@pytest.mark.parametrize(
    ("fetched", "text"),
    [
        (Fetched(ID, None, status_code=1, error="Action could not be found or may have been deleted."), "deleted"),
        (Fetched(ID, action(memory=4096)), "4096 MB"),
    ],
)
def test_what_can_not_run_ends_with_a_record_that_says_why(fetched: Fetched, text: str) -> None:
    """At once, also when it was accepted long ago."""
    made = bench()
    made.deliver(Resume(message(), 0, 0, False), fetched)
    (ended,) = made.to(WRITER)
    assert isinstance(ended, Ended)
    assert text.encode() in bytes(ended.finished.result)


def test_work_that_is_too_old_ends_unless_it_had_started() -> None:
    """`--max-age` is about what nobody waits for any more."""
    for starts, ends in ((0, 1), (1, 0)):
        made = bench(max_age=10.0)
        made.deliver(Resume(message(), 0, starts, False), Fetched(ID, action()))
        assert len(made.to(WRITER)) == ends


@pytest.mark.parametrize(
    ("prepare", "resume", "replay"),
    [
        (lambda made: None, Resume(message(), 0, 0, False), "never"),
        (lambda made: None, Resume(message(), 1, 1, False), "rerun"),
        (lambda made: None, Resume(message(), 0, 0, True), "rerun"),
        (lambda made: setattr(made.journal, "prompt", lambda: False), Resume(message(), 0, 0, False), "rerun"),
        (lambda made: setattr(made.services, "run_ahead_from", 1e9), Resume(message(), 0, 0, False), "rerun"),
    ],
)
def test_run_ahead_only_where_the_design_allows_it(prepare, resume: Resume, replay: str) -> None:
    """First attempt, `replay: rerun`, store prompt, a minute since an unclean start."""
    made = bench()
    prepare(made)
    made.deliver(resume, Fetched(ID, action(replay)), Up(1, "c", {}))
    assert [run.ahead for run in started(made)] == [False]
    assert started(placed())[0].ahead


def test_a_job_that_came_back_is_placed_again_but_not_for_ever() -> None:
    """Its code did not run; after `run_tries` containers it ends with an error record."""
    made = bench(run_tries=3)
    made.deliver(invoke())
    made.journal.settle()
    for cid in (1, 2, 3):
        made.deliver(Up(cid, "c", {}))
        job = started(made)[-1].job
        assert len(started(made)) == cid
        made.deliver(Lost(cid), Returned(cid, job), Gone(cid))
    (ended,) = made.to(WRITER)
    assert outcome.NO_RESOURCES.encode() in bytes(ended.finished.result)


@pytest.mark.parametrize(("permanent", "tries"), [(True, 1), (False, 3)])
def test_a_creation_that_fails_ends_who_waits(permanent: bool, tries: int) -> None:
    """At once if trying again can't help, else after `create_tries`."""
    made = bench()
    made.deliver(invoke())
    made.journal.settle()
    for cid in range(1, tries + 1):
        assert made.to(WRITER) == []
        made.clock.now += 60
        made.deliver(Up(99, "c", {}))  # of nobody: ignored
        made.actor._plan()
        made.deliver(StartFailed(cid, 3, "no engine", permanent))
    (ended,) = made.to(WRITER)
    assert b"no engine" in bytes(ended.finished.result)


def test_who_waits_for_a_platform_that_is_away_goes_on_waiting() -> None:
    """However often a creation fails because none can be had at all, nobody's tries are used up."""
    made = bench(create_tries=2)
    made.deliver(invoke())
    made.journal.settle()
    for cid in range(1, 6):
        made.clock.now += 60
        made.actor._plan()
        made.deliver(StartFailed(cid, 3, "no engine", False, waits=True))
    assert made.to(WRITER) == []
    assert made.actor.routed[ID].tries == 0


@pytest.mark.parametrize(("replay", "ends"), [("rerun", False), ("never", True)])
def test_a_job_that_the_platform_cut_off_runs_again_if_it_may(replay: str, ends: bool) -> None:
    """Its code had started: a rerun is visible as a second attempt."""
    made = bench()
    made.deliver(Resume(message(), 0, 0, False), Fetched(ID, action(replay)), Up(1, "c", {}))
    made.journal.stages[ID] = Stage.STARTED
    made.deliver(Lost(1), Returned(1, started(made)[0].job, interrupted=True), Gone(1), Up(2, "c", {}))
    assert len(started(made)) == (1 if ends else 2)
    assert [INTERRUPTED.encode() in bytes(each.finished.result) for each in made.to(WRITER)] == [True] * ends
    assert ends or started(made)[1].job.starts == 1


def test_messages_of_containers_that_are_not_ours_are_ignored() -> None:
    """An instance before this one had them; its proxies may still say something."""
    made = bench()
    job = Job(message(), action(), 1, 0, False, 0.0)
    made.deliver(
        Up(5, "c", {}), Ready(5), StartFailed(5, 3, "x", False), Free(5, ID, 1.0, 1.0), Released(5, ID), Returned(5, job),
        Lost(5), Gone(5), Orphaned(5, [ID]),
    )  # fmt: skip
    assert (made.sent, made.actor.routed) == ([], {})


def test_a_failed_proxy_is_replaced_when_its_container_is_gone() -> None:
    """Not when the container died, but when nothing of it is left."""
    made = placed()
    proxy = made.actor.proxies[1]
    made.journal.stages[ID] = Stage.ACCEPTED
    made.deliver(ChildActorExited(proxy))
    ((cid, reply),) = made.containers.named("remove")
    reply(object())
    assert made.to(READER) == []
    reply(Removed())
    assert made.to(READER) == [LogsForget(cid)]
    made.deliver(Up(2, "c", {}))
    assert len(started(made)) == 2


@pytest.mark.parametrize(("replay", "stage", "runs", "ends"), [
    ("rerun", Stage.STARTED, 2, 0), ("never", Stage.STARTED, 1, 1), ("rerun", Stage.FINISHED, 1, 0),
])  # fmt: skip
def test_what_ran_under_a_failed_proxy(replay: str, stage: Stage, runs: int, ends: int) -> None:
    """It runs again, visibly; never means never; what has ended is left alone."""
    made = bench()
    made.deliver(Invoke(message(), action(replay)))
    made.journal.settle()
    made.deliver(Up(1, "c", {}))
    made.journal.stages[ID] = stage
    made.deliver(ChildActorExited(made.actor.proxies[1]))
    made.containers.named("remove")[0][1](Removed())
    if 2 in made.actor.proxies:
        made.deliver(Up(2, "c", {}))
    assert (len(started(made)), len(made.to(WRITER))) == (runs, ends)
    if runs == 2:
        assert started(made)[-1].job.starts == 1


def test_a_restarted_router_waits_for_the_containers_of_the_one_before() -> None:
    """Only then is what the journal has unfinished taken up again."""
    made = bench()
    live(made, Stage.STARTED, starts=1)
    child = NodeAddress("old")
    made.services.orphans.add(9)
    made.deliver(Restarted(RuntimeError(), None, (child,)))
    assert [type(each) for each in made.to(child)] == [Abandon]
    made.deliver(ChildActorExited(child))
    assert made.actor.routed == {}
    made.deliver(Orphaned(9, [ID]))
    made.deliver(Fetched(ID, action()), Up(1, "c", {}))
    (run,) = started(made)
    assert (run.job.starts, run.ahead) == (1, False)


@pytest.mark.parametrize(
    ("stage", "facts", "routed", "ended"),
    [
        (Stage.ACCEPTED, {}, 1, 0),
        (Stage.STARTED, {"starts": 1, "replay": "never"}, 0, 1),
        (Stage.FINISHED, {}, 0, 0),
    ],
)
def test_a_restarted_router_takes_up_what_has_not_ended(stage: Stage, facts: dict, routed: int, ended: int) -> None:
    """By what was appended, durable or not."""
    made = bench()
    live(made, stage, **facts)
    made.deliver(Restarted(RuntimeError(), None))
    assert (len(made.actor.routed), len(made.to(WRITER))) == (routed, ended)


def test_the_invocation_at_which_it_failed_is_refused_if_that_is_certain() -> None:
    """Not if its `accepted` was appended; one that had ended is answered."""
    for stage, ended, refused, sent in (
        (Stage.UNKNOWN, False, 1, 0), (Stage.ACCEPTED, False, 0, 0), (Stage.UNKNOWN, True, 0, 1),
    ):  # fmt: skip
        made = bench()
        made.journal.stages[ID] = stage
        if ended:
            made.services.ended[ID] = 1.0
        made.deliver(Restarted(RuntimeError(), invoke()))
        assert (len(made.answers.named("refused")), len(made.to(WRITER))) == (refused, sent)


def test_drain_survives_a_restart() -> None:
    """It is no secret of one instance."""
    made = bench()
    made.deliver(Drain())
    made.actor = ActivationRouter(made.services, PoolSettings(memory=512))
    made.actor._myRef = made
    made.deliver(invoke())
    assert len(made.answers.named("refused")) == 1


def test_a_reader_s_restart_is_passed_on_to_every_proxy() -> None:
    """They may wait for lines that never come."""
    made = placed()
    made.deliver(LogsReset())
    assert [type(each) for each in made.to(made.actor.proxies[1])][-1] is LogsReset


@pytest.mark.parametrize("state", list(Route))
def test_illegal_steps_raise(state: Route) -> None:
    """Whatever the table doesn't have."""
    events = {event for steps in ROUTE.values() for event in steps}
    for event in events - ROUTE[state].keys():
        with pytest.raises(IllegalTransition):
            module.step(ROUTE, "activation", ID, state, event)


def test_every_step_of_the_table_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table has no step that can't happen."""
    seen: set[tuple[Route, str]] = set()
    honest = module.step

    def step(table, machine, who, state, event):
        after = honest(table, machine, who, state, event)
        seen.add((state, event))
        return after

    monkeypatch.setattr(module, "step", step)
    placed().deliver(Free(1, ID, 1.0, 1.0), Completed(ID))
    test_a_job_that_came_back_is_placed_again_but_not_for_ever()
    test_a_creation_that_fails_ends_who_waits(True, 1)
    for before in ([], [Fetched(ID, action())]):
        made = bench()
        made.deliver(Resume(message(), 0, 0, False), *before, Completed(ID))
    made = bench()
    made.deliver(Resume(message(), 0, 0, False), Fetched(ID, action(memory=4096)), Completed(ID))
    assert {(state, event) for state in ROUTE for event in ROUTE[state]} - seen == set()


def test_what_ended_while_it_was_queued_leaves_the_queue() -> None:
    """Its end was on the way when it was taken up again."""
    made = bench()
    made.deliver(Resume(message(), 0, 0, False), Fetched(ID, action()), Completed(ID), Up(1, "c", {}))
    assert started(made) == []


def test_started_is_the_proxys_to_journal() -> None:
    """The router journals nothing but what it accepts."""
    assert not [event for event in placed().journal.appended if isinstance(event, Started)]


def test_durable_news_of_what_a_restart_forgot_is_taken_up() -> None:
    """Its `accepted` was under way when the instance before failed."""
    made = bench()
    live(made)
    made.deliver(AcceptedDurable(ID))
    assert list(made.actor.routed) == [ID]
    assert made.answers.named("accepted") == [(ID,)]


@pytest.mark.parametrize("position", ["before", "after"])
def test_a_router_that_fails_loses_no_activation(position: str) -> None:
    """At whatever message."""
    assert sweep(ActivationRouter, position) > 60
