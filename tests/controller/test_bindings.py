"""Shared packages and bindings beyond what the recording shows (openwhisk-controller.md 1.5, 1.8, 2.3, 4.1)."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.contract import EntityRow
from tests.controller.serving import API, Answer, Serving, serving

GUESTS = "/api/v1/namespaces/guest"


async def _bound(server: Serving, **provider: Any) -> None:
    """`guest/prov` with action `a`, and `guest/b` bound to it."""
    assert (await server.send("PUT", f"{API}/packages/prov", provider)).status == 200
    await server.put_action("prov/a")
    await _bind(server, "b", "prov")


async def _bind(server: Serving, name: str, to: str, **more: Any) -> Answer:
    namespace, _, package = f"_/{to}".rpartition("/")
    body = {"binding": {"namespace": namespace.rpartition("/")[2], "name": package}, **more}
    return await server.send("PUT", f"{API}/packages/{name}", body, auth=more.pop("auth", "guest"))


async def _arguments(server: Serving, path: str, body: dict[str, Any], auth: str = "guest") -> Any:
    answer = await server.send("POST", f"{path}?blocking=true&result=true", body, auth=auth)
    assert answer.status == 200, answer
    return answer.json


LAYERS = ("provider", "binding", "action", "request")


@settings(max_examples=12)
@given(st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from(LAYERS), min_size=1), max_size=6))
async def test_the_later_layer_wins(keys: dict[str, set[str]]) -> None:
    """4.1: provider < binding < action < request, for any choice of which layers name which key; GET shows the first three."""

    def pairs(layer: str) -> list[dict[str, str]]:
        return [{"key": key, "value": layer} for key, layers in keys.items() if layer in layers]

    def winners(layers: tuple[str, ...]) -> dict[str, str]:
        return {key: max(found, key=layers.index) for key, given in keys.items() if (found := given & set(layers))}

    async with serving() as server:
        await server.send("PUT", f"{API}/packages/prov", {"parameters": pairs("provider")})
        await server.put_action("prov/a", parameters=pairs("action"))
        assert (await _bind(server, "b", "prov", parameters=pairs("binding"))).status == 200
        body = {pair["key"]: pair["value"] for pair in pairs("request")}
        assert await _arguments(server, f"{API}/actions/b/a", body) == winners(LAYERS)
        shown = (await server.send("GET", f"{API}/actions/b/a")).json["parameters"]
        assert {pair["key"]: pair["value"] for pair in shown} == winners(LAYERS[:3])


async def test_final_and_init_are_inherited() -> None:
    """4.1, 3.7: `final` locks what packages and bindings define, unless null; `init` goes with the value that wins."""
    async with serving() as server:
        init = {"key": "i", "value": 1, "init": True}
        parameters = [{"key": "p", "value": 1}, {"key": "n", "value": None}, init]
        await server.send("PUT", f"{API}/packages/prov", {"parameters": parameters})
        await server.put_action("prov/a", annotations=[{"key": "final", "value": True}])
        await _bind(server, "b", "prov", parameters=[{"key": "q", "value": 2}])
        for body, status in (({"p": 5}, 400), ({"q": 5}, 400), ({"n": 5}, 200), ({"i": 5}, 400), ({"other": 5}, 200)):
            answer = await server.send("POST", f"{API}/actions/b/a?blocking=true", body)
            assert answer.status == status, body
            if status == 400:
                assert answer.error == "Request defines parameters that are not allowed (e.g., reserved properties)."
        assert server.invoker.seen[-1][0].init_args == ["i"]
        await server.send("PUT", f"{API}/packages/b?overwrite=true", {"parameters": [{"key": "i", "value": 3}]})
        await server.send("POST", f"{API}/actions/b/a?blocking=true", {"n": 1})
        assert server.invoker.seen[-1][0].init_args == []


async def test_a_change_of_any_part_is_seen_at_once() -> None:
    """What an invocation runs is kept, but never longer than binding, provider and action are as they were."""
    async with serving() as server:
        await _bound(server)
        path = f"{API}/actions/b/a"
        assert await _arguments(server, path, {}) == {}
        await server.send("PUT", f"{API}/packages/prov?overwrite=true", {"parameters": [{"key": "x", "value": 1}]})
        assert await _arguments(server, path, {}) == {"x": 1}
        await server.send("PUT", f"{API}/packages/b?overwrite=true", {"parameters": [{"key": "x", "value": 2}]})
        assert await _arguments(server, path, {}) == {"x": 2}
        await server.put_action("prov/a", parameters=[{"key": "x", "value": 3}])
        assert await _arguments(server, path, {}) == {"x": 3}
        await server.send("DELETE", f"{API}/packages/prov?force=true")
        assert (await server.send("POST", path, {})).status == 404
        assert (await server.send("DELETE", f"{API}/packages/b")).status == 200
        assert (await server.send("POST", path, {})).status == 404


async def test_a_public_binding_is_of_no_use_to_others() -> None:
    """2.3: neither read, nor listed, nor invoked; not even by one who may use the package behind it."""
    async with serving() as server:
        await _bound(server, publish=True)
        await server.send("PUT", f"{API}/packages/b?overwrite=true", {"publish": True})
        for method, path in (("GET", "packages/b"), ("GET", "actions/b/"), ("GET", "actions/b/a"), ("POST", "actions/b/a")):
            answer = await server.send(method, f"{GUESTS}/{path}", {} if method == "POST" else None, auth="other")
            assert (answer.status, answer.error.partition(" to access ")[2]) == (403, "'guest/b'."), path
        listed = (await server.send("GET", f"{GUESTS}/packages", auth="other")).json
        assert [row["name"] for row in listed] == ["prov"]


async def test_what_a_foreign_binding_lost_is_403_of_ones_own_404() -> None:
    """2.3: the rule is applied with the target's owner, so that nobody learns what others have."""
    async with serving() as server:
        await _bound(server, publish=True)
        binding = {"binding": {"namespace": "guest", "name": "prov"}}
        assert (await server.send("PUT", f"{API}/packages/mine", binding, auth="other")).status == 200
        await server.send("DELETE", f"{API}/packages/prov?force=true")
        assert (await server.send("POST", f"{API}/actions/mine/a", {}, auth="other")).status == 403
        assert (await server.send("GET", f"{API}/packages/mine", auth="other")).status == 403
        assert (await server.send("GET", f"{API}/packages/b")).status == 404


