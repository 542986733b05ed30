"""The rule for making another container, and what it rests on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.pool_cost import LAST_DELAY, REMEMBERED, UNKNOWN_CREATE, Average, BackOff, Estimates, worth_it

IMAGE = ("python:3", "")
TIMES = st.floats(0.001, 100)


@pytest.mark.parametrize(
    ("waiting", "servers", "run", "cost", "worth"),
    [
        (1, 0, 0.001, 10.0, True),  # nobody serves it
        (1, 1, None, 10.0, True),  # nothing is known
        (10, 1, 0.005, 0.3, False),  # 50 ms of waiting are less than a cold start
        (100, 1, 0.005, 0.3, True),
        (100, 2, 0.005, 0.3, False),
        (1, 1, 1.0, 10.0, False),  # user-pain 8: free after 1 s, cold start 10 s
        (60, 1, 0.005, 0.3, False),  # a tie is not worth it
    ],
)
def test_worth_it(waiting, servers, run, cost, worth):
    """The rule, case by case."""
    assert worth_it(waiting, servers, run, cost) is worth


@given(waiting=st.integers(1, 500), servers=st.integers(1, 50), run=TIMES, cost=TIMES)
def test_more_waiting_never_makes_it_less_worth(waiting, servers, run, cost):
    """Longer queues and longer runs speak for a container; more servers and a dearer start against."""
    if worth_it(waiting, servers, run, cost):
        assert worth_it(waiting + 1, servers, run, cost)
        assert worth_it(waiting, servers, run * 2, cost)
    else:
        assert not worth_it(waiting, servers + 1, run, cost)
        assert not worth_it(waiting, servers, run, cost * 2)


@given(st.lists(TIMES, min_size=1, max_size=50))
def test_averages_stay_within_what_was_measured(times):
    """An average lies between the smallest and the largest measurement."""
    average = Average()
    for seconds in times:
        average.learn("k", seconds)
    assert min(times) - 1e-9 <= average.get("k") <= max(times) + 1e-9


def test_averages_follow_a_change():
    """After a dozen measurements of a new level the old one hardly counts."""
    average = Average()
    for seconds in [10.0] * 5 + [1.0] * 12:
        average.learn("k", seconds)
    assert average.get("k") < 1.3


def test_averages_are_bounded():
    """The key measured longest ago is forgotten first; a negative time counts as none."""
    average = Average()
    average.learn("old", 1.0)
    for n in range(REMEMBERED - 1):
        average.learn(n, -1.0)
    average.learn("old", 1.0)
    average.learn("new", 1.0)
    assert (average.get("old"), average.get("new"), average.get(0), average.get(1)) == (1.0, 1.0, None, 0.0)


def test_cold_start_is_creation_and_init():
    """Until something was measured a creation counts as UNKNOWN_CREATE and an init as nothing."""
    estimates, action = Estimates(), ("ann/hello", "1-a")
    assert estimates.cold(action, IMAGE) == UNKNOWN_CREATE
    estimates.creations.learn(IMAGE, 0.25)
    estimates.inits.learn(action, 0.05)
    assert estimates.cold(action, IMAGE) == pytest.approx(0.3)


def test_back_off_doubles_and_is_cleared():
    """0.1 s, doubling to the last delay; failures that come while it waits count once; a success clears it."""
    back_off, now, delays = BackOff(), 5.0, []
    assert back_off.until(IMAGE) == 0.0
    for _ in range(9):
        back_off.failed(IMAGE)
        back_off.failed(IMAGE)
        back_off.settle(now)
        back_off.failed(IMAGE)
        back_off.settle(now + 0.01)
        delays.append(round(back_off.until(IMAGE) - now, 6))
        now = back_off.until(IMAGE)
    assert delays[:3] == [0.1, 0.2, 0.4]
    assert delays[-1] == LAST_DELAY
    assert back_off.until(("nodejs:20", "")) == 0.0
    back_off.succeeded(IMAGE)
    assert back_off.until(IMAGE) == 0.0
