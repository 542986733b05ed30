"""What goes into one document."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from messages.events import Recorded
from store.journal_queue import Item, Queue


def item(size: int, lazy: bool) -> Item:
    return Item(Recorded("a", 1), b"x" * size, None, lazy)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 120), st.booleans()), max_size=40), st.integers(1, 8), st.integers(1, 100))
def test_everything_leaves_in_order_within_the_limits(sizes: list[tuple[int, bool]], events: int, size: int) -> None:
    """Each take has at least one item, is within both limits unless it is a single large one, and no larger one was possible."""
    queue = Queue(events, size)
    items = [item(*each) for each in sizes]
    for each in items:
        queue.add(each)
    taken: list[Item] = []
    while queue:
        assert queue.urgent == sum(not each.lazy for each in items[len(taken) :])
        batch = queue.take()
        total = sum(len(each.text) for each in batch)
        assert len(batch) == 1 or (len(batch) <= events and total <= size)
        taken += batch
        if queue and len(batch) < events:
            assert total + len(items[len(taken)].text) > size
    assert [id(each) for each in taken] == [id(each) for each in items]
    assert queue.urgent == 0


def test_what_is_put_back_comes_first() -> None:
    """In its order, and counts as before."""
    queue = Queue(10, 100)
    first, second, third = item(1, False), item(2, True), item(3, False)
    for each in (first, second, third):
        queue.add(each)
    queue.put_back(queue.take()[1:])
    assert [len(each.text) for each in queue.take()] == [2, 3]
    assert queue.urgent == 0


def test_what_is_dropped_counts_no_more() -> None:
    """Nor does anything after clear."""
    queue = Queue(10, 100)
    queue.add(Item(Recorded("a", 1), b"x"))
    queue.add(Item(Recorded("b", 1), b"x"))
    queue.drop(lambda event: getattr(event, "id", "") == "a")
    assert (len(queue), queue.urgent) == (1, 1)
    queue.clear()
    assert (len(queue), queue.urgent) == (0, 0)
