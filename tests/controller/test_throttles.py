"""Throttles: upstream's windows, order and texts (openwhisk-controller.md 5.1). Recorded ones: tests/system/test_golden_rest.py."""

from __future__ import annotations

import json

import pytest

from config.limits import SystemLimits
from controller import limits
from controller.errors import ApiError
from controller.throttles import RateWindow, Throttles, share
from messages.wire import Identity, Namespace, UserLimits
from tests.controller.serving import API, serving

RATE = "Too many requests in the last minute (count: {}, allowed: {})."


class Clock:
    def __init__(self) -> None:
        self.now = 59_999

    def __call__(self) -> int:
        return self.now


def identity(name: str = "guest", **own: int) -> Identity:
    return Identity(name, Namespace(name, f"uuid-of-{name}"), limits=UserLimits(**own))


def throttles(clock: Clock, running: int = 0, controllers: int = 1, **system: int) -> Throttles:
    all_limits = SystemLimits(**system)
    return Throttles(lambda who: limits.effective(who, all_limits), clock, lambda namespace: running, lambda: controllers)


def text(call: object, who: Identity) -> str:
    with pytest.raises(ApiError) as caught:
        call(who)  # type: ignore[operator]
    assert caught.value.status == 429
    return caught.value.text


def test_a_window_is_a_minute_of_the_clock() -> None:
    clock = Clock()
    window = RateWindow(clock)
    assert [window.count("a"), window.count("a"), window.count("b")] == [1, 2, 1]
    clock.now += 1
    assert window.count("a") == 1


def test_refused_requests_count_on_and_the_next_minute_is_new() -> None:
    clock = Clock()
    limited = throttles(clock, invocations_per_minute=1)
    limited.invocation(identity())
    assert [text(limited.invocation, identity()) for _ in range(2)] == [RATE.format(2, 1), RATE.format(3, 1)]
    limited.invocation(identity("other"))
    limited.fire(identity())
    clock.now += 1
    limited.invocation(identity())


def test_a_namespaces_own_limits_replace_the_systems() -> None:
    limited = throttles(Clock(), invocations_per_minute=1, fires_per_minute=1, concurrent_invocations=1, running=2)
    limited.invocation(identity(invocations_per_minute=5, concurrent_invocations=3))
    assert text(limited.invocation, identity("b", invocations_per_minute=5)) == (
        "Too many concurrent requests in flight (count: 2, allowed: 1)."
    )
    assert text(limited.fire, identity(fires_per_minute=0)) == RATE.format(1, 0)


def test_the_rate_is_checked_before_concurrency() -> None:
    limited = throttles(Clock(), invocations_per_minute=0, concurrent_invocations=0)
    assert text(limited.invocation, identity()) == RATE.format(1, 0)


@pytest.mark.parametrize(
    ("limit", "controllers", "expected"), [(60, 1, 60), (60, 2, 36), (60, 3, 24), (3, 2, 2), (1, 5, 1), (0, 2, 0), (30, 7, 5)]
)
def test_shares_of_several_controllers(limit: int, controllers: int, expected: int) -> None:
    """max(1, floor(ceil(limit * 1.2) / controllers)); 0 stays 0."""
    assert share(limit, controllers) == expected
    limited = throttles(Clock(), controllers=controllers, invocations_per_minute=limit)
    for _ in range(expected):
        limited.invocation(identity())
    assert text(limited.invocation, identity()) == RATE.format(expected + 1, expected)


async def test_a_limits_document_counts_without_any_setting() -> None:
    """openwhisk-controller.md 2.2: `<namespace>/limits` in the database of subjects."""
    async with serving() as server:
        await server.store.subjects.put("guest/limits", json.dumps({"invocationsPerMinute": 1}).encode(), None)
        await server.put_action("a")
        assert (await server.send("POST", f"{API}/actions/a", {})).status == 202
        refused = await server.send("POST", f"{API}/actions/a", {})
        assert (refused.status, refused.error) == (429, RATE.format(2, 1))
        assert (await server.send("GET", f"{API}/limits")).json["invocationsPerMinute"] == 1
        assert len(server.invoker.seen) == 1


async def test_the_owner_of_a_web_action_pays_for_it() -> None:
    """openwhisk-controller.md 4.8, 4: a preflight request costs too."""
    async with serving(limits=SystemLimits(invocations_per_minute=1)) as server:
        await server.put_action("w", annotations=[{"key": "web-export", "value": True}])
        assert (await server.send("OPTIONS", "/api/v1/web/guest/default/w", auth=None)).status == 200
        refused = await server.send("GET", "/api/v1/web/guest/default/w.json", auth="other")
        assert (refused.status, refused.error) == (429, RATE.format(2, 1))
        assert (await server.send("POST", f"{API}/actions/a", {}, auth="other")).status == 404


async def test_concurrency_counts_until_the_end() -> None:
    async with serving(limits=SystemLimits(concurrent_invocations=1)) as server:
        await server.put_action("a")
        server.invoker.hold = True
        assert (await server.send("POST", f"{API}/actions/a", {})).status == 202
        refused = await server.send("POST", f"{API}/actions/a", {})
        assert (refused.status, refused.error) == (429, "Too many concurrent requests in flight (count: 1, allowed: 1).")
        await server.invoker.finish(server.invoker.invocations[0])
        assert (await server.send("POST", f"{API}/actions/a", {})).status == 202
