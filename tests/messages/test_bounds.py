"""Limits against bounds: the texts that people see."""

import pytest

from messages.bounds import beyond_namespace, out_of_bounds
from messages.wire import Limits, UserLimits


@pytest.mark.parametrize(
    ("limits", "user", "text"),
    [
        ({"timeout": 9}, {"max_action_timeout": 8}, "duration 9 milliseconds exceeds allowed threshold of 8 milliseconds"),
        ({"timeout": 10}, {"min_action_timeout": 100}, "duration 10 milliseconds below allowed threshold of 100 milliseconds"),
        ({"memory": 1024}, {"max_action_memory": 512}, "memory size 1024 MB exceeds allowed threshold of 512 MB"),
        ({"concurrency": 5}, {"max_action_concurrency": 1}, "concurrency 5 exceeds allowed threshold of 1"),
        ({"logs": 0}, {"min_action_logs": 1}, "log size 0 MB below allowed threshold of 1 MB"),
        (
            {"timeout": 600000, "memory": 1024}, {"max_action_timeout": 1, "max_action_memory": 1},
            "duration 600000 milliseconds exceeds allowed threshold of 1 milliseconds",
        ),
    ],
)  # fmt: skip
def test_what_a_namespace_no_longer_allows(limits, user, text):
    """In an invoker's words and order."""
    assert beyond_namespace(Limits(**limits), UserLimits(**user)) == f"requirement failed: {text}"


def test_bounds_belong_to_what_is_allowed():
    """The bound itself is within; no bound is none."""
    user = UserLimits(min_action_memory=256, max_action_memory=256, max_action_timeout=60_000)
    assert beyond_namespace(Limits(), user) is None
    assert beyond_namespace(Limits(memory=10**6), UserLimits()) is None
    assert out_of_bounds("memory size", 5, " MB", None, None) is None
