"""What the API is tested with: an invoker that runs Python functions, and everything else of memory."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from config.credentials import GUEST, split
from config.limits import SystemLimits
from config.manifest import Manifest
from controller.deps import ApiDeps, Operator
from messages.action import Executable
from messages.events import Finished
from messages.record import record_of, storable
from messages.wire import ActivationMessage, ActivationRecord, Limits
from store.contract import Store
from tests.golden_replay import GOLDEN, KEYS
from transport.compositions import CompositionDoor
from transport.contract import Refused

Code = Callable[[dict[str, Any], ActivationMessage], Any]


class FakeInvocation:
    def __init__(self, message: ActivationMessage) -> None:
        self.id = message.activation_id
        self.message = message
        self.done: asyncio.Future[ActivationRecord] = asyncio.get_running_loop().create_future()
        self.forgotten = 0

    async def result(self, timeout: float) -> ActivationRecord | None:
        try:
            return await asyncio.wait_for(asyncio.shield(self.done), timeout)
        except TimeoutError:
            return None

    def forget(self) -> None:
        self.forgotten += 1


class FakeInvoker:
    """Runs `code` for every action at once, unless `hold`; records reach the store a little later."""

    def __init__(self, store: Store, code: Code | None = None) -> None:
        self.store = store
        self.code: Code = code or (lambda arguments, message: arguments)
        self.hold = False
        self.printed: dict[str, list[str]] = {}
        self.state = "running"
        self.reason: str | None = None
        self.unreadable: str | None = None
        self.refusal: Refused | ConnectionAbortedError | None = None
        self.seen: list[tuple[ActivationMessage, Executable | None]] = []
        self.invocations: list[FakeInvocation] = []
        self._starts = itertools.count(1_700_000_000_000, 7)

    async def invoke(self, message: ActivationMessage, action: Executable | None = None) -> FakeInvocation:
        if self.refusal is not None:
            raise self.refusal
        self.seen.append((message, action))
        invocation = FakeInvocation(message)
        self.invocations.append(invocation)
        if not self.hold:
            await self.finish(invocation)
        return invocation

    async def finish(self, invocation: FakeInvocation) -> None:
        content = invocation.message.content
        arguments = json.loads(bytes(content)) if isinstance(content, msgspec.Raw) else {}
        for name in invocation.message.init_args:
            arguments.pop(name, None)
        result = self.code(arguments, invocation.message)
        error = isinstance(result, dict) and "error" in result
        raw = msgspec.Raw(json.dumps(result, separators=(",", ":")).encode())
        at = next(self._starts)
        finished = Finished(
            invocation.id, at, int(error), at, at + 1, result=raw, size=len(raw), version=invocation.message.action.version or "",
            kind="nodejs:20", limits=Limits(), timeout=False, wait_time=1,
        )  # fmt: skip
        record = record_of(invocation.message, storable(finished), self.printed.get(invocation.id, []))
        await self.store.activations.write([record])
        invocation.done.set_result(record)

    def pending(self, namespace: str, activation_id: str) -> dict[str, object] | None:
        for invocation in self.invocations:
            if (invocation.message.user.namespace.name, invocation.id) == (namespace, activation_id) and not invocation.done.done():
                return {"state": self.state, "since": 1, "attempt": 1}
        return None

    def lines(self, namespace: str, activation_id: str) -> list[str]:
        return self.printed.get(activation_id, []) if self.pending(namespace, activation_id) else []

    def in_flight(self, namespace: str) -> int:
        return sum(one.message.user.namespace.name == namespace and not one.done.done() for one in self.invocations)

    def ready(self) -> str | None:
        return self.reason

    def readable(self) -> str | None:
        return self.unreadable


def golden_manifest() -> Manifest:
    return Manifest.read(Path(GOLDEN) / "golden-runtimes.json")


async def subjects(store: Store) -> None:
    for name in ("guest", "other"):
        uuid, key = split(KEYS[name])
        body = {"subject": name, "namespaces": [{"name": name, "uuid": uuid, "key": key}]}
        await store.subjects.put(name, json.dumps(body).encode(), None)


def deps(store: Store, invoker: FakeInvoker, **changes: Any) -> ApiDeps:
    ids = itertools.count(1)
    ticks = itertools.count(1_700_000_000_000)
    given: dict[str, Any] = {
        "entities": store.entities,
        "activations": store.activations,
        "subjects": store.subjects,
        "invoker": invoker,
        "compositions": CompositionDoor(),
        "manifest": golden_manifest(),
        "wall_ms": lambda: next(ticks),
        "monotonic": lambda: asyncio.get_running_loop().time(),
        "new_activation_id": lambda: f"{next(ids):032x}",
        "new_transid": lambda: f"{next(ids):032d}",
        "limits": SystemLimits(),
        "cors": ("*",),
        "operator": Operator(admin_key="the-admin-key"),
    }
    return ApiDeps(**{**given, **changes})


__all__ = ["GUEST", "FakeInvocation", "FakeInvoker", "deps", "golden_manifest", "subjects"]
