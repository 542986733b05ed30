"""What every node has of `whisk.system`, and how it gets there."""

from __future__ import annotations

import asyncio
import importlib
import re
from typing import Any

import msgspec
import pytest

from config.manifest import Manifest
from controller import system_packages
from controller.app import create_app
from controller.catalog import CATALOG, MARK, CatalogAction
from store.contract import EntityRow
from store.errors import Conflict, StoreUnavailable
from tests.controller.serving import API, Serving, serving

SYSTEM = "/api/v1/namespaces/whisk.system"
ACTIONS = [action for package in CATALOG for action in package.actions]


def run(action: str, arguments: dict[str, Any]) -> Any:
    found = next(each for each in ACTIONS if each.name == action)
    module = importlib.import_module(f"controller.catalog.{found.file.removesuffix('.py').replace('/', '.')}")
    return module.main(arguments)


@pytest.mark.parametrize("action", [each for each in ACTIONS if each.sample_input is not None], ids=lambda each: each.name)
def test_samples_are_true(action: CatalogAction, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the annotations say an action answers is what it answers."""
    monkeypatch.setenv("__OW_API_HOST", "https://host")
    monkeypatch.setenv("__OW_NAMESPACE", "guest")
    assert run(action.name, dict(action.sample_input or {})) == action.sample_output


@pytest.mark.parametrize(
    ("action", "arguments", "answer"),
    [
        ("sort", {"lines": [10, 9, "b", "a"]}, {"lines": [10, 9, "a", "b"], "length": 4}),
        ("sort", {}, {"lines": [], "length": 0}),
        ("sort", {"lines": ["\U0001f600", "￿"]}, {"lines": ["\U0001f600", "￿"], "length": 2}),
        ("split", {"payload": "one\r\ntwo\nthree"}, {"lines": ["one", "two", "three"], "payload": "one\r\ntwo\nthree"}),
        ("split", {"payload": "a.b", "separator": "."}, {"lines": ["a", "b"], "payload": "a.b"}),
        ("split", {"payload": 12}, {"lines": ["12"], "payload": 12}),
        ("head", {"lines": ["a", "b"]}, {"lines": ["a"], "num": 1}),
        ("cat", {"lines": ["a", None, 1.5, True]}, {"lines": ["a", None, 1.5, True], "payload": "a\n\n1.5\ntrue"}),
        ("hosturl", {"path": "a", "web": True}, {"url": "https://host/api/v1/web/guest/default/a.json"}),
        ("hosturl", {"path": "p/a"}, {"url": "https://host/api/v1/namespaces/guest/actions/p/a"}),
        ("hosturl", {"path": "t", "trigger": True}, {"url": "https://host/api/v1/namespaces/guest/triggers/t"}),
        ("hosturl", {}, {"url": "https://host/api/v1/namespaces/guest/actions"}),
        ("namespace", {}, {"namespace": "guest"}),
        ("wordCount", {"payload": " a  b\n"}, {"count": 2}),
    ],
)
def test_answers(action: str, arguments: dict[str, Any], answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges beyond the samples."""
    monkeypatch.setenv("__OW_API_HOST", "https://host")
    monkeypatch.setenv("__OW_NAMESPACE", "guest")
    assert run(action, arguments) == answer


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("cat", {"lines": "text"}), ("sort", {"lines": {"a": 1}}), ("head", {"lines": 1}), ("head", {"lines": [], "num": "x"}),
        ("split", {}), ("smash", {"$fieldName": 1}), ("smash", {}), ("hosturl", {"path": "a/b", "trigger": True}),
        ("hosturl", {"web": True, "trigger": True, "path": "a"}), ("hosturl", {"web": True, "path": "a", "ext": ".exe"}),
    ],
)  # fmt: skip
def test_what_they_cannot_take_is_an_error(action: str, arguments: dict[str, Any]) -> None:
    """An application error, not a crash."""
    assert list(run(action, arguments)) == ["error"]


