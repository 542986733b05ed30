"""Containers: every state against every event, and the sums."""

from __future__ import annotations

import pytest

from actors.pool_state import MOVES, Alarm, Containers, IllegalMove, Shape, State, UnknownContainer

SHAPE = Shape("python:3", "", 128, False)
WAYS = {
    State.STARTING: [],
    State.EMPTY: ["up"],
    State.BUSY: ["up", "assign"],
    State.IDLE: ["up", "assign", "free"],
    State.REMOVING: ["remove"],
}
EVENTS = sorted({event for moves in MOVES.values() for event in moves})


def in_state(state):
    containers = Containers()
    container = containers.create(SHAPE, 1, None, 0.0)
    for event in WAYS[state]:
        containers.move(container, event)
    assert container.state is state
    return containers, container


def sums(containers):
    return containers.used, containers.evictable, containers.removing, containers.starting


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", EVENTS)
def test_every_state_and_event(state, event):
    """What the table has happens and keeps the sums; what it doesn't have is refused and changes nothing."""
    containers, container = in_state(state)
    before = sums(containers)
    if event in MOVES[state]:
        containers.move(container, event)
        assert container.state is MOVES[state][event]
    else:
        with pytest.raises(IllegalMove, match=f"container 1 is {state.value}: no '{event}' there"):
            containers.move(container, event)
        assert sums(containers) == before
    now = container.state
    assert sums(containers) == (
        128,
        128 if now in {State.IDLE, State.EMPTY} else 0,
        128 if now is State.REMOVING else 0,
        1 if now is State.STARTING else 0,
    )
    assert [containers.count(one) for one in State] == [one is now for one in State]
    assert containers.memory(now) == 128


@pytest.mark.parametrize("state", list(State))
def test_forgetting_leaves_nothing(state):
    """Gone from any state, a container leaves all sums and lists at nothing, runs included."""
    containers, container = in_state(state)
    container.active.add("j")
    containers.active += 1
    containers.forget(container)
    assert (sums(containers), containers.active) == ((0, 0, 0, 0), 0)
    assert not containers.all
    assert not containers.idle
    assert not containers.empty
    with pytest.raises(UnknownContainer):
        containers.get(1)


def test_numbers_are_never_given_twice():
    """Numbers go on from those of the process before, and after containers are gone."""
    containers = Containers(41)
    first = containers.create(SHAPE, 1, None, 0.0)
    containers.forget(first)
    assert (first.cid, containers.create(SHAPE, 1, None, 0.0).cid) == (42, 43)


def test_the_earliest_alarm_counts():
    """Later ones don't move it."""
    alarm = Alarm()
    alarm.by(5.0)
    alarm.by(7.0)
    assert alarm.at == 5.0
