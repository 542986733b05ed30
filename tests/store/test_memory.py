"""The memory store keeps the contract, and fails as it is told."""

from __future__ import annotations

import pytest

from store.contract import DocumentLog, Store
from store.errors import StoreUnavailable
from store.memory import MemoryStore
from tests.contract.store_log_suite import DocumentLogSuite
from tests.contract.store_suite import StoreSuite, record


@pytest.fixture
def store() -> Store:
    return MemoryStore()


class TestMemoryLog(DocumentLogSuite):
    @pytest.fixture
    def log(self, store: Store) -> DocumentLog:
        return store.journal


class TestMemoryStore(StoreSuite):
    pass


async def test_a_fault_before_applies_nothing() -> None:
    """And counts once per time asked for."""
    store = MemoryStore()
    store.faults.fail_next("journal.create", "before", StoreUnavailable("planned"), times=2)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="planned"):
            await store.journal.create("invoker0", 1, b"x")
    assert await store.journal.read("invoker0", 1) is None
    await store.journal.create("invoker0", 1, b"x")


async def test_a_fault_after_loses_only_the_answer() -> None:
    """What was written is there."""
    store = MemoryStore()
    store.faults.fail_next("journal.create", "after", StoreUnavailable("planned"))
    with pytest.raises(StoreUnavailable):
        await store.journal.create("invoker0", 1, b"x")
    assert await store.journal.read("invoker0", 1) == b"x"


async def test_the_hook_sees_both_points() -> None:
    """Around every operation, by its name."""
    store = MemoryStore()
    seen: list[tuple[str, str]] = []

    async def hook(operation: str, when: str) -> None:
        seen.append((operation, when))

    store.faults.hook = hook
    await store.activations.write([record(1)])
    await store.activations.get("guest", "x")
    assert seen == [("activations.write", "before"), ("activations.write", "after"), ("activations.get", "before")]
