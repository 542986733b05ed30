"""An invoker's health: every cell of the table, and upstream's stories told through it."""

import pytest

from controller.balancer.health import PING_PATIENCE, TEST_EVERY, TRANSITIONS, Fact, Health, Outcome, State

GOOD, ERROR, LATE = Outcome.SUCCESS, Outcome.SYSTEM_ERROR, Outcome.TIMEOUT


def up():
    """An invoker of upstream's that has proved itself at time 0."""
    health = Health()
    health.pinged(enabled=True, own=False, now=0.0)
    assert health.take_test(0.0)
    health.ended(GOOD, 0.0)
    assert health.take_test(0.0)
    return health


def test_the_table_is_whole():
    assert TRANSITIONS.keys() == set(State)
    assert all(row.keys() == set(Fact) for row in TRANSITIONS.values())


def test_only_a_ping_brings_an_offline_invoker_back():
    row = TRANSITIONS[State.OFFLINE]
    assert {fact for fact, state in row.items() if state is not State.OFFLINE} == {Fact.PING, Fact.OWN_PING}


def test_an_upstream_invoker_is_up_after_its_first_successful_test_and_gets_a_second_one():
    """What was recorded of a real controller: test on registering, another when the first succeeds, then none."""
    health = up()
    assert health.state is State.HEALTHY
    assert not health.take_test(1000.0)


def test_one_of_our_own_is_up_by_its_ping_and_never_tested():
    health = Health()
    assert health.pinged(enabled=True, own=True, now=0.0)
    assert health.usable
    for _ in range(20):
        assert not health.ended(ERROR, 1.0)
    assert health.usable
    assert not health.take_test(100.0)


def test_it_is_offline_after_ten_seconds_without_a_ping_or_by_its_goodbye():
    health = up()
    assert not health.passed(PING_PATIENCE - 0.1)
    assert health.passed(PING_PATIENCE)
    assert health.state is State.OFFLINE
    assert not health.ended(GOOD, 11.0)
    assert health.pinged(enabled=True, own=False, now=12.0)
    assert health.state is State.UNHEALTHY
    assert health.pinged(enabled=False, own=False, now=13.0)
    assert health.state is State.OFFLINE


def test_more_than_three_of_the_last_ten_make_it_unusable():
    health = up()
    for _ in range(3):
        health.ended(GOOD, 1.0)
    for _ in range(3):
        assert not health.ended(ERROR, 1.0)
    assert health.ended(ERROR, 1.0)
    assert health.state is State.UNHEALTHY
    for _ in range(6):
        assert not health.ended(GOOD, 2.0)
        assert health.take_test(2.0)
    assert health.ended(GOOD, 2.0)
    assert health.usable


def test_timeouts_make_it_unresponsive_and_system_errors_come_first():
    health = up()
    for _ in range(4):
        health.ended(GOOD, 1.0)
    for _ in range(4):
        health.ended(LATE, 1.0)
    assert health.state is State.UNRESPONSIVE
    for _ in range(4):
        health.ended(ERROR, 1.0)
    assert health.state is State.UNHEALTHY


@pytest.mark.parametrize(("outcome", "state"), [(ERROR, State.UNHEALTHY), (LATE, State.UNRESPONSIVE)])
def test_until_more_than_three_are_known_one_is_enough(outcome, state):
    health = up()
    assert health.ended(outcome, 1.0)
    assert health.state is state


def test_an_unusable_one_is_tested_every_minute():
    health = up()
    health.ended(LATE, 10.0)
    assert health.take_test(10.0)
    assert not health.take_test(10.0 + TEST_EVERY - 1)
    assert health.take_test(10.0 + TEST_EVERY)
