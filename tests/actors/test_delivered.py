"""Work that a broker delivered: known twice, never refused, ended with a record where it may not be run."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import UNSET, Raw, structs
from thespian.actors import WakeupMessage

from messages.commands import Acknowledged, Fetched, FinishedDurable, Invoke, Logs, LookedUp, Redo, Repeated, Resume, Start
from messages.lifecycle import Stage
from messages.wire import UserLimits, decode_message
from tests.actors.test_activation_router import bench
from tests.actors.test_result_writer import FINISHED, ended
from tests.actors.test_result_writer import bench as writer_bench
from tests.support.actor_bench import ID, WRITER, Calls, message
from tests.support.actor_bench import action as made_action


def test_what_a_broker_delivered_twice_joins_and_is_not_run() -> None:
    """Live, its channel joins those that get the answer; over, its controller is told once more; neither is journaled again."""
    made = bench()
    made.services.acks = acks = Calls()
    delivered = Invoke(message(), topic="invoker0", offset=7)
    made.deliver(delivered, delivered)
    assert acks.named("joined") == [(ID,)]
    assert len(made.journal.appended) == 1
    made.services.ended["2" * 32] = 0.0
    over = Invoke(structs.replace(message(), activation_id="2" * 32), topic="invoker0", offset=8)
    made.deliver(over, structs.replace(delivered, message=structs.replace(message(), activation_id="3" * 32), known=True))
    assert [each.posted for each in made.to(WRITER) if isinstance(each, Repeated)] == [True, True]
    assert made.answers.named("accepted") == [("2" * 32,), ("3" * 32,)]


def test_a_broker_is_not_refused() -> None:
    """What is read is taken; only a draining node leaves it to the topic."""
    made = bench(live_bound=0)
    made.deliver(Invoke(message(), topic="invoker0", offset=7))
    assert made.answers.named("refused") == []
    made.services.draining = True
    made.deliver(Invoke(structs.replace(message(), activation_id="2" * 32), topic="invoker0", offset=8))
    assert len(made.answers.named("refused")) == 1


def test_what_may_not_be_run_is_accepted_and_ended() -> None:
    """Without its arguments, by an event that an older release does not take for work."""
    made = bench()
    made.deliver(Invoke(structs.replace(message(), content=Raw(b'{"a":1}')), topic="invoker0", offset=7, refusal="blocked"))
    (event,) = made.journal.appended
    assert (event.refusal, event.v) == ("blocked", 2)
    assert decode_message(event.message).content is UNSET
    made.journal.settle()
    (ended,) = made.to(WRITER)
    assert (ended.finished.status_code, bytes(ended.finished.result)) == (1, b'{"error":"blocked"}')
    assert made.actions.made == []


@pytest.mark.parametrize(
    ("facts", "posted", "ended"),
    [
        ({"blocking": True}, 100_000 - 121_000, True),
        ({"blocking": True}, 100_000 - 119_000, False),
        ({"blocking": False}, 0, False),
        ({"blocking": True, "cause": "c" * 32}, 100_000 - 122_000, True),
        ({"blocking": True, "transid": ["sid_invokerHealth", 0]}, -(10**9), False),
    ],
)
def test_a_blocking_message_that_comes_too_late_ends(facts: dict[str, object], posted: int, ended: bool) -> None:
    """By the broker's time, not the transaction's, whose probes began with their controller; others run however late."""
    made = bench()
    made.deliver(Invoke(structs.replace(message(), **facts), made_action(), "invoker0", 7, posted))
    made.journal.settle()
    found = made.to(WRITER)
    assert bool(found) is ended
    if ended:
        assert b"late" in bytes(found[0].finished.result)
        assert found[0].finished.status_code == 1


def test_with_a_clock_that_stepped_nothing_is_too_late() -> None:
    made = bench()
    made.services.steady = lambda: False
    made.deliver(Invoke(structs.replace(message(), blocking=True), made_action(), "invoker0", 7, -(10**9)))
    made.journal.settle()
    assert made.to(WRITER) == []


def test_without_the_lease_no_code_is_started() -> None:
    """It waits until the node knows again that its stream is its own."""
    made = bench()
    allowed = []
    made.services.may_start = lambda: bool(allowed)
    made.deliver(Invoke(message(), made_action()))
    made.journal.settle()
    assert made.sent == []
    allowed.append(1)
    made.deliver(WakeupMessage(timedelta(0)))
    assert [type(each) for _, each in made.sent] == [Start]


def told(stage: Stage = Stage.STARTED, **facts: object):
    """A writer whose activation came from a controller."""
    from types import SimpleNamespace

    made = writer_bench()
    made.services.acks = acks = Calls()
    made.journal.stages[ID] = stage
    made.journal.live[ID] = SimpleNamespace(topic="invoker0", finished=FINISHED, **facts)
    return made, acks


def names(made) -> list[str]:
    return [event.name for event in made.journal.appended]


def test_a_controllers_activation_is_acked_when_its_controller_knows() -> None:
    """Told when `finished` is durable and once more when the logs are there; `acked` when the broker has it all."""
    made, acks = told()
    made.deliver(ended())
    assert acks.made == []
    made.journal.settle()
    assert [name for name, _ in acks.made] == ["finished"]
    made.deliver(Logs(3, ID, ["line"], True))
    assert [name for name, _ in acks.made] == ["finished", "collected"]
    assert names(made) == ["finished"]
    made.deliver(Acknowledged(ID), Acknowledged(ID))
    assert names(made) == ["finished", "acked"]


@pytest.mark.parametrize(("recorded", "acked", "calls"), [(True, False, 1), (False, False, 1), (False, True, 0)])
def test_a_restart_makes_up_for_acknowledgements(recorded: bool, acked: bool, calls: int) -> None:
    """And only for those that are missing."""
    made, acks = told(Stage.RECORDED if recorded else Stage.ACKED if acked else Stage.FINISHED)
    made.deliver(Redo(message(), FINISHED, recorded, acked))
    assert len(acks.named("finished")) == calls
    assert names(made) == []
    assert len(made.records.named("write")) == (not recorded)


def test_one_that_is_over_is_told_from_its_record() -> None:
    """From memory, from the store, or without it; a callers's own channel is served as before."""
    made, acks = told()
    made.deliver(ended(), Repeated(message(), posted=True))
    assert [name for name, _ in acks.made] == ["joined"]
    made.journal.settle()
    made.deliver(Repeated(message(), posted=True))
    assert len(acks.named("again")) == 1
    made.deliver(LookedUp(ID, None, Repeated(message(), posted=True)))
    assert acks.named("again")[-1] == (message(), None)
    made.deliver(LookedUp(ID, None, Repeated(message())), FinishedDurable(ID))
    assert len(acks.named("again")) == 2


@pytest.mark.parametrize("attempted", [False, True])
def test_what_its_namespace_no_longer_allows_ends(attempted: bool) -> None:
    """Upstream's invoker checks a stored action against the caller's limits; here what had started still goes on."""
    made = bench()
    user = structs.replace(message().user, limits=UserLimits(max_action_memory=128))
    narrowed = structs.replace(message(), user=user)
    if attempted:
        made.deliver(Resume(narrowed, 1, 1, alone=False))
        made.deliver(Fetched(ID, made_action()))
        assert made.to(WRITER) == []
        return
    made.deliver(Invoke(narrowed, made_action()))
    made.journal.settle()
    (ended,) = made.to(WRITER)
    expected = b'{"error":"requirement failed: memory size 256 MB exceeds allowed threshold of 128 MB"}'
    assert (ended.finished.status_code, bytes(ended.finished.result)) == (1, expected)
