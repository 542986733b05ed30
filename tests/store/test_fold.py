"""What a journal adds up to, wherever snapshots fall."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from messages.errors import IllegalTransition
from messages.events import Accepted, AnyEvent, Claimed, LiveEntry, Snapshot
from store.fold import Fold, named
from tests.contract.journal_tools import accepted, finished, life, started

Documents = list[list[AnyEvent]]


@st.composite
def documents(draw: st.DrawFn) -> Documents:
    """Lives of a few activations, interleaved, cut into documents, with claims between."""
    lives = [life(f"a{i}") for i in range(draw(st.integers(1, 4)))]
    for i, each in enumerate(lives):
        extra = draw(st.integers(0, 3))
        each[1:2] = [started(f"a{i}", 1 + k, alone=draw(st.booleans())) for k in range(extra)]
    queue = [list(each) for each in lives]
    written: Documents = []
    for _ in range(draw(st.integers(0, 20))):
        if draw(st.integers(0, 5)) == 0:
            written.append([Claimed(1, draw(st.booleans()))])
            continue
        document: list[AnyEvent] = []
        for _ in range(draw(st.integers(1, 4))):
            waiting = [each for each in queue if each]
            if waiting:
                document.append(draw(st.sampled_from(waiting)).pop(0))
        if document:
            written.append(document)
    return written


def fold(written: Documents, start: int = 1, state: Fold | None = None) -> Fold:
    state = state or Fold()
    for n, events in enumerate(written[start - 1 :], start):
        for event in events:
            state.apply(n, event)
    return state


@settings(max_examples=150, deadline=None)
@given(documents(), st.data())
def test_snapshot_and_rest_equal_everything(written: Documents, data: st.DataObject) -> None:
    """Wherever snapshots are put, the last of them, what it names and what follows make the same state."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(written)), max_size=3)))
    for shift, cut in enumerate(cuts):
        place = cut + shift
        written[place:place] = [[fold(written[:place]).snapshot(7)]]
    everything = fold(written)
    last = max((n for n, events in enumerate(written, 1) if isinstance(events[0], Snapshot)), default=0)
    if not last:
        return
    snapshot = written[last - 1][0]
    assert isinstance(snapshot, Snapshot)
    state = Fold()
    for n, ids in named(snapshot).items():
        assert n < last
        state.recall(n, written[n - 1], ids)
    state.resume(snapshot)
    assert fold(written, last + 1, state) == everything


def test_offsets_go_on_after_the_highest() -> None:
    """Per topic, whatever order they came in; they outlive their activations through a snapshot."""
    state = Fold()
    for offset in (5, 9, 7):
        state.apply(1, Accepted(f"a{offset}", Raw(b"{}"), 1, topic="invoker0", offset=offset))
    state.apply(1, Accepted("b", Raw(b"{}"), 1, topic="invoker0-old", offset=0))
    assert state.next_offsets == {"invoker0": 10, "invoker0-old": 1}
    again = Fold()
    again.resume(Snapshot(1, [], state.snapshot(1).next_offsets))
    assert again.next_offsets == state.next_offsets
    assert again != state


def test_a_start_that_only_the_note_knew_counts() -> None:
    """The second attempt's `started` tells of a first one that never reached the journal."""
    state = Fold()
    for n, event in enumerate([accepted("a"), Claimed(1), started("a", 2), Claimed(1)], 1):
        state.apply(n, event)
    assert (state.live["a"].starts, state.live["a"].counted) == (2, 2)


def test_illegal_steps_are_raised() -> None:
    """By the lifecycle's table."""
    state = Fold()
    with pytest.raises(IllegalTransition):
        state.apply(1, finished("a"))
    state.apply(1, accepted("a"))
    with pytest.raises(IllegalTransition):
        state.apply(2, accepted("a"))


def test_a_snapshot_that_names_too_little_is_noticed() -> None:
    """An id without its events can't be resumed."""
    with pytest.raises(KeyError, match="ghost"):
        Fold().resume(Snapshot(1, [LiveEntry("ghost", [3])]))


def test_the_state_is_in_the_repr() -> None:
    """How many live, and where the topics go on."""
    state = Fold()
    state.apply(1, accepted("a"))
    assert repr(state) == "<Fold live=1 next_offsets={}>"
