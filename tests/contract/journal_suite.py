"""What a Journal promises over any DocumentLog: a store's tests inherit `JournalSuite` and give it a fixture `log`."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256

import msgspec
import pytest
from msgspec import Raw

from messages.errors import IllegalTransition, UnknownEvent
from messages.events import Acked, AnyEvent, Claimed, Recorded, Snapshot
from messages.lifecycle import Stage
from store.contract import DocumentLog
from store.errors import Conflict, JournalDamaged, StoreFailed, StoreRefused, StoreUnavailable
from store.fold import Fold
from store.journal_codec import Body, events_of
from store.journal_reader import JournalReader
from tests.contract.journal_tools import (
    STREAM,
    ManualClock,
    Owner,
    TroubledLog,
    accepted,
    finished,
    life,
    started,
)


def decoded(body: bytes) -> Body:
    return msgspec.json.decode(body, type=Body)


def fold_of(created: dict[int, bytes]) -> Fold:
    """The state that all documents ever written add up to."""
    fold = Fold()
    for n in sorted(created):
        for event in events_of(STREAM, n, decoded(created[n])):
            fold.apply(n, event)
    return fold


def names(body: bytes) -> list[str]:
    return [event["e"] for event in msgspec.json.decode(decoded(body).events)]


class JournalSuite:
    @pytest.fixture
    def troubled(self, log: DocumentLog) -> TroubledLog:
        return TroubledLog(log)

    # Appending

    async def test_told_in_order_and_only_what_is_durable(self, troubled: TroubledLog) -> None:
        """When `done` is called the event is in the log."""
        owner = Owner(troubled)
        await owner.journal.open()
        durable_then: list[bool] = []

        def look() -> None:
            durable_then.append(any("accepted" in names(body) for body in troubled.created.values()))

        owner.journal.append(accepted("a"), look)
        for event in life("b"):
            owner.append(event)
        assert owner.told == [] and durable_then == []
        await owner.flush()
        assert durable_then == [True]
        assert owner.told == ["accepted b", "started b", "finished b", "recorded b", "acked b"]
        assert owner.journal.waiting == 0

    async def test_a_document_is_as_designed(self, troubled: TroubledLog) -> None:
        """`{epoch, writer, snapshot, sha, events}`, numbers without a gap, events ASCII, sha of the string, raw JSON unchanged."""
        owner = Owner(troubled)
        await owner.journal.open()
        result = '{"n":1e400,"i":123456789012345678901234567890,"t":"grün 🐍"}'
        owner.append(accepted("a"))
        owner.append(finished("a", result.encode()))
        await owner.flush()
        assert sorted(troubled.created) == [1, 2]
        raw = msgspec.json.decode(troubled.created[2])
        assert set(raw) == {"epoch", "writer", "snapshot", "sha", "events"}
        assert (raw["epoch"], raw["snapshot"]) == (1, 0)
        assert raw["events"].isascii()
        assert raw["sha"] == sha256(raw["events"].encode()).hexdigest()
        assert '"n":1e400,"i":123456789012345678901234567890' in raw["events"]
        again = Owner(troubled)
        folded = await again.journal.open()
        kept = folded.live[0].finished
        assert kept is not None and isinstance(kept.result, Raw)
        assert json.loads(bytes(kept.result))["t"] == "grün 🐍"

    async def test_what_arrives_during_a_commit_goes_into_the_next(self, troubled: TroubledLog) -> None:
        """Group commit: one document under way, all that waits in the one after it."""
        owner = Owner(troubled)
        await owner.journal.open()
        troubled.gate = asyncio.Event()
        owner.append(accepted("a0"))
        await asyncio.sleep(0)
        for i in range(1, 50):
            owner.append(accepted(f"a{i}"))
        assert owner.told == []
        troubled.gate.set()
        await owner.flush()
        assert [len(names(troubled.created[n])) for n in sorted(troubled.created)] == [1, 1, 49]

    async def test_documents_are_bounded(self, troubled: TroubledLog) -> None:
        """At most `max_events` and `max_bytes`; a larger event goes alone; order is kept."""
        owner = Owner(troubled, max_events=10, max_bytes=2000)
        await owner.journal.open()
        sizes = [0] * 25 + [700] * 4 + [5000] + [0] * 3
        for i, size in enumerate(sizes):
            owner.append(accepted(f"a{i}", size))
        await owner.flush()
        bodies = [decoded(troubled.created[n]) for n in sorted(troubled.created)][1:]
        ids = [[event["id"] for event in msgspec.json.decode(body.events)] for body in bodies]
        assert [each for one in ids for each in one] == [f"a{i}" for i in range(len(sizes))]
        assert all(len(one) <= 10 for one in ids)
        assert all(len(body.events) <= 2100 for body, one in zip(bodies, ids, strict=True) if one != ["a29"])
        assert ["a29"] in ids

    async def test_lazy_events_wait_for_company(self, troubled: TroubledLog) -> None:
        """No commit of their own until `lazy` has passed; the next commit takes them along."""
        owner = Owner(troubled)
        await owner.journal.open()
        for event in life("a")[:3]:
            owner.append(event)
        await owner.settle()
        owner.append(Recorded("a", 4), lazy=True)
        owner.clock.advance(0.019)
        await owner.settle()
        assert len(troubled.created) == 2
        owner.append(accepted("b"))
        await owner.settle()
        assert names(troubled.created[3]) == ["recorded", "accepted"]
        owner.append(Acked("a", 5), lazy=True)
        await owner.settle()
        assert len(troubled.created) == 3
        owner.clock.advance(0.021)
        await owner.settle()
        assert names(troubled.created[4]) == ["acked"]
        assert owner.told[-2:] == ["accepted b", "acked a"]

    async def test_close_writes_what_waits(self, troubled: TroubledLog) -> None:
        """Lazy events too; after it nothing is taken."""
        owner = Owner(troubled)
        await owner.journal.open()
        for event in life("a"):
            owner.append(event, lazy=True)
        await owner.journal.close()
        assert owner.told[-1] == "acked a"
        owner.append(accepted("b"))
        await owner.flush()
        assert "accepted b" not in owner.told
        assert owner.journal.waiting == 0

    async def test_an_impossible_event_is_raised_at_once(self, troubled: TroubledLog) -> None:
        """The bug shows where it is made, and nothing wrong is journaled."""
        owner = Owner(troubled)
        await owner.journal.open()
        owner.append(accepted("a"))
        for event in (accepted("a"), Recorded("a", 1), finished("b"), Claimed(1), Snapshot(1, [])):
            with pytest.raises(IllegalTransition):
                owner.append(event)
        await owner.flush()
        assert names(troubled.created[2]) == ["accepted"]

    async def test_raw_text_that_is_no_json_never_gets_into_the_journal(self, troubled: TroubledLog) -> None:
        """It would make its whole document unreadable: an `accepted` is refused, a `finished` made storable."""
        owner = Owner(troubled)
        await owner.journal.open()
        owner.append(accepted("a"))
        for bad in (b'{"a":1}{"b":2}', b"nonsense", b'{"a":"\\ud800"}', b"[" * 990 + b"]" * 990, b""):
            with pytest.raises(StoreRefused):
                owner.append(accepted("bad").__class__("bad", Raw(bad), 1))
        owner.append(finished("a", b'{"a":"\\ud800"}'))
        await owner.flush()
        kept = owner.journal.live["a"].finished
        assert kept is not None and bytes(kept.result) == b'{"error":"not storable"}'  # type: ignore[arg-type]
        again = Owner(troubled)
        assert [live.stage for live in (await again.journal.open()).live] == [Stage.FINISHED]

    async def test_failpoints_surround_each_document(self, troubled: TroubledLog) -> None:
        """before, written, after: for each event, `after` when those who wait were told."""
        owner = Owner(troubled)
        await owner.journal.open()
        owner.journal.append(accepted("a"), lambda: owner.points.append(("done", "")))
        await owner.flush()
        claim = [("claim", "before"), ("claim", "written"), ("claim", "after")]
        assert owner.points == [*claim, ("accepted", "before"), ("accepted", "written"), ("done", ""), ("accepted", "after")]

    # Uncertain answers

    async def test_an_outage_repeats_the_same_bytes(self, troubled: TroubledLog) -> None:
        """Nothing is added, no number is skipped; pauses grow to a second."""
        owner = Owner(troubled)
        await owner.journal.open()
        troubled.offered.clear()
        troubled.before = [StoreUnavailable("outage")] * 8
        owner.append(accepted("a"))
        await owner.settle()
        owner.append(accepted("b"))
        waited = stalled = 0.0
        while len(troubled.offered) < 9:
            await owner.settle()
            stalled = max(stalled, owner.journal.stalled())
            owner.clock.advance(0.01)
            waited += 0.01
        assert stalled > 3.0
        assert owner.journal.stalled() == 0.0
        assert 3.5 < waited < 6.0
        await owner.flush()
        assert len(set(troubled.offered[:9])) == 1
        assert owner.told == ["accepted a", "accepted b"]
        assert [names(troubled.created[n]) for n in (2, 3)] == [["accepted"], ["accepted"]]
        assert owner.trouble == []

    async def test_a_lost_answer_is_not_a_second_document(self, troubled: TroubledLog) -> None:
        """The repeat meets its own document: durable, told once."""
        owner = Owner(troubled)
        await owner.journal.open()
        troubled.after = [StoreUnavailable("answer lost")]
        owner.append(accepted("a"))
        await owner.flush()
        owner.append(accepted("b"))
        await owner.flush()
        assert owner.told == ["accepted a", "accepted b"]
        assert sorted(troubled.created) == [1, 2, 3]

    async def test_a_conflict_with_nothing_there_is_tried_again(self, troubled: TroubledLog) -> None:
        """409, then 404 on reading back: create again."""
        owner = Owner(troubled)
        await owner.journal.open()
        troubled.before = [Conflict("409")]
        troubled.hidden_reads = 1
        owner.append(accepted("a"))
        await owner.flush()
        assert owner.told == ["accepted a"]

    async def test_an_outage_while_reading_back(self, troubled: TroubledLog, monkeypatch: pytest.MonkeyPatch) -> None:
        """Uncertain still: asked again until it is certain."""
        owner = Owner(troubled)
        await owner.journal.open()
        troubled.after = [StoreUnavailable("answer lost")]
        outages = [StoreUnavailable("outage")] * 3
        inner = troubled.inner.read

        async def read(stream: str, n: int) -> bytes | None:
            if outages:
                raise outages.pop()
            return await inner(stream, n)

        monkeypatch.setattr(troubled, "read", read)
        owner.append(accepted("a"))
        await owner.flush()
        assert owner.told == ["accepted a"]
        assert owner.trouble == []

    async def test_failing_storage_ends_it(self, troubled: TroubledLog) -> None:
        """Said once; nothing more is told or taken."""
        owner = Owner(troubled)
        await owner.journal.open()
        troubled.before = [StoreFailed("I/O error")]
        owner.append(accepted("a"))
        await owner.flush()
        owner.append(accepted("b"))
        await owner.flush()
        assert owner.trouble == [("failed", "I/O error")]
        assert owner.told == []

    # Refusals

    async def test_a_refused_event_ends_alone(self, troubled: TroubledLog) -> None:
        """Halving finds it; an `accepted` is told as refused; its neighbours are durable, in order, once."""
        owner = Owner(troubled)
        await owner.journal.open()
        troubled.refuses = lambda body: StoreRefused("413") if b"bad" in body else None
        for i in range(20):
            owner.append(accepted(f"a{i}" if i != 13 else "bad"))
        await owner.flush()
        assert owner.trouble == [("refused", "bad")]
        assert owner.told == [f"accepted a{i}" for i in range(20) if i != 13]
        assert sorted(owner.journal.live) == sorted(f"a{i}" for i in range(20) if i != 13)
        owner.append(finished("a0"))
        await owner.flush()
        assert fold_of(troubled.created).live == dict(owner.journal.live)

    async def test_a_refused_result_becomes_a_storable_error(self, troubled: TroubledLog) -> None:
        """What the record will say is what the fold has; who waits is told when that is durable."""
        owner = Owner(troubled)
        await owner.journal.open()
        troubled.refuses = lambda body: StoreRefused("413") if b"too much" in body else None
        for name in ("a", "b", "c"):
            owner.append(accepted(name))
        for name in ("a", "b", "c"):
            owner.append(finished(name, b'"too much"' if name == "b" else b'"fine"'))
        await owner.flush()
        results = {name: bytes(live.finished.result) for name, live in owner.journal.live.items() if live.finished}  # type: ignore[arg-type]
        assert results == {"a": b'"fine"', "b": b'{"error":"not storable"}', "c": b'"fine"'}
        assert owner.told[-3:] == ["finished a", "finished b", "finished c"]
        assert owner.trouble == []

    async def test_a_refusal_after_a_lost_answer_is_checked(self, troubled: TroubledLog) -> None:
        """The earlier try may have been taken: then the event stands, and is no refusal."""
        owner = Owner(troubled)
        await owner.journal.open()
        troubled.after = [StoreUnavailable("answer lost")]
        troubled.before = [None, StoreRefused("413")]
        owner.append(accepted("a"))
        await owner.flush()
        assert owner.told == ["accepted a"]
        assert owner.trouble == []

    async def test_a_store_that_refuses_what_is_tiny_ends_it(self, troubled: TroubledLog) -> None:
        """There is no smaller form of `started`, and none of a storable error."""
        owner = Owner(troubled)
        await owner.journal.open()
        owner.append(accepted("a"))
        await owner.flush()
        troubled.refuses = lambda body: StoreRefused("413")
        owner.append(finished("a"))
        await owner.flush()
        assert len(owner.trouble) == 1 and "refuses an event 'finished'" in str(owner.trouble)

    # Owning

    async def test_an_older_owner_is_fenced(self, troubled: TroubledLog) -> None:
        """Its append after the newer one's claim is refused; it is told once, its waiters never; it takes nothing more."""
        older, newer = Owner(troubled), Owner(troubled)
        await older.journal.open()
        older.append(accepted("before"))
        await older.flush()
        folded = await newer.journal.open()
        assert (folded.epoch, [live.id for live in folded.live]) == (2, ["before"])
        older.append(accepted("lost"))
        older.append(finished("before"))
        await older.flush()
        assert older.trouble == ["fenced"]
        assert older.told == ["accepted before"]
        older.append(accepted("ignored"))
        await older.flush()
        assert older.trouble == ["fenced"]
        newer.append(accepted("after"))
        await newer.flush()
        assert sorted(newer.journal.live) == ["after", "before"]
        assert fold_of(troubled.created) == newer.journal._fold

    async def test_a_write_under_way_while_another_claims(self, troubled: TroubledLog) -> None:
        """Either it comes first and the claimer reads it, or it is fenced: never both, never neither."""
        older, newer = Owner(troubled), Owner(troubled)
        await older.journal.open()
        older.append(accepted("a"))
        claim = asyncio.ensure_future(newer.journal.open())
        await older.flush()
        folded = await claim
        assert ([live.id for live in folded.live] == ["a"]) == (older.told == ["accepted a"])
        assert (older.trouble == ["fenced"]) == (older.told == [])

    async def test_concurrent_claims_have_an_order(self, troubled: TroubledLog) -> None:
        """Every process gets an epoch of its own; only the last one can append."""
        owners = [Owner(troubled) for _ in range(8)]
        folded = await asyncio.gather(*(owner.journal.open() for owner in owners))
        assert sorted(each.epoch for each in folded) == list(range(1, 9))
        assert sorted(each.n for each in folded) == list(range(1, 9))
        for i, owner in enumerate(owners):
            owner.append(accepted(f"a{i}"))
        for owner in owners:
            await owner.flush()
        won = [owner for owner in owners if owner.told]
        assert [owner.journal.epoch for owner in won] == [8]
        assert sum(owner.trouble == ["fenced"] for owner in owners) == 7

    async def test_a_claim_rides_out_an_outage(self, troubled: TroubledLog) -> None:
        """And an answer that is lost: one claim, not two."""
        owner = Owner(troubled)
        troubled.before = [StoreUnavailable("outage")] * 3
        troubled.after = [StoreUnavailable("answer lost")]
        opening = asyncio.ensure_future(owner.journal.open())
        while not opening.done():
            await asyncio.sleep(0.001)
            owner.clock.advance(0.5)
        assert (await opening).epoch == 1
        assert sorted(troubled.created) == [1]

    async def test_a_restart_goes_on_where_the_journal_ends(self, troubled: TroubledLog) -> None:
        """Every stage of life is found again, in the order of acceptance, with all that was journaled."""
        first = Owner(troubled)
        await first.journal.open()
        for length in range(1, 6):
            for event in life(f"a{length}")[:length]:
                first.append(event)
        await first.flush()
        folded = await Owner(troubled).journal.open()
        stages = {live.id: live.stage for live in folded.live}
        assert stages == {"a1": Stage.ACCEPTED, "a2": Stage.STARTED, "a3": Stage.FINISHED, "a4": Stage.RECORDED}
        assert list(stages) == ["a1", "a2", "a3", "a4"]

    @pytest.mark.parametrize("snapshot_every", [2, 1000])
    async def test_attempts_count_where_the_process_died(self, troubled: TroubledLog, snapshot_every: int) -> None:
        """`started`, then a claim that isn't clean; a clean one or a crash before `started` counts nothing."""
        seen = []
        for clean, start in ((False, True), (True, True), (False, True), (False, False), (False, True), (False, False)):
            owner = Owner(troubled, snapshot_every=snapshot_every)
            await owner.journal.open(clean=clean)
            if not owner.journal.live:
                owner.append(accepted("a"))
            seen.append(owner.journal.live["a"].counted if owner.journal.live else 0)
            if start:
                owner.append(started("a", seen[-1] + 1, alone=len(seen) > 3))
            owner.append(accepted(f"filler{len(seen)}"))
            await owner.flush()
        assert seen == [0, 0, 1, 2, 2, 3]
        live = owner.journal.live["a"]
        assert (live.starts, live.alone, live.died_alone) == (4, True, True)

    # Snapshots, compaction, reading

    async def test_fifty_thousand_events(self, troubled: TroubledLog) -> None:
        """A restart reads from the newest snapshot, and it adds up to the same as everything."""
        owner = Owner(troubled, snapshot_every=20)
        await owner.journal.open()
        for i in range(10_000):
            for event in life(f"a{i}")[: 3 if i % 500 == 0 else 5]:
                owner.journal.append(event)
        await owner.flush()
        assert len(owner.journal.live) == 20
        again = Owner(troubled)
        await again.journal.open()
        assert again.journal._fold == owner.journal._fold == fold_of(troubled.created)
        assert any(names(body) == ["snapshot"] for body in troubled.created.values())

    async def test_compaction_keeps_what_is_needed(self, troubled: TroubledLog) -> None:
        """Claims, documents that the newest snapshot names, all from it on; the rest goes once it is old enough."""
        clock = ManualClock()
        for _ in range(3):
            owner = Owner(troubled, clock, snapshot_every=5, keep_ms=60_000)
            await owner.journal.open()
        for i in range(40):
            now = clock.wall_ms()
            owner.append(accepted(f"a{i}", at=now))
            await owner.flush()
            if i % 7:
                for event in (finished(f"a{i}"), Recorded(f"a{i}", now), Acked(f"a{i}", now)):
                    owner.append(event)
                await owner.flush()
        assert await owner.journal.compact(clock.wall_ms()) < 40, "too young, but for events dated 1970"
        clock.advance(120)
        assert await owner.journal.compact(clock.wall_ms()) > 10
        left = await troubled.numbers(STREAM, 10**6)
        claims = [n for n, body in troubled.created.items() if names(body) == ["claim"]]
        assert set(claims) <= set(left)
        again = Owner(troubled, clock)
        await again.journal.open()
        assert again.journal._fold == fold_of(troubled.created)
        assert sorted(again.journal.live) == sorted(f"a{i}" for i in range(0, 40, 7))

    async def test_documents_that_a_later_snapshot_needs_no_more_go(self, troubled: TroubledLog) -> None:
        """What compaction passed by is looked at again; at the end claims, snapshot and tail are left."""
        clock = ManualClock()
        owner = Owner(troubled, clock, snapshot_every=3, keep_ms=0)
        await owner.journal.open()
        owner.append(accepted("long"))
        for i in range(10):
            for event in life(f"a{i}"):
                owner.append(event)
            await owner.flush()
        clock.advance(1)
        await owner.journal.compact(clock.wall_ms())
        assert 2 in await troubled.numbers(STREAM, 3)
        for event in life("long")[1:]:
            owner.append(event)
        for i in range(10, 16):
            for event in life(f"a{i}"):
                owner.append(event)
            await owner.flush()
        clock.advance(1)
        await owner.journal.compact(clock.wall_ms())
        assert len(await troubled.numbers(STREAM, owner.journal._snapshot)) == 1

    async def test_a_journal_that_ends_with_its_snapshot(self, troubled: TroubledLog) -> None:
        """The process died right after a snapshot, compacted up to it: the snapshot itself says where reading starts."""
        clock = ManualClock()
        owner = Owner(troubled, clock, snapshot_every=3, keep_ms=0)
        await owner.journal.open()
        for event in life("a"):
            owner.append(event)
        await owner.flush()
        owner.append(accepted("b"))
        await owner.flush()
        troubled.refuses = lambda body: StoreUnavailable("outage") if b"final" in body else None
        owner.append(accepted("final"))
        await owner.settle()
        assert names(troubled.created[max(troubled.created)]) == ["snapshot"]
        assert await owner.journal.compact(clock.wall_ms() + 1) > 0
        owner.die()
        again = Owner(troubled)
        await again.journal.open()
        assert sorted(again.journal.live) == ["b"]
        assert again.journal._fold == fold_of(troubled.created)

    async def test_a_refused_snapshot_is_done_without(self, troubled: TroubledLog) -> None:
        """The journal goes on, and tries the next one when it is due."""
        owner = Owner(troubled, snapshot_every=3)
        await owner.journal.open()
        troubled.refuses = lambda body: StoreRefused("413") if b"snapshot\\" in body else None
        for i in range(8):
            owner.append(accepted(f"a{i}"))
            await owner.flush()
        assert len(troubled.created) == 9
        troubled.refuses = lambda body: None
        for i in range(8, 16):
            owner.append(accepted(f"a{i}"))
            await owner.flush()
        assert ["snapshot"] in [names(body) for body in troubled.created.values()]
        assert len(owner.told) == 16
        assert owner.trouble == []

    async def test_compaction_keeps_what_it_cannot_read(self, troubled: TroubledLog) -> None:
        """It might be a claim."""
        clock = ManualClock()
        owner = Owner(troubled, clock, snapshot_every=4, keep_ms=0)
        await owner.journal.open()
        for i in range(10):
            for event in life(f"a{i}"):
                owner.append(event)
            await owner.flush()
        troubled.bent = {3: b"nonsense"}
        clock.advance(1)
        assert await owner.journal.compact(clock.wall_ms()) > 2
        assert await troubled.numbers(STREAM, 5) == [1, 3]

    async def test_a_fenced_owner_deletes_nothing(self, troubled: TroubledLog) -> None:
        """Only the owner compacts."""
        clock = ManualClock()
        older = Owner(troubled, clock, snapshot_every=2, keep_ms=0)
        await older.journal.open()
        for i in range(8):
            older.append(accepted(f"a{i}"))
            await older.flush()
        await Owner(troubled, clock).journal.open()
        older.append(accepted("late"))
        await older.flush()
        assert older.trouble == ["fenced"]
        before = await troubled.numbers(STREAM, 10**6)
        clock.advance(10)
        assert await older.journal.compact(clock.wall_ms()) == 0
        assert await troubled.numbers(STREAM, 10**6) == before

    async def test_an_older_owner_meets_a_claim_even_after_compaction(self, troubled: TroubledLog) -> None:
        """It slept while its successor wrote, made snapshots and compacted: its number is still taken."""
        clock = ManualClock()
        older = Owner(troubled, clock)
        await older.journal.open()
        newer = Owner(troubled, clock, snapshot_every=2, keep_ms=0)
        await newer.journal.open()
        for i in range(10):
            for event in life(f"a{i}"):
                newer.append(event)
            await newer.flush()
        clock.advance(10)
        assert await newer.journal.compact(clock.wall_ms()) > 5
        older.append(accepted("late"))
        await older.flush()
        assert (older.trouble, older.told) == (["fenced"], [])

    async def filled(self, troubled: TroubledLog) -> None:
        owner = Owner(troubled)
        await owner.journal.open()
        for i in range(5):
            owner.append(accepted(f"a{i}"))
            await owner.flush()

    @pytest.mark.parametrize("n", [1, 3, 6])
    async def test_a_flipped_byte_is_found(self, troubled: TroubledLog, n: int) -> None:
        """Anywhere in a document: damaged, naming it, never taken for true."""
        await self.filled(troubled)
        body = troubled.created[n]
        for place in (5, body.index(b"events") + 12, len(body) - 8):
            flipped = bytearray(body)
            flipped[place] ^= 0x01
            troubled.bent = {n: bytes(flipped)}
            with pytest.raises(JournalDamaged, match=rf"{STREAM}.*document {n}\b"):
                await Owner(troubled).journal.open()

    async def test_a_missing_number_is_found(self, troubled: TroubledLog) -> None:
        """Named, after reading again three times; a number that only hides for a moment is no damage."""
        await self.filled(troubled)
        troubled.bent = {4: None}
        with pytest.raises(JournalDamaged, match="document 4 is missing"):
            await Owner(troubled).journal.open()
        last = await JournalReader(troubled, STREAM).last()
        assert last is not None
        inner, calls = troubled.inner.range, 0

        async def flickering(stream: str, first: int, upto: int) -> list[object]:
            nonlocal calls
            calls += 1
            if calls == 3:
                troubled.bent = {}
            return [d for d in await inner(stream, first, upto) if d.n not in troubled.bent]  # type: ignore[return-value]

        troubled.range = flickering  # type: ignore[method-assign,assignment]
        assert len((await JournalReader(troubled, STREAM).folded(0, last[0])).live) == 5

    async def test_a_newer_release_is_named(self, troubled: TroubledLog) -> None:
        """An event or version that this release doesn't know: stop, say upgrade."""
        await self.filled(troubled)
        for event in ('[{"e":"teleported","v":1}]', '[{"e":"accepted","v":99,"what":[]}]'):
            body = Body(1, "w", 0, sha256(event.encode()).hexdigest(), event)
            troubled.bent = {3: msgspec.json.encode(body)}
            with pytest.raises(UnknownEvent, match="upgrade rewhisk"):
                await Owner(troubled).journal.open()

    async def test_events_that_cannot_follow_are_damage(self, troubled: TroubledLog) -> None:
        """A document whose checksum is right and whose place is wrong."""
        await self.filled(troubled)
        troubled.bent = {4: troubled.created[3]}
        with pytest.raises(JournalDamaged, match="document 4 does not follow"):
            await Owner(troubled).journal.open()

    async def test_anyone_can_read_a_life(self, troubled: TroubledLog) -> None:
        """All events of one activation in order, with number and epoch, and the claims between them."""
        for count in (2, 4):
            owner = Owner(troubled)
            await owner.journal.open()
            for event in life("a")[2 if count == 4 else 0 : count]:
                owner.append(event)
            owner.append(accepted(f"other{count}"))
            await owner.flush()
        reader = JournalReader(troubled, STREAM)
        told = [(n, epoch, event.name) for n, epoch, event in await reader.history("a")]
        assert told == [(2, 1, "accepted"), (2, 1, "started"), (3, 2, "claim"), (4, 2, "finished"), (4, 2, "recorded")]
        assert await reader.history("nobody") == []
        everything: list[AnyEvent] = [event async for _, _, event in reader.events()]
        assert [event.name for event in everything].count("accepted") == 3
        assert [n async for n, _, _ in reader.events(3, 3)] == [3]
        assert [n async for n, _, _ in JournalReader(troubled, "nowhere").events()] == []
