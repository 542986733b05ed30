from __future__ import annotations

from store.errors import Conflict, StoreRefused
from tests.controller.serving import API, serving


async def test_a_lost_race_is_409() -> None:
    """Somebody else wrote between reading and writing."""
    async with serving() as server:
        await server.put_action("a")
        for operation, method, path in (("put", "PUT", "actions/a?overwrite=true"), ("delete", "DELETE", "actions/a")):
            server.store.faults.fail_next(f"entities.{operation}", "before", Conflict("taken"))
            answer = await server.send(method, f"{API}/{path}", {} if method == "PUT" else None)
            assert (answer.status, answer.error) == (409, "Concurrent modification to resource detected.")


async def test_what_the_store_never_takes_is_413() -> None:
    """With the store's reason."""
    async with serving() as server:
        server.store.faults.fail_next("entities.put", "before", StoreRefused("guest/p is too large for this store"))
        answer = await server.send("PUT", f"{API}/packages/p", {})
        assert (answer.status, answer.error) == (413, "guest/p is too large for this store")


async def test_lists_keep_the_order_of_changes() -> None:
    """Newest first, even if the clock stands still."""
    async with serving(wall_ms=lambda: 1_700_000_000_000) as server:
        for name in ("b", "a", "c"):
            await server.put_action(name)
        await server.put_action("a")
        found = (await server.send("GET", f"{API}/actions")).json
        assert [row["name"] for row in found] == ["a", "c", "b"]


async def test_long_lists_are_whole() -> None:
    """However many parts the store is asked for: every limit and skip gives the same rows."""
    async with serving() as server:
        names = [f"a{n}" for n in range(45)]
        await server.send("PUT", f"{API}/packages/p", {})
        for name in names:
            await server.put_action(f"p/{name}")
        newest = names[::-1]
        for limit, skip in ((0, 0), (20, 0), (21, 0), (40, 1), (200, 44), (1, 44), (5, 45)):
            found = (await server.send("GET", f"{API}/actions/p/?limit={limit}&skip={skip}")).json
            assert [row["name"] for row in found] == newest[skip : skip + (limit or 200)]
        assert len((await server.send("GET", f"{API}/packages/p")).json["actions"]) == 45
        assert (await server.send("DELETE", f"{API}/packages/p?force=true")).status == 200
        assert (await server.send("GET", f"{API}/actions?count=true")).json == {"actions": 0}


async def test_deep_parameters_come_back() -> None:
    """The deepest value that is taken can be stored, read, listed, and is an argument."""
    async with serving() as server:
        deep = b"[" * 490 + b"]" * 490
        body = b'{"exec":{"kind":"nodejs:20","code":"x"},"parameters":[{"key":"d","value":' + deep + b"}]}"
        assert (await server.send("PUT", f"{API}/actions/a", body)).status == 200
        for query in ("", "?code=false"):
            assert deep in (await server.send("GET", f"{API}/actions/a{query}")).body
        assert (await server.send("GET", f"{API}/actions")).status == 200
        assert (await server.send("POST", f"{API}/actions/a", {"x": 1})).status == 202
        assert deep in bytes(server.invoker.seen[0][0].content)


async def test_kinds_may_be_limited_per_namespace() -> None:
    """403 for kinds that aren't allowed."""
    async with serving() as server:
        await server.store.subjects.put("guest/limits", b'{"allowedKinds":["python:3"]}', None)
        body = {"exec": {"kind": "nodejs:20", "code": "x"}}
        answer = await server.send("PUT", f"{API}/actions/a", body)
        assert (answer.status, answer.error.rpartition(" ")[2]) == (403, "'nodejs:20'.")
        body["exec"]["kind"] = "python:default"
        assert (await server.send("PUT", f"{API}/actions/a", body)).status == 200
