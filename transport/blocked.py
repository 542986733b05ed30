"""Namespaces whose invocations are not run: their subject is blocked, or their limits allow none. Read again now and then."""

from __future__ import annotations

import asyncio

import msgspec
import structlog
from msgspec import Struct

from store.contract import StoredDoc, SubjectStore
from store.errors import StoreError

LIMITS = "/limits"
log = structlog.get_logger("kafka")


class _Name(Struct):
    name: str = ""


class _Document(Struct, rename="camel"):
    """What counts of a subject's or a limits document."""

    blocked: bool = False
    namespaces: list[_Name] = []
    concurrent_invocations: int | None = None
    invocations_per_minute: int | None = None


def blocked_in(documents: list[StoredDoc]) -> frozenset[str]:
    """The blocked namespaces (upstream's view `namespaceThrottlings/blockedNamespaces`)."""
    found: set[str] = set()
    for stored in documents:
        try:
            document = msgspec.json.decode(stored.body, type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if document.blocked:
            found |= {each.name for each in document.namespaces}
        if stored.id.endswith(LIMITS) and 0 in (document.concurrent_invocations, document.invocations_per_minute):
            found.add(stored.id.removesuffix(LIMITS))
    return frozenset(found)


class Blocked:
    """`read` once before anything is taken, then `run`. A reading that fails keeps what was known."""

    def __init__(self, subjects: SubjectStore, every: float) -> None:
        self._subjects = subjects
        self._every = every
        self._names: frozenset[str] = frozenset()

    def __contains__(self, namespace: str) -> bool:
        return namespace in self._names

    async def read(self) -> None:
        """Read them now, if the store answers."""
        try:
            self._names = blocked_in(await self._subjects.list())
        except StoreError as error:
            log.warning("who is blocked can't be read", error=str(error))

    async def run(self) -> None:
        """Read again, for ever."""
        while True:
            await asyncio.sleep(self._every)
            await self.read()
