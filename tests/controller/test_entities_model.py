"""Packages, actions, triggers and rules under any sequence of requests, against a model of a page."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.controller.serving import API, Answer, Serving, serving

COLLECTIONS = ("packages", "actions", "triggers", "rules")
NAMES = ("a", "b", "c")
OPERATIONS = ("create", "overwrite", "get", "delete", "enable", "disable")

Step = tuple[str, str, str, str, str]
"""Operation, collection, name, and for rules the names of trigger and action."""


@dataclass
class Model:
    """What is stored: (collection, version, trigger and action of a rule) by name, and each trigger's links."""

    stored: dict[str, tuple[str, int, tuple[str, str] | None]] = field(default_factory=dict)
    links: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)

    def is_one(self, name: str, collection: str) -> bool:
        return name in self.stored and self.stored[name][0] == collection

    def link(self, rule: str) -> tuple[str, str] | None:
        ends = self.stored[rule][2]
        return self.links.get(ends[0], {}).get(rule) if ends else None

    def apply(self, step: Step) -> int:
        """The status that the request is answered with."""
        operation, collection, name, trigger, action = step
        if operation in ("enable", "disable"):
            return self._set(name, "active" if operation == "enable" else "inactive")
        if name in self.stored and not self.is_one(name, collection):
            return 409
        if operation in ("get", "delete"):
            if name not in self.stored:
                return 404
            if operation == "delete":
                self._delete(name)
            return 200
        if name in self.stored and operation == "create":
            return 409
        return self._put(collection, name, trigger, action)

    def _put(self, collection: str, name: str, trigger: str, action: str) -> int:
        ends = None
        if collection == "rules":
            if not self.is_one(trigger, "triggers") or not self.is_one(action, "actions"):
                return 400
            ends = (trigger, action)
            status = "active"
            if name in self.stored:
                link = self.link(name)
                status = link[1] if link else "inactive"
                self._unlink(name)
            self.links[trigger][name] = (action, status)
        if collection == "triggers":
            self.links.setdefault(name, {})
        self.stored[name] = (collection, self.stored[name][1] + 1 if name in self.stored else 1, ends)
        return 200

    def _delete(self, name: str) -> None:
        if self.stored[name][0] == "rules":
            self._unlink(name)
        self.links.pop(name, None)
        del self.stored[name]

    def _unlink(self, rule: str) -> None:
        ends = self.stored[rule][2]
        if ends:
            self.links.get(ends[0], {}).pop(rule, None)

    def _set(self, name: str, status: str) -> int:
        if not self.is_one(name, "rules"):
            return 409 if name in self.stored else 404
        ends, link = self.stored[name][2], self.link(name)
        assert ends is not None
        if (link[1] if link else "inactive") == status:
            return 200
        if ends[0] not in self.links:
            return 404
        self.links[ends[0]][name] = (ends[1], status)
        return 200


async def _send(server: Serving, step: Step) -> Answer:
    operation, collection, name, trigger, action = step
    if operation in ("enable", "disable"):
        return await server.send("POST", f"{API}/rules/{name}", {"status": "active" if operation == "enable" else "inactive"})
    path = f"{API}/{collection}/{name}"
    if operation in ("get", "delete"):
        return await server.send(operation.upper(), path)
    bodies: dict[str, dict[str, Any]] = {
        "rules": {"trigger": f"/_/{trigger}", "action": f"/_/{action}"},
        "actions": {"exec": {"kind": "nodejs:20", "code": "x"}},
    }
    return await server.send("PUT", f"{path}?overwrite={str(operation == 'overwrite').lower()}", bodies.get(collection, {}))


async def _check(server: Serving, model: Model) -> None:
    for collection in COLLECTIONS:
        expected = {name for name in model.stored if model.is_one(name, collection)}
        rows = (await server.send("GET", f"{API}/{collection}")).json
        assert {row["name"] for row in rows} == expected
        assert (await server.send("GET", f"{API}/{collection}?count=true")).json == {collection: len(expected)}
        assert [row["updated"] for row in rows] == sorted((row["updated"] for row in rows), reverse=True)
        for name in expected:
            found = (await server.send("GET", f"{API}/{collection}/{name}")).json
            assert found["version"] == f"0.0.{model.stored[name][1]}"
            if collection == "triggers":
                links = {
                    key.partition("/")[2]: (link["action"]["name"], link["status"]) for key, link in found.get("rules", {}).items()
                }
                assert links == model.links[name]
            if collection == "rules":
                link = model.link(name)
                assert found["status"] == (link[1] if link else "inactive")


