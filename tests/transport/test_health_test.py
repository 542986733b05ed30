"""The test activation is upstream's: message and action as a real controller was recorded writing them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.manifest import Manifest
from messages.wire import ActivationMessage, encode
from store.errors import StoreUnavailable
from store.memory import MemoryStore
from tests.controller.fakes import golden_manifest
from transport.health_test import HealthTest

LINES = (Path(__file__).parent.parent / "golden" / "openwhisk-wire.jsonl").read_bytes().splitlines()
RECORDED = {
    line.get("topic") or line["db"]: line["value"]
    for line in map(json.loads, reversed(LINES))
    if line["case"] == "health test action"
}


class Sent(list[tuple[int, ActivationMessage]]):
    def __call__(self, number: int, message: ActivationMessage) -> None:
        self.append((number, message))


def health_test(store: MemoryStore, post: Sent, manifest: Manifest | None = None) -> HealthTest:
    return HealthTest("0", 1795384218732, store.entities, manifest or golden_manifest(), bytes, post)


def shape(value: object) -> object:
    """Keys and types; texts that are random, and times, aside."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__


async def test_the_message_is_upstreams() -> None:
    sent = Sent()
    tester = health_test(MemoryStore(), sent)
    await tester.send(3)
    await tester.send(4)
    assert [number for number, _ in sent] == [3, 4]
    found, recorded = json.loads(encode(sent[0][1])), RECORDED["invoker0"]
    assert shape(found) == shape(recorded)
    for key in ("action", "transid", "blocking", "revision", "rootControllerIndex", "initArgs", "lockedArgs"):
        assert found[key] == recorded[key]
    assert found["user"]["rights"] == []
    assert found["user"]["subject"] == "whisk.system"


async def test_the_action_is_upstreams() -> None:
    store = MemoryStore()
    await health_test(store, Sent()).send(0)
    await health_test(store, Sent()).send(0)
    stored = await store.entities.get("whisk.system/invokerHealthTestAction0")
    assert stored is not None
    assert stored.rev.startswith("1-")
    found, recorded = json.loads(stored.body), RECORDED["whisks"]
    for key in recorded.keys() - {"_id", "_rev", "updated"}:
        assert found[key] == recorded[key], key


async def test_without_a_store_there_is_no_test_this_time() -> None:
    store, sent = MemoryStore(), Sent()
    tester = health_test(store, sent)
    store.faults.fail_next("entities.get", "before", StoreUnavailable("away"))
    await tester.send(0)
    assert sent == []
    await tester.send(0)
    assert len(sent) == 1


@pytest.mark.parametrize(("families", "count"), [({"python": "python:3"}, 1), ({"java": "java:8"}, 0)])
async def test_any_family_that_can_give_back_its_arguments_will_do(families: dict[str, str], count: int) -> None:
    runtimes = {
        family: [{"kind": kind, "default": True, "image": {"name": "i"}, "requireMain": family == "java"}]
        for family, kind in families.items()
    }
    sent = Sent()
    await health_test(MemoryStore(), sent, Manifest.parse({"runtimes": runtimes})).send(0)
    assert len(sent) == count