def test_date_is_iso_8601() -> None:
    """With milliseconds and Z, as JavaScript writes it."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", run("date", {})["date"])


async def _revisions(server: Serving) -> dict[str, str]:
    lists = [await server.store.entities.list(collection, "whisk.system") for collection in ("actions", "packages")]
    found = [doc for docs in lists for doc in docs]
    return {doc.id: doc.rev for doc in found}


async def test_everybody_can_use_them() -> None:
    """Listed, read, bound, invoked in the caller's namespace by any; changed by none."""
    async with serving() as server:
        assert await system_packages.install(server.app.api) == len(CATALOG)
        listed = (await server.send("GET", f"{SYSTEM}/packages", auth="other")).json
        assert {row["name"] for row in listed} == {"utils", "samples"}
        utils = (await server.send("GET", f"{SYSTEM}/packages/utils", auth="other")).json
        assert {row["name"] for row in utils["actions"]} >= {"echo", "cat", "sort", "split", "head", "date", "smash", "namespace"}
        answer = await server.send("POST", f"{SYSTEM}/actions/utils/echo?blocking=true", {"a": 1}, auth="other")
        assert (answer.status, answer.json["namespace"], answer.json["response"]["result"]) == (200, "other", {"a": 1})
        binding = {"binding": {"namespace": "whisk.system", "name": "utils"}, "parameters": [{"key": "b", "value": 2}]}
        assert (await server.send("PUT", f"{API}/packages/mine", binding)).status == 200
        bound = await server.send("POST", f"{API}/actions/mine/echo?blocking=true&result=true", {"a": 1})
        assert bound.json == {"a": 1, "b": 2}
        for method in ("PUT", "DELETE"):
            body = {"exec": {"kind": "nodejs:20", "code": "x"}} if method == "PUT" else None
            assert (await server.send(method, f"{SYSTEM}/actions/utils/echo?overwrite=true", body)).status == 403


async def test_installing_again_writes_nothing() -> None:
    """However often, and however many do it at the same time."""
    async with serving() as server:
        results = await asyncio.gather(*(system_packages.install(server.app.api) for _ in range(3)), return_exceptions=True)
        assert any(isinstance(result, int) for result in results)
        before = await _revisions(server)
        assert len(before) == len(CATALOG) + len(ACTIONS)
        assert await system_packages.install(server.app.api) == 0
        assert await _revisions(server) == before


async def test_an_interrupted_or_older_one_is_made_whole() -> None:
    """The package is the last that is written; an older mark means older actions."""
    async with serving() as server:
        server.store.faults.fail_next("entities.put", "after", StoreUnavailable("gone"))
        with pytest.raises(StoreUnavailable):
            await system_packages.install(server.app.api)
        assert (await server.send("GET", f"{SYSTEM}/packages/utils")).status == 403
        assert await system_packages.install(server.app.api) == len(CATALOG)
        found = await server.store.entities.get("whisk.system/utils")
        assert found is not None
        mark = next(pair["value"] for pair in msgspec.json.decode(found.body)["annotations"] if pair["key"] == MARK)
        await server.send("POST", f"{SYSTEM}/actions/utils/echo", {})
        body = found.body.replace(mark.encode(), b"older")
        await server.store.entities.put(EntityRow("packages", "whisk.system", "utils", 1), body, found.rev)
        assert await system_packages.install(server.app.api) == 1


async def test_somebody_elses_packages_are_left_alone() -> None:
    """Without the mark it is the operator's own."""
    async with serving() as server:
        own = b'{"entityType":"package","namespace":"whisk.system","name":"utils","binding":{},"parameters":[],"version":"0.0.1",'
        own += b'"publish":true,"annotations":[],"updated":1}'
        await server.store.entities.put(EntityRow("packages", "whisk.system", "utils", 1), own, None)
        assert await system_packages.install(server.app.api) == len(CATALOG) - 1
        assert "whisk.system/utils/echo" not in await _revisions(server)


async def test_a_store_that_is_away_or_refuses_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried again while it is away, and when somebody else writes the same; given up in the end, with a line in the log."""
    monkeypatch.setattr(system_packages, "RETRY", 0.01)
    async with serving() as server:
        server.store.faults.fail_next("entities.get", "before", StoreUnavailable("away"), times=3)
        await asyncio.wait_for(system_packages.keep_trying(server.app.api), 5)
        assert len(await _revisions(server)) == len(CATALOG) + len(ACTIONS)
        server.store.faults.fail_next("entities.put", "before", Conflict("taken"), times=2)
        await server.store.entities.delete("whisk.system/utils", (await _revisions(server))["whisk.system/utils"])
        await asyncio.wait_for(system_packages.keep_trying(server.app.api), 5)
        assert "whisk.system/utils" in await _revisions(server)
    async with serving() as server:
        server.store.faults.fail_next("entities.put", "before", Conflict("taken"), times=10**3)
        await asyncio.wait_for(system_packages.keep_trying(server.app.api), 5)
        assert await _revisions(server) == {}


async def test_without_python_there_are_none() -> None:
    """A manifest may have no such runtime."""
    image = {"prefix": "p", "name": "n", "tag": "t"}
    manifest = Manifest.parse({"runtimes": {"nodejs": [{"kind": "nodejs:20", "default": True, "image": image}]}})
    async with serving(manifest=manifest) as server:
        assert await system_packages.install(server.app.api) == 0
        assert await _revisions(server) == {}


async def test_a_second_door_shares_what_is_kept_in_memory() -> None:
    """An action changed through the containers' door is at once another one at the main door."""
    async with serving() as server:
        assert create_app(server.app.api.deps, server.app.api).api is server.app.api
