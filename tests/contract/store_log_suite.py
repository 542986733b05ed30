"""The promises of DocumentLog: every store's log inherits `DocumentLogSuite` and gives it a fixture `log`."""

from __future__ import annotations

import asyncio

import pytest

from store.contract import DocumentLog, JournalDocument
from store.errors import Conflict, StoreRefused


class DocumentLogSuite:
    """`too_large`: a body size that this log refuses for ever."""

    too_large = 8_000_001

    async def test_a_document_reads_back_as_it_was_written(self, log: DocumentLog) -> None:
        """A log neither rewords nor interprets: any bytes come back."""
        body = bytes(range(256)) * 3
        await log.create("invoker0", 1, body)
        assert await log.read("invoker0", 1) == body

    async def test_a_new_stream_has_nothing(self, log: DocumentLog) -> None:
        """Questions about what isn't there are answered, not raised."""
        assert await log.read("invoker0", 1) is None
        assert await log.last("invoker0") is None
        assert await log.range("invoker0", 1, 10) == []
        assert await log.numbers("invoker0", 10) == []
        assert await log.streams() == []

    async def test_a_number_is_taken_once(self, log: DocumentLog) -> None:
        """The second create of a number is a Conflict, equal bytes or not, and changes nothing."""
        await log.create("invoker0", 1, b"first")
        for body in (b"second", b"first"):
            with pytest.raises(Conflict):
                await log.create("invoker0", 1, body)
        assert await log.read("invoker0", 1) == b"first"

    async def test_of_concurrent_creates_one_wins(self, log: DocumentLog) -> None:
        """Two writers of one number: exactly one is told that it is durable, and its bytes are there."""

        async def create(body: bytes) -> bytes | None:
            try:
                await log.create("invoker0", 1, body)
            except Conflict:
                return None
            return body

        answers = await asyncio.gather(*(create(str(i).encode()) for i in range(20)))
        won = [answer for answer in answers if answer is not None]
        assert len(won) == 1
        assert await log.read("invoker0", 1) == won[0]

    async def test_a_conflict_spoils_no_other_write(self, log: DocumentLog) -> None:
        """Writes that share a commit with one that conflicts are durable all the same."""
        await log.create("invoker0", 5, b"taken")
        answers = await asyncio.gather(*(log.create("invoker0", n, b"new") for n in range(1, 10)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Conflict if n == 5 else type(None) for n in range(1, 10)]
        assert await log.numbers("invoker0", 100) == list(range(1, 10))

    async def test_last_is_the_highest_number(self, log: DocumentLog) -> None:
        """Order is the number's: not the text's, not that of writing."""
        for n in (9, 10, 100, 2):
            await log.create("invoker0", n, str(n).encode())
        assert await log.last("invoker0") == JournalDocument(100, b"100")

    async def test_range_is_ascending_with_both_ends(self, log: DocumentLog) -> None:
        """Missing numbers are simply not there."""
        for n in (1, 2, 4, 10, 11):
            await log.create("invoker0", n, str(n).encode())
        assert [document.n for document in await log.range("invoker0", 2, 10)] == [2, 4, 10]
        assert await log.range("invoker0", 5, 9) == []
        assert await log.range("invoker0", 9, 5) == []
        assert [document.body for document in await log.range("invoker0", 11, 10**9)] == [b"11"]

    async def test_streams_are_apart(self, log: DocumentLog) -> None:
        """A name that begins another one's, and names with odd characters, are streams of their own."""
        names = ["controller0", "invoker1", "invoker10", "invoker1_", "invoker%"]
        for i, name in enumerate(names):
            await log.create(name, 1, str(i).encode())
        assert await log.streams() == sorted(names)
        assert [await log.read(name, 1) for name in names] == [b"0", b"1", b"2", b"3", b"4"]
        await log.delete("invoker1", [1])
        assert sorted(await log.streams()) == sorted(set(names) - {"invoker1"})

    async def test_deleting_takes_what_is_named(self, log: DocumentLog) -> None:
        """Numbers that are gone already don't matter; others stay."""
        for n in range(1, 6):
            await log.create("invoker0", n, b"x")
        await log.delete("invoker0", [2, 3, 77])
        await log.delete("invoker0", [])
        assert await log.numbers("invoker0", 5) == [1, 4]
        assert await log.numbers("invoker0", 6) == [1, 4, 5]

    async def test_a_deleted_number_can_be_created_again(self, log: DocumentLog) -> None:
        """The reason why claims are never deleted."""
        await log.create("invoker0", 1, b"old")
        await log.delete("invoker0", [1])
        await log.create("invoker0", 1, b"new")
        assert await log.read("invoker0", 1) == b"new"

    async def test_too_large_is_refused_for_ever(self, log: DocumentLog) -> None:
        """A body that will never be taken is StoreRefused, and its number stays free."""
        with pytest.raises(StoreRefused):
            await log.create("invoker0", 1, b"x" * self.too_large)
        await log.create("invoker0", 1, b"x")
        assert await log.read("invoker0", 1) == b"x"
