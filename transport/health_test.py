"""The test activation that an invoker which isn't ours has to pass before it gets work (openwhisk-invoker.md 8)."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from msgspec import UNSET

from config.manifest import Manifest
from controller.entities import ActionEntity, Entities, ExecDoc, LimitSet
from controller.errors import ApiError
from messages.cluster import TEST_TRANSID
from messages.wire import ActionName, ActivationMessage, ControllerId, Identity, Namespace, UserLimits
from store.contract import EntityStore
from store.errors import StoreUnavailable

NAMESPACE = "whisk.system"
VERSION = "0.0.1"
CODE = {"nodejs": "function main(params) { return params; }", "python": "def main(params):\n    return params\n"}
"""What the action does, by family: it gives back what it gets. The first family that the manifest has is taken."""

log = structlog.get_logger("health")


class HealthTest:
    """Makes the action when it is first needed, and messages that invoke it. `start`: of this controller, epoch ms.

    Every message has the same transaction, by which its acknowledgement is recognised.
    """

    def __init__(
        self,
        controller: str,
        start: int,
        entities: EntityStore,
        manifest: Manifest,
        random_bytes: Callable[[int], bytes],
        post: Callable[[int, ActivationMessage], None],
    ) -> None:
        self._controller = ControllerId(controller)
        self._name = f"invokerHealthTestAction{controller}"
        self._start = start
        self._entities = Entities(entities)
        self._manifest = manifest
        self._random = random_bytes
        self._post = post
        self._stored = False

    async def send(self, number: int) -> None:
        """Test an invoker. Without a store that answers it is tested next time."""
        try:
            if self._stored or await self._store():
                self._post(number, self._message())
        except StoreUnavailable as error:
            log.warning("the test action could not be stored", error=str(error))
        except ApiError as error:
            log.warning("the test action could not be stored", error=error.text)

    async def _store(self) -> bool:
        """Write the action anew, as upstream does at each start. Raises StoreUnavailable, ApiError."""
        families = ((self._manifest.resolve(f"{family}:default"), code) for family, code in CODE.items())
        kind, code = next(((kind.kind, code) for kind, code in families if kind is not None), ("", ""))
        if not kind:
            log.error("invokers that aren't ours can't be tested: the manifest has neither nodejs nor python")
            return False
        limits = LimitSet(concurrency=1, logs=10, memory=128, timeout=60_000)
        wanted = ActionEntity(
            NAMESPACE, self._name, ExecDoc(kind, code, binary=False), limits, VERSION, False, [], [], self._start
        )  # fmt: skip
        found = await self._entities.find(f"{NAMESPACE}/{self._name}", ActionEntity)
        if found is None or found[1].exec != wanted.exec:
            await self._entities.save(wanted, found[0] if found else None)
        self._stored = True
        return True

    def _message(self) -> ActivationMessage:
        digits = self._random(16).hex()
        uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        key = {"api_key": f"{uuid}:{self._random(32).hex()}"}
        return ActivationMessage(
            transid=[TEST_TRANSID, self._start],
            action=ActionName(NAMESPACE, self._name, VERSION),
            revision=None,
            user=Identity(NAMESPACE, Namespace(NAMESPACE, uuid), key, (), UserLimits()),
            activation_id=self._random(16).hex(),
            root_controller_index=self._controller,
            blocking=False,
            content=UNSET,
        )
