"""`Idempotency-Key`: which requests are the same. A node that crashes: tests/system/test_idempotency.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controller.serving import API, Answer, Serving, serving


async def send(server: Serving, key: str, body: Any = None, name: str = "a", auth: str = "guest", query: str = "") -> Answer:
    return await server.send("POST", f"{API}/actions/{name}{query}", body or {}, auth=auth, headers={"Idempotency-Key": key})


async def test_a_repetition_is_answered_from_the_record() -> None:
    async with serving(lambda arguments, message: {"n": len(arguments), "id": message.activation_id}) as server:
        await server.put_action("a")
        first = await send(server, "k", {"x": 1}, query="?blocking=true")
        again = await send(server, "k", {"x": 1}, query="?blocking=true")
        assert (again.status, again.json) == (200, first.json)
        assert again.headers["x-openwhisk-activation-id"] == first.headers["x-openwhisk-activation-id"]
        later = await send(server, "k", {"x": 1})
        assert (later.status, later.json) == (202, {"activationId": first.json["activationId"]})
        assert (await send(server, "k", {"x": 1}, query="?blocking=true&result=true")).json["n"] == 1
        assert len(server.invoker.seen) == 1


async def test_what_makes_another_activation() -> None:
    """Another key, action or namespace; and no key at all."""
    async with serving() as server:
        for name in ("a", "b"):
            await server.put_action(name)
        await server.send("PUT", f"{API}/actions/a", {"exec": {"kind": "nodejs:20", "code": ""}}, auth="other")
        given = [await send(server, "k"), await send(server, "l"), await send(server, "k", name="b")]
        given.append(await send(server, "k", auth="other"))
        given += [await server.send("POST", f"{API}/actions/a", {}) for _ in range(2)]
        assert [one.status for one in given] == [202] * 6
        assert len({one.json["activationId"] for one in given}) == 6


async def test_another_body_under_the_same_key_is_refused() -> None:
    async with serving() as server:
        await server.put_action("a")
        await send(server, "k", {"x": 1})
        for query in ("", "?blocking=true"):
            refused = await send(server, "k", {"x": 2}, query=query)
            assert (refused.status, refused.error) == (422, "The Idempotency-Key was used for an invocation with another body.")
        assert len(server.invoker.seen) == 1


async def test_what_was_sent_elsewhere_is_not_sent_again() -> None:
    async with serving() as server:
        await server.put_action("a")
        server.invoker.hold = True
        server.invoker.state = "sent"
        assert (await send(server, "k")).status == 202
        busy = await send(server, "k")
        assert (busy.status, busy.error) == (409, "The invocation with this Idempotency-Key is still under way.")
        await server.invoker.finish(server.invoker.invocations[0])
        assert (await send(server, "k")).status == 202
        assert len(server.invoker.seen) == 1


@pytest.mark.parametrize("key", ["", "é", "a\tb", "x" * 257])
async def test_keys_that_are_none(key: str) -> None:
    async with serving() as server:
        await server.put_action("a")
        refused = await send(server, key)
        assert (refused.status, refused.error) == (400, "The Idempotency-Key must be 1 to 256 printable characters.")
