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
from actors.system import CallSoon, OnFailure
from messages.commands import Acknowledged, Adopt, Drain, Ended, Idle, Invoke, LogChunk, Redo, Resume
from messages.record import IDEMPOTENCY
from store.contract import DocumentLog
from store.journal_queue import JournalSettings
from transport.stream_core import StreamCore


class _Traced(Struct, rename="camel"):
    """The part of a message that says whether it may come again."""

    trace_context: dict[str, str] = {}


def _traced(message: Raw) -> dict[str, str]:
    context = msgspec.json.decode(message, type=_Traced).trace_context
    return {IDEMPOTENCY: context[IDEMPOTENCY]} if IDEMPOTENCY in context else {}


class Core(StreamCore):
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
        super().__init__(
            log=log, stream=stream, writer=writer, clock=clock, call_soon=call_soon, spawn=spawn, answers=answers,
            journal_settings=journal_settings, on_failure=on_failure, on_fenced=on_fenced, on_failed=on_failed, failpoint=failpoint,
        )  # fmt: skip
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

