"""Triggers and rules beyond what the recording shows (openwhisk-controller.md 1.6, 1.7)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from store.errors import Conflict
from tests.controller.serving import API, Serving, serving

OTHERS = "/api/v1/namespaces/other"


async def _links(server: Serving, trigger: str = "t") -> Any:
    return (await server.send("GET", f"{API}/triggers/{trigger}")).json.get("rules", {})


async def _prepared(server: Serving, *actions: str) -> None:
    assert (await server.send("PUT", f"{API}/triggers/t", {})).status == 200
    for name in actions or ("a",):
        await server.put_action(name)


async def test_rules_made_at_the_same_time_are_all_known() -> None:
    """Rules of one trigger compete for its document; none is refused for that, none is lost."""
    async with serving() as server:
        await _prepared(server)
        body = {"trigger": "/_/t", "action": "/_/a"}
        answers = await asyncio.gather(*(server.send("PUT", f"{API}/rules/r{n}", body) for n in range(40)))
        assert {answer.status for answer in answers} == {200}
        assert set(await _links(server)) == {f"guest/r{n}" for n in range(40)}
        await asyncio.gather(*(server.send("DELETE", f"{API}/rules/r{n}") for n in range(40)))
        assert await _links(server) == {}


async def test_a_rule_lost_to_another_writer_leaves_the_winners_link() -> None:
    """409 for the loser; the trigger knows what is stored: the winner's action, or nothing if it was deleted."""
    async with serving() as server:
        await _prepared(server, "a", "b")
        assert (await server.send("PUT", f"{API}/rules/r", {"trigger": "/_/t", "action": "/_/a"})).status == 200
        puts = 0

        async def lose_the_rule(operation: str, when: str) -> None:
            nonlocal puts
            if (operation, when) == ("entities.put", "before"):
                puts += 1
                if puts == 2:  # the first is the trigger's
                    raise Conflict("taken")

        server.store.faults.hook = lose_the_rule
        answer = await server.send("PUT", f"{API}/rules/r?overwrite=true", {"action": "/_/b"})
        assert (answer.status, answer.error) == (409, "Concurrent modification to resource detected.")
        assert (await _links(server))["guest/r"]["action"]["name"] == "a"
        puts = 0
        assert (await server.send("PUT", f"{API}/rules/new", {"trigger": "/_/t", "action": "/_/b"})).status == 409
        assert set(await _links(server)) == {"guest/r"}


async def test_a_trigger_that_never_holds_still_is_409() -> None:
    """After several attempts the caller is told."""
    async with serving() as server:
        await _prepared(server)
        server.store.faults.fail_next("entities.put", "before", Conflict("taken"), times=10)
        answer = await server.send("PUT", f"{API}/rules/r", {"trigger": "/_/t", "action": "/_/a"})
        assert (answer.status, answer.error) == (409, "Concurrent modification to resource detected.")


async def test_an_interrupted_creation_can_be_repeated() -> None:
    """The link is there, the rule is not: creating it again ends in one rule and one link."""
    async with serving() as server:
        await _prepared(server)
        body = {"trigger": "/_/t", "action": "/_/a"}
        await server.send("PUT", f"{API}/rules/r", body)
        found = await server.store.entities.get("guest/r")
        assert found is not None
        await server.store.entities.delete("guest/r", found.rev)
        assert (await server.send("GET", f"{API}/rules/r")).status == 404
        answer = await server.send("PUT", f"{API}/rules/r", body)
        assert (answer.status, answer.json["status"]) == (200, "active")
        assert list(await _links(server)) == ["guest/r"]


async def test_all_that_may_not_be_read_is_named() -> None:
    """1.2.2: several resources are joined and sorted."""
    async with serving() as server:
        answer = await server.send("PUT", f"{API}/rules/r", {"trigger": "/other/t", "action": "/other/p/a"})
        assert (answer.status, answer.error.partition(" to access ")[2]) == (403, "'other/p, other/t'.")


