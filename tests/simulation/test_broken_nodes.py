"""The oracle sees what it has to: nodes that are broken on purpose, each in one place, are caught within a number of seeds."""

from __future__ import annotations

import pytest

import tests.simulation.node as node_module
from actors import activation_router, recovery
from actors.activation_router import ActivationRouter
from actors.container_proxy import ContainerProxy
from actors.pool import Assign
from actors.result_writer import ResultWriter
from messages.commands import Free, Run
from messages.events import Accepted, Finished, Recorded, Started
from store.fold import Fold
from store.journal import Journal, _Verdict
from store.journal_compaction import Compaction
from store.journal_reader import JournalReader
from tests.oracle import Broken, check
from tests.simulation.containers import Machine, SimContainers
from tests.simulation.scenario import Simulation
from transport import core, stream_core


def caught(seeds: int, *because: str) -> None:
    """One of that many seeds has a history that is refused, for one of these reasons if any are given."""
    for seed in range(seeds):
        try:
            check(Simulation(seed).run())
        except Broken as error:
            if not because or any(each in str(error) for each in because):
                print(f"caught at seed {seed}: {error}")
                return
    pytest.fail(f"not caught within {seeds} seeds")


def no_barrier(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    class Hasty(Journal):
        def append(self, event, done=None, *, lazy=False):
            if isinstance(event, kind) and done is not None:
                super().append(event)
                done()
            else:
                super().append(event, done, lazy=lazy)

    monkeypatch.setattr(stream_core, "Journal", Hasty)


def test_accepted_before_it_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told, run and recorded although `accepted` may never get to the store."""
    no_barrier(monkeypatch, Accepted)
    caught(60, "the journal doesn't know", "was never accepted")


def test_record_before_accepted_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record for something that nobody accepted."""

    class Hasty(ActivationRouter):
        def on_invoke(self, message):
            super().on_invoke(message)
            routed = self.routed.get(message.activation_id)
            if routed is not None and routed.action is not None and not self.pool.fits(routed.action.limits.memory):
                self.services.records.write(recordless(message), lambda: None)

        HANDLERS = ActivationRouter.HANDLERS | {core.Invoke: on_invoke}

    def recordless(message):
        from actors.endings import failed
        from messages.record import record_of

        return record_of(message.message, failed(message.message, None, 3, "too large", 1_700_000_000_000), [])

    monkeypatch.setattr(core, "ActivationRouter", Hasty)
    caught(300, "has a record and was never accepted")


def test_answer_before_finished_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller hears of a result that a rerun replaces."""
    no_barrier(monkeypatch, Finished)
    caught(100, "other than recorded", "time")


def test_replay_that_skips_the_last_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the newest document before the claim tells is forgotten."""
    honest = JournalReader.folded

    async def folded(self, snapshot, last):
        return await honest(self, snapshot, max(snapshot, last - 2))

    monkeypatch.setattr(JournalReader, "folded", folded)
    caught(30, "was accepted and has no record")


def test_duplicate_enqueue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that ran is still queued, and runs once more."""

    class Twice(ActivationRouter):
        def _place(self, decision: Assign) -> None:
            super()._place(decision)
            routed = self.routed[decision.id]
            self.last_job = (decision.cid, routed)

        def on_free(self, message: Free) -> None:
            super().on_free(message)
            last = getattr(self, "last_job", None)
            if last is not None and last[0] == message.cid and message.cid in self.proxies:
                from messages.commands import Job

                routed = last[1]
                job = Job(routed.message, routed.action, 1, 0, False, 0.0)
                self.send(self.proxies[message.cid], Run(job, True))

        HANDLERS = ActivationRouter.HANDLERS | {Free: on_free}

    monkeypatch.setattr(core, "ActivationRouter", Twice)
    caught(20)


def test_claim_deleted_by_compaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older owner writes where its successor's claim was, and isn't fenced."""

    def due(self, documents, superseded, before):
        return [document.n for document in documents], None

    monkeypatch.setattr(Compaction, "_due", due)
    caught(1000, "has no record", "illegal life", "other than recorded")


def test_rerun_while_the_old_container_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers that outlive their process are left to run on."""

    async def leave(self, process, keep=()):
        return None

    monkeypatch.setattr(Machine, "remove_leftovers", leave)
    caught(100, "at the same time")


def test_a_container_that_works_noted_as_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """And who takes over looks at nothing else: it goes on with a container in the middle of a run."""
    honest, keepable = SimContainers.call, recovery.keepable

    def careless(self, cid, *rest):
        idle = dict(self.machine.idle)
        honest(self, cid, *rest)
        self.machine.idle.update(idle)

    monkeypatch.setattr(SimContainers, "call", careless)
    monkeypatch.setattr(recovery, "keepable", lambda idle, noted, live, memory: keepable(idle, {}, live, memory))
    caught(100, "while code runs in it", "at the same time")


def test_note_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that only the note knew of is hidden by the record of the rerun."""
    honest = recovery.resume
    monkeypatch.setattr(recovery, "resume", lambda live, noted, **rest: honest(live, (), **rest))
    caught(600, "its record hides it", "poison")


def test_snapshot_that_forgets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a snapshot doesn't list is lost at the next start."""
    honest = Fold.snapshot

    def forgetful(self, at):
        snapshot = honest(self, at)
        return type(snapshot)(snapshot.at, snapshot.live[1:], snapshot.next_offsets)

    monkeypatch.setattr(Fold, "snapshot", forgetful)
    caught(100, "was accepted and has no record")


def test_lost_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its activation stays live for ever."""

    class Forgetful(Journal):
        def append(self, event, done=None, *, lazy=False):
            if not isinstance(event, Recorded):
                super().append(event, done, lazy=lazy)

    monkeypatch.setattr(stream_core, "Journal", Forgetful)
    caught(5, "is live at rest")


def test_fenced_owner_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that takes another's document for its own tells people what nobody will do."""
    honest = Journal._read_back

    async def blind(self, write):
        verdict = await honest(self, write)
        return _Verdict.DURABLE if verdict is _Verdict.FENCED else verdict

    monkeypatch.setattr(Journal, "_read_back", blind)
    caught(200, "other than recorded", "doesn't know")


def test_started_is_no_barrier_for_what_may_not_be_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`replay: never` needs `started` to be durable before the code runs."""
    monkeypatch.setattr(activation_router, "may_run_ahead", lambda services, job: True)
    caught(1000, "must not be replayed")


def test_poison_that_is_never_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule of the third attempt it kills the node for ever."""
    honest = recovery.resume
    monkeypatch.setattr(recovery, "resume", lambda live, noted, **rest: honest(live, noted, **rest | {"alone_from": 10**9}))
    caught(60)


def test_given_up_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """An innocent one that died beside others is not given up."""
    honest = Fold._claimed

    def harsh(self, event):
        honest(self, event)
        for live in self.live.values():
            live.died_alone = live.counted > 1

    monkeypatch.setattr(Fold, "_claimed", harsh)
    caught(300, "given up without")


def test_record_that_is_not_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record says something else than the caller was told."""
    honest = ResultWriter._record

    def _record(self, ending, logs):
        record = honest(self, ending, logs)
        return record if not logs else type(record)(**{f: getattr(record, f) for f in record.__struct_fields__} | {"end": 1})

    monkeypatch.setattr(ResultWriter, "_record", _record)
    caught(10, "other than recorded")


def test_container_that_is_never_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken container stays, and with it its memory."""
    monkeypatch.setattr(node_module.SimContainers, "destroy_all", lambda self: None)
    caught(10, "is left")


def test_a_failing_handler_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An actor that raises is no part of a calm history."""

    def on_free(self, message):
        raise RuntimeError("bug")

    monkeypatch.setattr(ActivationRouter, "HANDLERS", ActivationRouter.HANDLERS | {Free: on_free})
    caught(10, "failed at Free")


def test_started_twice_in_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event after the end is no legal life, and the journal says so at once."""
    honest = ContainerProxy._over

    def _over(self, run, event):
        honest(self, run, event)
        self.services.journal.append(Started(run.job.activation_id, 1, "x", 0))

    monkeypatch.setattr(ContainerProxy, "_over", _over)
    caught(10)
