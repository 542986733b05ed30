"""Documents that this release did not write: of older OpenWhisk, damaged, or made by two at the same time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from store.contract import EntityRow
from tests.controller.serving import API, Serving, serving

ACTION = {
    "entityType": "action", "namespace": "guest", "exec": {"kind": "nodejs:20", "code": "x", "binary": False}, "version": "0.0.1",
    "limits": {"timeout": 60000, "memory": 256}, "publish": False, "annotations": [], "parameters": [], "updated": 5,
}  # fmt: skip


async def _stored(server: Serving, collection: str, name: str, body: Any, path: str = "guest") -> None:
    data = body if isinstance(body, bytes) else json.dumps({**body, "name": name}).encode()
    await server.store.entities.put(EntityRow(collection, path, name, 5), data, None)


async def test_limits_of_older_documents() -> None:
    """3.2: only `timeout` and `memory` must be there; what is shown has all four."""
    async with serving() as server:
        await _stored(server, "actions", "old", {**ACTION, "extra": 1})
        limits = {"concurrency": 1, "logs": 10, "memory": 256, "timeout": 60000}
        assert (await server.send("GET", f"{API}/actions/old")).json["limits"] == limits
        assert (await server.send("GET", f"{API}/actions")).json[0]["limits"] == limits
        changed = await server.send("PUT", f"{API}/actions/old?overwrite=true", {"limits": {"memory": 128}})
        assert changed.json["limits"] == {**limits, "memory": 128}
        assert (await server.send("POST", f"{API}/actions/old", {})).status == 202


async def test_documents_without_a_type_and_rules_with_plain_names() -> None:
    """3.5, 3.6: what upstream's views go by; all can be read, used and written again."""
    async with serving() as server:
        plain = {"namespace": "guest", "version": "0.0.1", "publish": False, "annotations": []}
        await _stored(
            server, "actions", "a", {name: value for name, value in ACTION.items() if name not in ("entityType", "updated")}
        )
        await _stored(server, "packages", "p", {**plain, "binding": {}, "parameters": []})
        links = {"guest/r": {"action": {"path": "guest", "name": "a"}, "status": "active"}}
        await _stored(server, "triggers", "t", {**plain, "parameters": [], "limits": {}, "rules": links})
        await _stored(server, "rules", "r", {**plain, "trigger": "/guest/t", "action": "guest/a"})
        rule = (await server.send("GET", f"{API}/rules/r")).json
        assert (rule["trigger"], rule["action"]) == ({"path": "guest", "name": "t"}, {"path": "guest", "name": "a"})
        assert rule["status"] == "active"
        for collection, name in (("actions", "a"), ("packages", "p"), ("triggers", "t"), ("rules", "r")):
            assert [row["name"] for row in (await server.send("GET", f"{API}/{collection}")).json] == [name]
            assert (await server.send("GET", f"{API}/{collection}/{name}")).status == 200
            wrong = "triggers" if collection != "triggers" else "rules"
            assert (await server.send("GET", f"{API}/{wrong}/{name}")).status == 409
            assert (await server.send("PUT", f"{API}/{collection}/{name}?overwrite=true", {})).json["version"] == "0.0.2"


@pytest.mark.parametrize("collection", ["actions", "packages", "triggers", "rules"])
@pytest.mark.parametrize("body", [b"{}", b'{"entityType":5}', b"nonsense"])
async def test_what_cannot_be_read_hides_nothing_else(collection: str, body: bytes) -> None:
    """3.9, 1.2.2: 500 when it is asked for by name; in lists it is left out, and all others are there."""
    async with serving() as server:
        await server.send("PUT", f"{API}/triggers/t", {})
        await server.put_action("a")
        good: dict[str, Any] = {"rules": {"trigger": "/_/t", "action": "/_/a"}}
        names = [f"x{n}" for n in range(21)] if collection in ("packages", "triggers") else []
        for name in names:
            await server.send("PUT", f"{API}/{collection}/{name}", good.get(collection, {}))
        typed = body if body != b"{}" else json.dumps({"entityType": collection.removesuffix("s")}).encode()
        await _stored(server, collection, "broken", typed)
        answer = await server.send("GET", f"{API}/{collection}/broken")
        assert (answer.status, answer.error) == (500, "Resource is corrupted and cannot be read.")
        rows = (await server.send("GET", f"{API}/{collection}?limit=0")).json
        assert {row["name"] for row in rows} >= set(names)
        assert "broken" not in {row["name"] for row in rows}


async def test_sequences_that_name_each_other() -> None:
    """Two requests at the same time can make them; whoever uses one is told, and nothing runs in circles."""
    async with serving() as server:
        for name, other in (("x", "y"), ("y", "x")):
            exec_ = {"kind": "sequence", "components": [f"/guest/{other}"]}
            await _stored(server, "actions", name, {**ACTION, "exec": exec_})
        body = {"exec": {"kind": "sequence", "components": ["/_/x"]}}
        answer = await server.send("PUT", f"{API}/actions/z", body)
        assert (answer.status, answer.error) == (400, "Too many actions in the sequence.")