async def test_existence_is_not_given_away() -> None:
    """2.3: private, missing, and not even a package: others are told the same."""
    async with serving() as server:
        await server.send("PUT", f"{API}/packages/private", {})
        await server.put_action("action")
        answers = [await server.send("GET", f"{GUESTS}/packages/{name}", auth="other") for name in ("private", "nothing", "action")]
        assert {(each.status, each.error.rpartition("/")[0]) for each in answers} == {(403, answers[0].error.rpartition("/")[0])}


async def test_deleting_a_binding_leaves_the_provider_alone() -> None:
    """1.8: always possible, and nothing else goes."""
    async with serving() as server:
        await _bound(server)
        assert (await server.send("DELETE", f"{API}/packages/b?force=true")).status == 200
        assert (await server.send("GET", f"{API}/actions/prov/a")).status == 200


async def test_bindings_in_a_circle_are_422() -> None:
    """1.8: no request makes one, but a store may hold one."""
    async with serving() as server:
        for name, to in (("x", "y"), ("y", "x")):
            body = {
                "entityType": "package", "namespace": "guest", "name": name, "binding": {"namespace": "guest", "name": to},
                "parameters": [], "version": "0.0.1", "publish": False, "annotations": [], "updated": 1,
            }  # fmt: skip
            await server.store.entities.put(EntityRow("packages", "guest", name, 1), json.dumps(body).encode(), None)
        for path in ("packages/x", "actions/x/", "actions/x/a"):
            answer = await server.send("GET", f"{API}/{path}")
            assert (answer.status, "contains a circular reference." in answer.error) == (422, True), path


@pytest.mark.parametrize(
    ("binding", "text"),
    [
        ({"namespace": 1, "name": "p"}, "entity name malformed"),
        ({"namespace": "a*b", "name": "p"}, "The name of the entity contains illegal characters."),
        ({"namespace": "guest"}, "Object is missing required member 'name'"),
        ([], "Object expected in field 'namespace'"),
        (0, "Object expected in field 'namespace'"),
    ],
)
async def test_a_malformed_binding_is_400(binding: object, text: str) -> None:
    """Never a binding to something else than was meant."""
    async with serving() as server:
        answer = await server.send("PUT", f"{API}/packages/b", {"binding": binding})
        assert (answer.status, answer.error) == (400, f"The request content was malformed:\n{text}")


async def test_a_binding_can_be_bound_anew() -> None:
    """1.8: to another package, whose actions it has from then on."""
    async with serving() as server:
        await _bound(server)
        await server.send("PUT", f"{API}/packages/second", {})
        await server.put_action("second/z")
        body = {"binding": {"namespace": "_", "name": "second"}}
        answer = await server.send("PUT", f"{API}/packages/b?overwrite=true", body)
        assert (answer.status, answer.json["binding"]["name"], answer.json["version"]) == (200, "second", "0.0.2")
        assert [row["name"] for row in (await server.send("GET", f"{API}/actions/b/")).json] == ["z"]
        assert (await server.send("GET", f"{API}/actions/b/?count=true")).json == {"actions": 1}


async def test_a_plain_package_has_no_binding_annotation() -> None:
    """1.8: the annotation is the server's, and says what is so."""
    async with serving() as server:
        answer = await server.send("PUT", f"{API}/packages/p", {"annotations": [{"key": "binding", "value": 1}]})
        assert (answer.status, answer.json["annotations"]) == (200, [])


async def test_sequences_may_name_actions_through_bindings() -> None:
    """1.5: READ on each component, 403 that names all packages that may not be read."""
    async with serving() as server:
        await _bound(server)

        async def put(*components: str) -> Answer:
            body = {"exec": {"kind": "sequence", "components": list(components)}}
            return await server.send("PUT", f"{API}/actions/s?overwrite=true", body)

        assert (await put("/_/b/a")).json["exec"]["components"] == ["/guest/b/a"]
        for pair in itertools.permutations(("/other/z/a", "/other/y/a")):
            answer = await put(*pair)
            assert (answer.status, answer.error.partition(" to access ")[2]) == (403, "'other/y, other/z'.")
