"""The journal keeps its promises over the memory store and over SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from store.contract import DocumentLog
from store.memory import MemoryLog
from store.sqlite import SqliteStore
from tests.contract.journal_suite import JournalSuite
from tests.contract.journal_tools import Owner, accepted


class TestJournalInMemory(JournalSuite):
    @pytest.fixture
    def log(self) -> DocumentLog:
        return MemoryLog()


class TestJournalOnSqlite(JournalSuite):
    @pytest_asyncio.fixture
    async def log(self, tmp_path: Path) -> AsyncIterator[DocumentLog]:
        store = await SqliteStore.open(tmp_path)
        yield store.journal
        await store.close()


async def test_the_journal_shows_its_state() -> None:
    """In its repr: who, which epoch, how far, how much waits."""
    owner = Owner(MemoryLog())
    assert repr(owner.journal) == "<Journal invoker0 closed epoch=0 n=0 live=0 waiting=0>"
    await owner.journal.open()
    owner.append(accepted("a"))
    assert repr(owner.journal) == "<Journal invoker0 open epoch=1 n=1 live=0 waiting=1>"
    await owner.flush()
    assert repr(owner.journal) == "<Journal invoker0 open epoch=1 n=2 live=1 waiting=0>"


async def test_prompt_means_confirmed_within_the_lease() -> None:
    """Not when the last confirmed write is too long ago."""
    owner = Owner(MemoryLog(), lease=10.0)
    assert not owner.journal.prompt()
    await owner.journal.open()
    assert owner.journal.prompt()
    owner.clock.advance(11)
    assert not owner.journal.prompt()
    owner.append(accepted("a"))
    await owner.settle()
    assert owner.journal.prompt()