steps = st.tuples(
    st.sampled_from(OPERATIONS), st.sampled_from(COLLECTIONS), st.sampled_from(NAMES), st.sampled_from("ab"), st.sampled_from("bc")
)


@settings(max_examples=15)
@example(
    [("create", "triggers", "a", "a", "b"), ("create", "actions", "b", "a", "b"), ("create", "rules", "c", "a", "b"),
     ("disable", "rules", "c", "a", "b"), ("overwrite", "rules", "c", "a", "b"), ("delete", "triggers", "a", "a", "b"),
     ("disable", "rules", "c", "a", "b"), ("enable", "rules", "c", "a", "b"), ("create", "triggers", "a", "a", "b"),
     ("enable", "rules", "c", "a", "b")],
)  # fmt: skip
@given(st.lists(steps, min_size=20, max_size=50))
async def test_any_sequence_of_requests(sequence: list[Step]) -> None:
    """One id space, versions that rise by one, links that say what the rules are, lists that are whole."""
    async with serving() as server:
        model = Model()
        for step in sequence:
            assert (await _send(server, step)).status == model.apply(step), step
        await _check(server, model)


async def test_one_of_those_who_write_the_same_at_the_same_time_wins() -> None:
    """Creations: one 200, all others 409. Updates: every 200 raised the version by one, the others were told 409."""
    async with serving() as server:
        for collection in ("packages", "triggers"):
            path = f"{API}/{collection}/x"
            made = await asyncio.gather(*(server.send("PUT", path, {}) for _ in range(8)))
            assert sorted(answer.status for answer in made) == [200] + [409] * 7
            assert {answer.error for answer in made if answer.status == 409} <= {
                "resource already exists", "Concurrent modification to resource detected.",
            }  # fmt: skip
            changed = await asyncio.gather(*(server.send("PUT", f"{path}?overwrite=true", {}) for _ in range(8)))
            good = sum(answer.status == 200 for answer in changed)
            assert good >= 1
            assert {answer.status for answer in changed} <= {200, 409}
            assert (await server.send("GET", path)).json["version"] == f"0.0.{1 + good}"
            gone = await asyncio.gather(*(server.send("DELETE", path) for _ in range(8)))
            assert sorted(answer.status for answer in gone).count(200) == 1
            assert {answer.status for answer in gone} <= {200, 404, 409}


_ALLOWED = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_@ .&-]{0,254}[A-Za-z0-9_@.&-])?")
names = st.text(min_size=1, max_size=12) | st.text(alphabet="aZ09_@ .&-/%\x00\u00e9\u0661", min_size=1, max_size=8)


EDGES = ["..", ".", "a" * 256, "a" * 257, "a ", "\u0661", "a/b", "a%2fb", "default", "_"]


@settings(max_examples=6)
@example(EDGES)
@given(st.lists(names, min_size=20, max_size=30, unique=True))
async def test_any_name_is_taken_whole_or_refused(many: list[str]) -> None:
    """Percent-encoded in the path: what upstream allows comes back as it was, the rest is 400 and leaves nothing."""
    async with serving() as server:
        for name in many:
            encoded = quote(name, safe="", errors="replace")
            allowed = _ALLOWED.fullmatch(name) is not None
            for collection in ("packages", "triggers"):
                refused = not allowed or (collection, name) == ("packages", "default")
                answer = await server.send("PUT", f"{API}/{collection}/{encoded}", {})
                assert answer.status == (400 if refused else 200), (name, answer)
                if not refused:
                    assert answer.json["name"] == name
                    assert [row["name"] for row in (await server.send("GET", f"{API}/{collection}")).json] == [name]
                    assert (await server.send("DELETE", f"{API}/{collection}/{encoded}")).status == 200
                assert (await server.send("GET", f"{API}/{collection}?count=true")).json == {collection: 0}