async def test_a_rule_may_name_an_action_through_a_binding() -> None:
    """1.7: the binding is resolved for the check, the rule keeps the name as given."""
    async with serving() as server:
        await _prepared(server)
        await server.send("PUT", f"{API}/packages/p", {})
        await server.send("PUT", f"{API}/packages/b", {"binding": {"namespace": "_", "name": "p"}})
        missing = await server.send("PUT", f"{API}/rules/r", {"trigger": "/_/t", "action": "/_/b/a"})
        assert (missing.status, missing.error) == (400, "action /guest/b/a does not exist")
        await server.put_action("p/a")
        answer = await server.send("PUT", f"{API}/rules/r", {"trigger": "/_/t", "action": "/_/b/a"})
        assert (answer.status, answer.json["action"]) == (200, {"path": "guest/b", "name": "a"})


async def test_an_update_needs_what_the_rule_refers_to() -> None:
    """1.7: what the body leaves out stays, but must still be there."""
    async with serving() as server:
        await _prepared(server)
        await server.send("PUT", f"{API}/rules/r", {"trigger": "/_/t", "action": "/_/a"})
        await server.send("DELETE", f"{API}/actions/a")
        answer = await server.send("PUT", f"{API}/rules/r?overwrite=true", {})
        assert (answer.status, answer.error) == (400, "action /guest/a does not exist")


async def test_an_update_of_a_rule_its_trigger_forgot_is_inactive() -> None:
    """1.7: the trigger was made anew in between."""
    async with serving() as server:
        await _prepared(server)
        await server.send("PUT", f"{API}/rules/r", {"trigger": "/_/t", "action": "/_/a"})
        await server.send("DELETE", f"{API}/triggers/t")
        await server.send("PUT", f"{API}/triggers/t", {})
        answer = await server.send("PUT", f"{API}/rules/r?overwrite=true", {})
        assert (answer.status, answer.json["status"]) == (200, "inactive")


@pytest.mark.parametrize("status", [True, None, [1], {"a": 1}, 1.5, "", "active "])
async def test_a_status_that_is_none_is_400(status: object) -> None:
    """In the words of upstream's parser."""
    async with serving() as server:
        answer = await server.send("POST", f"{API}/rules/r", {"status": status})
        assert answer.status == 400
        assert ("of class spray.json.Js" in answer.error) is not isinstance(status, str)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("collection", ["triggers", "rules"])
async def test_foreign_ones_are_403(collection: str, method: str) -> None:
    """2.3: nothing in another namespace, whether it exists or not."""
    async with serving() as server:
        answer = await server.send(
            method, f"{OTHERS}/{collection}/x", None if method in ("GET", "DELETE") else {"status": "active"}
        )
        assert (answer.status, answer.error.partition(" to access ")[2]) == (403, "'other/x'.")
        assert (await server.send("GET", f"{OTHERS}/{collection}")).status == 403


async def test_a_triggers_limits_are_never_read() -> None:
    """1.6: a trigger has none, whatever is sent."""
    async with serving() as server:
        answer = await server.send("PUT", f"{API}/triggers/t", {"limits": {"timeout": "x"}})
        assert (answer.status, answer.json["limits"]) == (200, {})


@pytest.mark.parametrize("feed", ["alarms", "/whisk.system/alarms/alarm", "//a//b/", "_/a"])
async def test_feeds_are_any_path(feed: str) -> None:
    """1.6: what parses as a path; only on creation is it looked at."""
    async with serving() as server:
        body = {"annotations": [{"key": "feed", "value": feed}]}
        assert (await server.send("PUT", f"{API}/triggers/t", body)).status == 200
        wrong = {"annotations": [{"key": "feed", "value": ["no", "path"]}]}
        assert (await server.send("PUT", f"{API}/triggers/t?overwrite=true", wrong)).status == 200
        for bad in ("/", "", 1, None, "a b /c"):
            answer = await server.send("PUT", f"{API}/triggers/u", {"annotations": [{"key": "feed", "value": bad}]})
            assert (answer.status, answer.error) == (400, "Feed name is not valid"), bad
