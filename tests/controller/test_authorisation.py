"""Who may do what: every route of the API for every kind of caller (openwhisk-controller.md 2.3)."""

from __future__ import annotations

import json

import pytest

from controller.routes import ROUTES
from tests.controller.serving import Serving, serving

NAMESPACE = "/api/v1/namespaces/guest"
CODE = {"exec": {"kind": "nodejs:20", "code": "function main(a) { return a }"}}
BODIES = {"actions": CODE, "packages": {}, "triggers": {}, "rules": {"trigger": "/guest/t", "action": "/guest/a"}}
STRANGERS = {"anonymous": None, "wrong": "wrong", "blocked": "blocked"}

OPEN_TO_OTHERS = {
    ("GET", "packages"): 200,
    ("GET", "packages/shared"): 200,
    ("GET", "actions/shared/"): 200,
    ("GET", "actions/shared/a"): 200,
    ("POST", "actions/shared/a"): 202,
    ("GET", "limits/x"): 400,
}
"""What somebody else's key reaches in this namespace, and with which answer; everything beside is 403. Nobody has `limits/x`."""


def requests() -> list[tuple[str, str]]:
    """Every route with names that exist, in a private and in a shared package, and with one that doesn't."""
    names = {"actions": ["a", "nosuch"], "packages": ["private", "shared", "nosuch"], "triggers": ["t", "nosuch"], "rules": ["r"]}
    packaged = ["private/a", "shared/a", "nosuch/a", "shared/nosuch"]
    found = []
    for collection, shape, method in ROUTES:
        several = {
            "list": [""],
            "one": [f"/{name}" for name in names.get(collection, ["x"])],
            "contents": [f"/{name}/" for name in names["packages"]],
            "two": [f"/{name}" for name in packaged],
        }[shape]
        if collection == "activations" and shape != "list":
            several = {"one": ["/{id}"], "contents": ["/{id}/"], "two": ["/{id}/logs", "/{id}/result"]}[shape]
        found += [(method, collection + each) for each in several]
    return found


async def _furnish(server: Serving) -> str:
    """Something of every kind in the namespace of guest; an activation's id."""
    await server.put_action("a", annotations=[{"key": "web-export", "value": True}])
    await server.put_action("closed")
    for name, publish in (("private", False), ("shared", True)):
        await server.send("PUT", f"{NAMESPACE}/packages/{name}", {"publish": publish})
        await server.put_action(f"{name}/a")
    await server.send("PUT", f"{NAMESPACE}/triggers/t", {})
    await server.send("PUT", f"{NAMESPACE}/rules/r", BODIES["rules"])
    blocked = {"subject": "blocked", "blocked": True, "namespaces": [{"name": "blocked", "uuid": "u", "key": "k" * 64}]}
    await server.store.subjects.put("blocked", json.dumps(blocked).encode(), None)
    return str((await server.send("POST", f"{NAMESPACE}/actions/a", {})).json["activationId"])


async def _documents(server: Serving) -> list[bytes]:
    lists = [await server.store.entities.list(kind, "guest") for kind in ("actions", "packages", "triggers", "rules")]
    return [doc.body for found in lists for doc in found]


async def _ask(server: Serving, method: str, path: str, activation_id: str, auth: str | None) -> int:
    body = BODIES[path.partition("/")[0]] if method == "PUT" else {} if method == "POST" else None
    query = "?overwrite=true" if method == "PUT" else ""
    answer = await server.send(method, f"{NAMESPACE}/{path.format(id=activation_id)}{query}", body, auth=auth)
    return answer.status


@pytest.mark.parametrize("who", STRANGERS)
async def test_nobody_without_a_good_key_gets_anywhere(who: str) -> None:
    async with serving() as server:
        activation_id = await _furnish(server)
        before = await _documents(server)
        for method, path in [*requests(), ("GET", "../../namespaces"), ("PATCH", "actions/a"), ("GET", "nosuch")]:
            assert await _ask(server, method, path, activation_id, STRANGERS[who]) == 401, (method, path)
        assert await _documents(server) == before
        assert len(server.invoker.seen) == 1


async def test_somebody_elses_key_reaches_what_is_shared_and_nothing_else() -> None:
    """Neither does it learn what exists: 403 whether there is such a thing or not."""
    async with serving() as server:
        activation_id = await _furnish(server)
        before = await _documents(server)
        answers = {asked: await _ask(server, *asked, activation_id, "other") for asked in requests()}
        missing_in_shared = {asked: status for asked, status in answers.items() if asked[1] == "actions/shared/nosuch"}
        assert missing_in_shared == {
            ("GET", "actions/shared/nosuch"): 404, ("POST", "actions/shared/nosuch"): 404,
            ("PUT", "actions/shared/nosuch"): 403, ("DELETE", "actions/shared/nosuch"): 403,
        }  # fmt: skip
        rest = {asked: status for asked, status in answers.items() if asked not in missing_in_shared}
        assert rest == {asked: OPEN_TO_OTHERS.get(asked, 403) for asked in rest}
        assert await _documents(server) == before
        assert [message.user.subject for message, _ in server.invoker.seen[1:]] == ["other"]


async def test_the_owner_is_never_refused() -> None:
    async with serving() as server:
        activation_id = await _furnish(server)
        for method, path in sorted(requests(), key=lambda asked: asked[0] == "DELETE"):
            status = await _ask(server, method, path, activation_id, "guest")
            assert status not in (401, 403), (method, path, status)


@pytest.mark.parametrize("who", [None, "wrong", "other", "guest"])
async def test_web_actions_are_open_and_others_are_not_there(who: str | None) -> None:
    async with serving() as server:
        await _furnish(server)
        assert (await server.send("GET", "/api/v1/web/guest/default/a.json", auth=who)).status == 200
        for path in ("default/closed", "private/a", "shared/a", "default/nosuch", "nosuch/a"):
            assert (await server.send("GET", f"/api/v1/web/guest/{path}.json", auth=who)).status == 404


async def test_the_operators_routes_need_the_operators_key() -> None:
    async with serving() as server:
        for auth, expected in ((None, 401), ("wrong", 401), ("guest", 403), ("x:the-admin-key", 202)):
            assert (await server.send("POST", "/admin/drain", auth=auth)).status == expected
        for auth, expected in ((None, 401), ("wrong", 401), ("guest", 200), ("x:the-admin-key", 200)):
            assert (await server.send("GET", "/admin/status", auth=auth)).status == expected
        for auth, expected in ((None, 401), ("guest", 401), ("x:the-admin-key", 200)):
            assert (await server.send("POST", "/disable", auth=auth)).status == expected
