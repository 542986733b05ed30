"""Triggers that fire by the clock: those with an annotation `cron`, where the setting `cron` is on.

A fire's activation id follows from trigger and minute. So a minute that is looked at again, after a crash, is neither fired twice
(the id is live or has its record) nor lost: on start and after an outage the minutes of the last hour are looked at again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import structlog
from msgspec import Raw

from controller import cron
from controller.context import Api
from controller.cron import MINUTE
from controller.entities import TriggerEntity
from controller.errors import ApiError
from controller.fire import arguments, plan_of
from messages.composition import child_id
from messages.wire import ActionName, ActivationMessage, Identity
from store.errors import StoreError
from transport.contract import Refused

CATCH_UP = 60 * MINUTE
RETRY = 1.0
"""Seconds between attempts while the store is away or nothing is accepted."""

log = structlog.get_logger("alarms")


class Alarms:
    """Fires what is due. One process of a cluster does it: controller 0."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._done = api.deps.wall_ms() - CATCH_UP
        """Everything up to then was fired."""
        self._warned: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.tick()
                now = self._api.deps.wall_ms()
                await asyncio.sleep((MINUTE - now % MINUTE) / 1000 + 0.01)
            except (StoreError, Refused, ConnectionAbortedError) as error:
                log.info("alarms wait", reason=str(error))
                await asyncio.sleep(RETRY)

    async def tick(self) -> int:
        """Fire all that has become due; how many fires that were. Raises StoreError, Refused: then nothing counts as done."""
        now = self._api.deps.wall_ms()
        first, fired = max(self._done + 1, now - CATCH_UP), 0
        async for identity, trigger, schedule in self._scheduled():
            for at in schedule.between(max(first, trigger.updated), now):
                fired += await self._fire(identity, trigger, at)
        self._done = max(self._done, now)
        return fired

    async def _scheduled(self) -> AsyncIterator[tuple[Identity, TriggerEntity, cron.Schedule]]:
        for identity in await self._owners():
            for trigger in await self._triggers(identity.namespace.name):
                schedule = self._schedule(trigger)
                if schedule is not None:
                    yield identity, trigger, schedule

    async def _triggers(self, namespace: str) -> Sequence[TriggerEntity]:
        try:
            return await self._api.entities.rows(TriggerEntity, namespace, lambda trigger: trigger)
        except ApiError as error:
            log.warning("the triggers of a namespace can't be read", namespace=namespace, reason=error.text)
            return ()

    async def _owners(self) -> list[Identity]:
        """Who owns a namespace and is not blocked."""
        subjects = self._api.deps.subjects
        names: dict[str, None] = {}
        for doc in await subjects.list():
            for namespace in msgspec.json.decode(doc.body).get("namespaces", ()):
                names[namespace["name"]] = None
        found = [await subjects.by_namespace(name) for name in names]
        return [identity for identity in found if identity is not None]

    def _schedule(self, trigger: TriggerEntity) -> cron.Schedule | None:
        text = cron.text_of(trigger.annotations)
        try:
            return None if text is None else cron.parse(text)
        except ValueError as error:
            name = f"{trigger.namespace}/{trigger.name}"
            if (name, str(text)) not in self._warned:
                self._warned.add((name, str(text)))
                log.warning("a trigger's schedule can't be read", trigger=name, reason=str(error))
            return None

    async def _fire(self, identity: Identity, trigger: TriggerEntity, at: int) -> bool:
        """Whether it was fired now. Raises StoreError, Refused."""
        deps = self._api.deps
        activation_id = child_id(f"{trigger.namespace}/{trigger.name}", cron.ANNOTATION, at // MINUTE)
        payload = Raw(b'{"scheduled":%d}' % at)
        plan = plan_of(trigger, activation_id, payload)
        if not any(rule.child for rule in plan.rules):
            return False
        if await deps.activations.exist([(identity.namespace.name, activation_id)]):
            return False
        message = ActivationMessage(
            transid=[activation_id, deps.wall_ms()],
            action=ActionName(trigger.namespace, trigger.name, trigger.version),
            revision=None,
            user=identity,
            activation_id=activation_id,
            root_controller_index=deps.controller,
            blocking=False,
            content=arguments(trigger, {}, payload),
        )
        (await deps.compositions.compose(message, plan)).forget()
        return True
