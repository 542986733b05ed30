"""Rules and triggers changed by several at the same time, at every interleaving that a seed gives."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.controller.serving import API, Serving, serving

RULES, TRIGGERS, ACTIONS = ("r", "s"), ("t", "u"), ("a", "b")


def _requests() -> st.SearchStrategy[tuple[str, str, Any]]:
    def body(trigger: str, action: str) -> dict[str, str]:
        return {"trigger": f"/_/{trigger}", "action": f"/_/{action}"}

    put = st.builds(
        lambda rule, trigger, action: ("PUT", f"rules/{rule}?overwrite=true", body(trigger, action)),
        st.sampled_from(RULES), st.sampled_from(TRIGGERS), st.sampled_from(ACTIONS),
    )  # fmt: skip
    status = st.builds(
        lambda rule, status: ("POST", f"rules/{rule}", {"status": status}),
        st.sampled_from(RULES),
        st.sampled_from(("active", "inactive")),
    )
    delete = st.builds(lambda name: ("DELETE", f"rules/{name}", None), st.sampled_from(RULES))
    trigger = st.builds(lambda name: ("PUT", f"triggers/{name}?overwrite=true", {}), st.sampled_from(TRIGGERS))
    return put | put | status | delete | trigger


async def _check(server: Serving) -> None:
    """Every link belongs to a rule that is stored, names that trigger, and has that action; a rule shows its link's status."""
    rules = {row["name"]: row for row in (await server.send("GET", f"{API}/rules")).json}
    for trigger in TRIGGERS:
        links = (await server.send("GET", f"{API}/triggers/{trigger}")).json.get("rules", {})
        for key, link in links.items():
            rule = rules.get(key.partition("/")[2])
            assert rule is not None, f"{trigger} would fire {key}, which is gone"
            assert rule["trigger"]["name"] == trigger, f"{trigger} would fire {key}, which is another trigger's"
            assert rule["action"] == link["action"]


@settings(max_examples=20)
@given(st.lists(_requests(), min_size=4, max_size=12), st.lists(_requests(), min_size=4, max_size=12), st.integers(0, 2**32))
async def test_no_interleaving_leaves_a_link_that_lies(first: list[Any], second: list[Any], seed: int) -> None:
    """Two rounds of requests, each all at once; nobody is told that somebody else was faster."""
    dice = random.Random(seed)

    async def yield_sometimes(operation: str, when: str) -> None:
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)

    async with serving() as server:
        for name in ACTIONS:
            await server.put_action(name)
        for name in TRIGGERS:
            await server.send("PUT", f"{API}/triggers/{name}", {})
        server.store.faults.hook = yield_sometimes
        for group in (first, second):
            answers = await asyncio.gather(*(server.send(method, f"{API}/{path}", body) for method, path, body in group))
            assert {answer.status for answer in answers} <= {200, 404}, [answer.body for answer in answers]
            await _check(server)


@pytest.mark.parametrize("slow", ["the mover", "the one who disables"])
async def test_a_rule_that_moves_while_it_is_disabled(slow: str) -> None:
    """The trigger that it left must not fire it, whoever comes first."""
    async with serving() as server:
        await server.put_action("a")
        for name in TRIGGERS:
            await server.send("PUT", f"{API}/triggers/{name}", {})
        await server.send("PUT", f"{API}/rules/r", {"trigger": "/_/t", "action": "/_/a"})
        move = server.send("PUT", f"{API}/rules/r?overwrite=true", {"trigger": "/_/u"})
        disable = server.send("POST", f"{API}/rules/r", {"status": "inactive"})
        order = (disable, move) if slow == "the mover" else (move, disable)
        assert [answer.status for answer in await asyncio.gather(*order)] == [200, 200]
        await _check(server)
