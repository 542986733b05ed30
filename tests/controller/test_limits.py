from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from config.limits import Bounds, SystemLimits
from controller.errors import ApiError
from controller.limits import LimitsPut, effective, namespace_limits, read_limits, standard
from messages.wire import Identity, Namespace, UserLimits
from tests.controller.serving import API, serving


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


@pytest.mark.parametrize(
    ("text", "size"),
    [("100 B", 100), ("1 KB", 1024), ("1kb", 1024), ("5 MB", 1 << 20), ("0 B", 0), ("much", 1 << 20), (None, 1 << 20)],
)
def test_sizes_of_a_namespace(text: str | None, size: int) -> None:
    """5.2: smaller than the system's or not at all; what can't be read says nothing."""
    found = effective(identity(max_parameter_size=text, max_payload_size=text), SystemLimits())
    assert (found.parameters, found.payload) == (size, size)
    shown = namespace_limits(identity(max_parameter_size=text), SystemLimits())
    assert shown["maxParameterSize"] == f"{size} B"


async def test_a_namespaces_sizes_are_kept_to() -> None:
    """413 with the namespace's own number: parameters of any entity, payload of invocations and fires."""
    async with serving() as server:
        await server.store.subjects.put("guest/limits", b'{"maxParameterSize":"10 B","maxPayloadSize":"20 B"}', None)
        long = {"parameters": [{"key": "abc", "value": "0123456789"}]}
        for collection in ("packages", "triggers"):
            answer = await server.send("PUT", f"{API}/{collection}/x", long)
            assert (answer.status, answer.error) == (413, "parameters larger than allowed: 15 > 10 bytes.")
        await server.put_action("a")
        await server.send("PUT", f"{API}/triggers/t", {})
        for path in ("actions/a", "triggers/t"):
            answer = await server.send("POST", f"{API}/{path}", {"long": "0123456789"})
            assert (answer.status, answer.error) == (413, "Request larger than allowed: 22 > 20 bytes.")
            assert (await server.send("POST", f"{API}/{path}", {"a": "b"})).status in (202, 204)


async def test_limits_that_cannot_be_read_are_none() -> None:
    """2.2: a document that fails to parse is ignored, and the namespace can still come in."""
    async with serving() as server:
        await server.store.subjects.put("guest/limits", b'{"maxActionMemory":"a lot"}', None)
        found = (await server.send("GET", f"{API}/limits")).json
        assert found["maxActionMemory"] == SystemLimits().memory.max
