"""What OpenWhisk answered, replayed against the API with an invoker that runs Python functions in place of the actions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from config.limits import SystemLimits
from messages.wire import ActivationMessage
from tests.controller.serving import serving
from tests.golden_replay import DEVIATIONS, replay, rows

NEEDS_CODE = {
    "invoke": {
        "big-number",
        "init-parameter",
        "init-parameter-object",
        "init-parameter-overridden",
        "environment",
        "environment-api-key",
    },
    "rules": {"fire-without-action", "fire-without-action-record"},
}
"""Exchanges that show what a runtime does or a composer: the replay against a whole node has them."""


def code(arguments: dict[str, Any], message: ActivationMessage) -> Any:
    match message.action.fqn:
        case "guest/hello":
            return {"hello": arguments.get("name") or "you"}
        case "guest/two":
            return {"error": "e"}
        case _:
            return arguments


@pytest.mark.parametrize(
    "group",
    [
        "system",
        "auth",
        "names",
        "namespaces",
        "actions",
        "exec",
        "limits",
        "invoke",
        "activations",
        "packages",
        "bindings",
        "triggers",
        "rules",
    ],
)
async def test_group_is_answered_as_recorded(group: str) -> None:
    """Every exchange of the group is answered as OpenWhisk did, apart from the deviations on purpose."""
    async with serving(code, cors=("*",), limits=SystemLimits(concurrent_invocations=100)) as server:
        skip = NEEDS_CODE.get(group, set())
        good, wrong = await asyncio.to_thread(replay, "127.0.0.1", server.port, group, skip, 1.0)
    expected = {name.partition("/")[2] for name in DEVIATIONS if name.partition("/")[0] == group}
    unexpected = {name: text for name, text in wrong.items() if name not in expected}
    assert not unexpected, "\n".join(f"{group}/{name}: {text}" for name, text in unexpected.items())
    assert set(wrong) == expected, "a deviation that is none any more"
    assert good == len(list(rows(group))) - len(expected) - len(skip)
