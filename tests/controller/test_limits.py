from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from config.limits import Bounds, SystemLimits
from controller.errors import ApiError
from controller.limits import LimitsPut, effective, namespace_limits, read_limits, standard
from messages.wire import Identity, Namespace, UserLimits


def identity(**limits: object) -> Identity:
    return Identity("s", Namespace("guest", "u"), limits=UserLimits(**limits))  # type: ignore[arg-type]


@given(
    st.dictionaries(
        st.sampled_from(["timeout", "memory", "logs", "concurrency", "instances", "x"]),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    )
)
def test_any_limits_are_read_or_refused_and_then_checked(given_: dict[str, object]) -> None:
    """What passes both steps lies within the bounds."""
    system = SystemLimits()
    found = effective(identity(), system)
    try:
        put = read_limits(given_)
        found.check(put)
    except (ValidationError, ApiError):
        return
    over = put.over(standard(system))
    assert found.timeout.min <= over.timeout <= found.timeout.max
    assert found.memory.min <= over.memory <= found.memory.max
    assert found.logs.min <= over.logs <= found.logs.max
    assert over.concurrency == 1


def test_a_namespace_narrows_but_never_widens() -> None:
    """Its own bounds count within the system's."""
    found = effective(identity(max_action_memory=256, min_action_timeout=1, max_action_timeout=10**9), SystemLimits())
    assert (found.memory.max, found.timeout.min, found.timeout.max) == (256, 100, 300_000)
    with pytest.raises(ApiError, match="memory size 512 MB exceeds allowed threshold of 256 MB"):
        found.check(LimitsPut(memory=512))


def test_instances_follow_the_namespace() -> None:
    """Never more than it may run at once, never below 0."""
    found = effective(identity(concurrent_invocations=5), SystemLimits())
    found.check(LimitsPut(instances=5))
    for wrong in (6, -1):
        with pytest.raises(ApiError):
            found.check(LimitsPut(instances=wrong))


def test_concurrency_follows_the_settings() -> None:
    """`--max-concurrency` is the upper bound."""
    effective(identity(), SystemLimits(concurrency=Bounds(1, 1, 200))).check(LimitsPut(concurrency=200))


def test_optional_limits_are_shown_only_if_set() -> None:
    """What a namespace has of its own beside the numbers that all have."""
    plain = namespace_limits(identity(), SystemLimits())
    own = namespace_limits(identity(allowed_kinds=["python:3"], store_activations=False, fires_per_minute=0), SystemLimits())
    assert own.keys() - plain.keys() == {"allowedKinds", "storeActivations"}
    assert (own["firesPerMinute"], plain["firesPerMinute"]) == (0, 2147483647)
