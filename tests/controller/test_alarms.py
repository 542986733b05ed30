"""Triggers that fire by the clock: each minute once, whatever is lost or started anew."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.alarms import CATCH_UP, Alarms
from controller.app import create_app
from controller.cron import MINUTE
from messages.composition import Plan
from messages.record import fallback, record_of
from messages.wire import ActivationMessage
from store.contract import EntityRow
from store.errors import StoreUnavailable
from store.memory import MemoryStore
from tests.controller.fakes import FakeInvoker, deps, subjects
from tests.controller.serving import API, serving

START = 1_800_000_000_000 // MINUTE * MINUTE


class Composed:
    """Compositions that are over as soon as they are asked for, if `records` are kept."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.fired: list[tuple[str, Any]] = []
        self.refuse = False

    async def compose(self, message: ActivationMessage, plan: Plan, *, owed: bool = False) -> Any:
        if self.refuse:
            raise StoreUnavailable("away")
        self.fired.append((message.action.fqn, json.loads(bytes(message.content))))
        await self.store.activations.write([record_of(message, fallback(message.activation_id, message.start, 0, ""), [])])
        return self

    def forget(self) -> None: ...

    def pending(self, namespace: str, activation_id: str) -> None: ...


class Clock:
    now = START

    def __call__(self) -> int:
        return self.now


async def furnished(store: MemoryStore, **triggers: str) -> None:
    """Triggers by name with a schedule each, each with an active rule."""
    await subjects(store)
    for name, schedule in triggers.items():
        trigger = {
            "entityType": "trigger", "namespace": "guest", "name": name, "parameters": [{"key": "own", "value": 1}], "limits": {},
            "version": "0.0.1", "publish": False, "updated": START - 5 * MINUTE,
            "annotations": [{"key": "cron", "value": schedule}],
            "rules": {"guest/r": {"action": {"path": "guest", "name": "a"}, "status": "inactive" if name == "idle" else "active"}},
        }  # fmt: skip
        await store.entities.put(EntityRow("triggers", "guest", name, START), json.dumps(trigger).encode(), None)


def alarms(store: MemoryStore, composed: Composed, clock: Clock) -> Alarms:
    given = deps(store, FakeInvoker(store), compositions=composed, wall_ms=clock, cron=True)
    return Alarms(create_app(given).api)


async def test_each_minute_fires_once_across_a_restart() -> None:
    """A process that starts anew looks at the last hour again: what has its record is not fired twice, what is missing is."""
    store, clock = MemoryStore(), Clock()
    await furnished(store, every="* * * * *", even="*/2 * * * *", idle="* * * * *", broken="often", rare="0 0 1 1 *")
    composed = Composed(store)
    first = alarms(store, composed, clock)
    assert await first.tick() == 6 + 3, "since they were made: 5 minutes ago and now, both included"
    assert await first.tick() == 0
    clock.now += MINUTE
    assert await first.tick() == 1
    again = alarms(store, composed, clock)
    assert await again.tick() == 0
    clock.now += 3 * MINUTE
    assert await alarms(store, composed, clock).tick() == 3 + 2, "minutes in which no process lived"
    every = [content["scheduled"] for name, content in composed.fired if name == "guest/every"]
    assert every == [START + n * MINUTE for n in range(-5, 5)]
    assert composed.fired[0][1]["own"] == 1


async def test_an_outage_loses_no_minute_and_a_clock_that_steps_repeats_none() -> None:
    store, clock = MemoryStore(), Clock()
    await furnished(store, every="* * * * *")
    composed = Composed(store)
    one = alarms(store, composed, clock)
    composed.refuse = True
    with pytest.raises(StoreUnavailable):
        await one.tick()
    composed.refuse = False
    clock.now += 2 * MINUTE
    assert await one.tick() == 8
    clock.now -= 10 * MINUTE
    assert await one.tick() == 0
    clock.now += 10 * MINUTE + 3 * CATCH_UP
    assert await one.tick() == 61, "an hour is made up for, no more"


async def test_a_schedule_that_is_none_is_refused_where_it_would_count() -> None:
    body = {"annotations": [{"key": "cron", "value": "often"}]}
    async with serving(cron=True) as server:
        answer = await server.send("PUT", f"{API}/triggers/t", body)
        assert answer.status == 400
        assert "five" in answer.error
    async with serving() as server:
        assert (await server.send("PUT", f"{API}/triggers/t", body)).status == 200
