"""The core put together: journal, actors and ports of one stream. The node gives it real parts, the simulation its own."""

from __future__ import annotations

from collections.abc import Callable, Container, Coroutine, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw, Struct
from thespian.actors import WakeupMessage

from actors import recovery
from actors.activation_router import ActivationRouter
from actors.base import Rules, Services
from actors.log_reader import LogReader
from actors.pool import Pool, PoolSettings
from actors.ports import AckPort, ActionPort, AnswerPort, Clock, ContainerPort, Instrument, RecordPort
from actors.result_writer import ResultWriter
from actors.system import CallSoon, NodeSystem, OnFailure, RestartLimit
from messages.commands import Acknowledged, Adopt, Drain, Ended, Idle, Invoke, LogChunk, NotAccepted, Redo, Resume
from messages.events import Accepted
from messages.record import IDEMPOTENCY, storable
from store.contract import DocumentLog
from store.journal import Folded, Journal, JournalHooks
from store.journal_queue import JournalSettings


class _Traced(Struct, rename="camel"):
    """The part of a message that says whether it may come again."""

    trace_context: dict[str, str] = {}


def _traced(message: Raw) -> dict[str, str]:
    context = msgspec.json.decode(message, type=_Traced).trace_context
    return {IDEMPOTENCY: context[IDEMPOTENCY]} if IDEMPOTENCY in context else {}


REFUSED_BY_STORE = "The store refused the invocation."


