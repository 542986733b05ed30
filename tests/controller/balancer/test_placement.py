"""Upstream's placement: its published numbers, and what holds for every pool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.balancer.placement import action_hash, blackbox, java_hash, managed, probes, steps


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("a", 97), ("guest", 98708952), ("guest/hello", 86723035), ("polygenelubricants", -(2**31)), ("\U0001f600", 1772899)],
)
def test_the_hash_of_a_text_is_javas(text, expected):
    """Signed 32 bits over UTF-16 code units: the last one is a surrogate pair, the one before it Java's famous minimum."""
    assert java_hash(text) == expected


@pytest.mark.parametrize(
    ("namespace", "fqn", "hashed", "home", "step"),
    [("guest", "guest/hello", 13198339, 9, 3), ("guest", "whisk.system/utils/echo", 1997953949, 9, 7)],
)
def test_home_and_step_in_a_pool_of_ten(namespace, fqn, hashed, home, step):
    """The check values of the reference."""
    assert action_hash(namespace, fqn) == hashed
    first, second, *_ = probes(hashed, 10)
    assert first == home
    assert (second - first) % 10 == step


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, (1,)),
        (2, (1,)),
        (3, (1, 2)),
        (4, (1, 3)),
        (5, (1, 2, 3)),
        (6, (1, 5)),
        (7, (1, 2, 3, 5)),
        (8, (1, 3, 5, 7)),
        (9, (1, 2, 5, 7)),
        (10, (1, 3, 7)),
        (12, (1, 5, 7, 11)),
        (16, (1, 3, 5, 7, 11, 13)),
    ],
)
def test_the_steps_of_a_pool(size, expected):
    """Upstream's table."""
    assert steps(size) == expected


@given(st.integers(1, 200), st.integers(0, 2**31))
def test_every_invoker_of_a_pool_is_asked_before_any_is_asked_again(size, hashed):
    """A stride coprime with the size visits all; two more probes follow, as upstream's count has it."""
    order = list(probes(hashed, size))
    assert len(order) == size + 2
    assert sorted(order[:size]) == list(range(size))
    assert order[0] == hashed % size


@given(st.text(), st.text())
def test_the_home_hash_is_never_negative(namespace, fqn):
    assert 0 <= action_hash(namespace, fqn) <= 2**31


def test_an_empty_pool_asks_nobody():
    assert list(probes(7, 0)) == []


@pytest.mark.parametrize(
    ("size", "first", "last"),
    [(1, range(1), range(1)), (2, range(2), range(1, 2)), (10, range(9), range(9, 10)), (20, range(18), range(18, 20))],
)
def test_the_pools_of_managed_and_blackbox_actions(size, first, last):
    """Upstream's table at its default fractions."""
    assert managed(size, 0.9) == first
    assert blackbox(size, 0.9, 0.1) == last


@given(st.integers(1, 300), st.floats(0, 1), st.floats(0, 1))
def test_pools_lie_inside_and_are_never_empty(size, managed_fraction, fraction):
    """Managed ones from the front, blackbox ones from the back."""
    first, last = managed(size, managed_fraction), blackbox(size, managed_fraction, fraction)
    assert 1 <= len(first) <= size
    assert 1 <= len(last) <= size
    assert first[0] == 0
    assert last[-1] == size - 1