class Core:
    """Everything between the transports and the effects. `open` reads and claims the journal, `start` takes up its work."""

    def __init__(
        self,
        *,
        log: DocumentLog,
        stream: str,
        writer: str,
        clock: Clock,
        call_soon: CallSoon,
        spawn: Callable[[Coroutine[object, object, None]], object],
        answers: AnswerPort,
        rules: Rules,
        pool: PoolSettings,
        policy: type[Pool] = Pool,
        journal_settings: JournalSettings,
        instrument: Instrument,
        on_failure: OnFailure,
        on_fenced: Callable[[], None],
        on_failed: Callable[[Exception], None],
        failpoint: Callable[[str, str], None] | None = None,
        unfit: Callable[[], str | None] = lambda: None,
        unlock: Callable[[Raw, Mapping[str, str]], Raw] = lambda content, locked: content,
        acks: AckPort | None = None,
        steady: Callable[[], bool] = lambda: True,
        may_start: Callable[[], bool] = lambda: True,
    ) -> None:
        hooks = JournalHooks(storable, self._refused, self.fenced, on_failed, failpoint)
        self.journal = Journal(log, stream, writer=writer, clock=clock, spawn=spawn, hooks=hooks, settings=journal_settings)
        self.system = NodeSystem(call_soon, clock.call_later, self._actor_failed)
        self._on_failure = on_failure
        self._on_failed = on_failed
        self._on_fenced = on_fenced
        self._answers = answers
        self._clock = clock
        self._rules = rules
        self._pool = pool
        self._policy = policy
        self._instrument = instrument
        self._unfit = unfit
        self._unlock = unlock
        self._acks = acks
        self._steady = steady
        self._may_start = may_start
        self.services: Services | None = None

    async def open(self, *, clean: bool, address: str | None = None) -> Folded:
        """Claim and read the journal."""
        return await self.journal.open(clean=clean, address=address)

    def begin(self, containers: ContainerPort, records: RecordPort, actions: ActionPort, *, run_ahead_from: float) -> None:
        """Make the actors."""
        self.services = services = Services(
            clock=self._clock,
            journal=self.journal,
            containers=containers,
            records=records,
            actions=actions,
            answers=self._answers,
            tell=self.system.tell,
            instrument=self._instrument,
            rules=self._rules,
            make_pool=self._policy,
            unfit=self._unfit,
            unlock=self._unlock,
            acks=self._acks,
            steady=self._steady,
            may_start=self._may_start,
            settled=containers.settled,
            run_ahead_from=run_ahead_from,
        )
        directory = services.directory
        directory.reader = self.system.createActor(partial(LogReader, services))
        directory.writer = self.system.createActor(partial(ResultWriter, services))
        directory.router = self.system.createActor(partial(ActivationRouter, services, self._pool))

    def adopt(self, idle: list[Idle]) -> None:
        """Take over containers that an earlier process left idle; before `resume`, so that what runs again finds them."""
        assert self.services is not None
        self.system.tell(self.services.directory.router, Adopt(idle))

    def resume(self, noted: Container[str], held: Callable[[Resume], bool] = lambda command: False) -> int:
        """Queue again what an earlier process left; how many that were. `noted`: ids that the note names as mid-run.

        `held`: its code may still run elsewhere; whoever says so hands it to `take_up` when it can't any more.
        """
        assert self.services is not None
        now = self._clock.wall_ms()
        left = recovery.resume(list(self.journal.live.values()), noted, alone_from=self._rules.alone_from, now_ms=now)
        for command in left:
            if not isinstance(command, Resume) or not held(command):
                self.take_up(command)
        return sum(not isinstance(command, Redo) for command in left)

    def take_up(self, command: Redo | Resume | Ended) -> None:
        """Go on with what an earlier process left."""
        assert self.services is not None
        directory = self.services.directory
        self.system.tell(directory.router if isinstance(command, Resume) else directory.writer, command)

    def hand_in(self, command: Invoke) -> None:
        """New work."""
        assert self.services is not None
        self.system.tell(self.services.directory.router, command)

    def acknowledged(self, activation_id: str) -> None:
        """The controller of an activation knows how it ended."""
        assert self.services is not None
        self.system.tell(self.services.directory.writer, Acknowledged(activation_id))

    def plan(self) -> None:
        """Something outside has changed that keeps work from being placed."""
        if self.services is not None:
            self.system.tell(self.services.directory.router, WakeupMessage(timedelta(0)))

    def output(self, chunk: LogChunk) -> None:
        """Output of a container."""
        assert self.services is not None
        self.system.tell(self.services.directory.reader, chunk)

    def drain(self) -> None:
        """Accept nothing more."""
        assert self.services is not None
        self.system.tell(self.services.directory.router, Drain())

    def overview(self, resumed: Sequence[str]) -> dict[str, object]:
        """The journal's state, and how much is left of what an earlier process had left (ids `resumed`)."""
        journal = self.journal
        return {
            "resumed": {"total": len(resumed), "left": sum(id in journal.live for id in resumed)},
            "journal": {
                "documents": journal.n, "waiting": journal.waiting, "stalled": round(journal.stalled(), 3),
                "commit_ms": round(journal.commit_ms, 1),
            },
        }  # fmt: skip

    def pending(self, namespace: str, activation_id: str) -> dict[str, Any] | None:
        """The state of an unfinished activation, for its namespace."""
        if self.services is None:
            return None
        progress = self.services.board.get(activation_id)
        if progress is None or progress.namespace != namespace:
            return None
        state: dict[str, Any] = {"state": progress.state, "since": progress.since, "attempt": progress.attempt}
        live = self.journal.live.get(activation_id)
        return state if live is None else state | _traced(live.message)

    def fenced(self) -> None:
        """Another process owns the stream: from here on no actor answers, runs or records anything."""
        self.system.shutdown()
        self._on_fenced()

    def _actor_failed(self, name: str, error: Exception, message: object) -> None:
        """An actor that is restarted no more leaves a node that does nothing: the process ends, its successor has the journal."""
        self._on_failure(name, error, message)
        if isinstance(error, RestartLimit):
            self._on_failed(error)

    def _refused(self, event: Accepted) -> None:
        self._answers.refused(event.id, REFUSED_BY_STORE, 413)
        if self.services is not None:
            self.system.tell(self.services.directory.router, NotAccepted(event.id))
