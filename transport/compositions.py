"""The core of one stream of compositions put together: journal, composer, writer. Runs beside an invoker's core, or alone."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial

from actors.base import Rules, StreamServices
from actors.composer import Composer
from actors.ports import ChildPort, Clock, ComponentPort, Instrument, RecordPort
from actors.result_writer import ResultWriter
from actors.system import CallSoon, OnFailure
from messages.commands import Drain, Redo
from messages.composing import Compose, TakeUp
from messages.composition import Plan
from messages.lifecycle import Stage
from messages.wire import ActivationMessage, decode_message
from store.contract import DocumentLog
from store.journal_queue import JournalSettings
from transport.contract import Refused
from transport.local import LocalAnswers, LocalInvocation
from transport.stream_core import StreamCore

STARTING = "The node is starting: it reads its journal."


class CompositionCore(StreamCore):
    """Sequences, conductors and fired triggers of one stream. `open` reads and claims the journal, `begin` takes up its work."""

    _answers: LocalAnswers

    def __init__(
        self,
        *,
        log: DocumentLog,
        stream: str,
        writer: str,
        clock: Clock,
        call_soon: CallSoon,
        spawn: Callable[[Coroutine[object, object, None]], object],
        answers: LocalAnswers,
        rules: Rules,
        journal_settings: JournalSettings,
        instrument: Instrument,
        on_failure: OnFailure,
        on_fenced: Callable[[], None],
        on_failed: Callable[[Exception], None],
        failpoint: Callable[[str, str], None] | None = None,
        unfit: Callable[[], str | None] = lambda: None,
    ) -> None:
        super().__init__(
            log=log, stream=stream, writer=writer, clock=clock, call_soon=call_soon, spawn=spawn, answers=answers,
            journal_settings=journal_settings, on_failure=on_failure, on_fenced=on_fenced, on_failed=on_failed, failpoint=failpoint,
        )  # fmt: skip
        self._rules = rules
        self._instrument = instrument
        self._unfit = unfit
        self.services: StreamServices | None = None

    def begin(self, records: RecordPort, components: ComponentPort, children: ChildPort) -> int:
        """Make the actors and go on with what an earlier process left; how much that was."""
        self.services = services = StreamServices(
            clock=self._clock,
            journal=self.journal,
            records=records,
            answers=self._answers,
            tell=self.system.tell,
            instrument=self._instrument,
            rules=self._rules,
            unfit=self._unfit,
        )
        directory = services.directory
        directory.writer = self.system.createActor(partial(ResultWriter, services))
        directory.router = self.system.createActor(partial(Composer, services, components, children, self.journal.stream))
        live = list(self.journal.live.values())
        for each in live:
            if each.finished is None:
                self.system.tell(directory.router, TakeUp(each.id))
            else:
                recorded, acked = each.stage is Stage.RECORDED, each.stage is Stage.ACKED
                self.system.tell(directory.writer, Redo(decode_message(each.message), each.finished, recorded, acked))
        return sum(each.finished is None for each in live)

    async def compose(self, message: ActivationMessage, plan: Plan, *, owed: bool = False) -> LocalInvocation:
        """Compositions.compose."""
        command = Compose(message, plan, owed)
        return await self._answers.accept(message.activation_id, lambda: self._hand_in(command))

    def _hand_in(self, command: Compose) -> None:
        assert self.services is not None
        self.system.tell(self.services.directory.router, command)

    def pending(self, namespace: str, activation_id: str) -> dict[str, object] | None:
        """Compositions.pending: the state with the children so far."""
        progress = self.services.board.get(activation_id) if self.services is not None else None
        if progress is None or progress.namespace != namespace:
            return None
        live = self.journal.live.get(activation_id)
        children = list(live.children) if live is not None else []
        return {"state": progress.state, "since": progress.since, "attempt": 1, "children": children}

    def drain(self) -> None:
        """Accept nothing more; what is live goes on."""
        if self.services is not None:
            self.system.tell(self.services.directory.router, Drain())


class CompositionDoor:
    """The Compositions of a process, there from its start; what comes before the journal is read finds nothing."""

    def __init__(self) -> None:
        self.core: CompositionCore | None = None

    async def compose(self, message: ActivationMessage, plan: Plan, *, owed: bool = False) -> LocalInvocation:
        """Compositions.compose."""
        if self.core is None:
            raise Refused(STARTING)
        return await self.core.compose(message, plan, owed=owed)

    def pending(self, namespace: str, activation_id: str) -> dict[str, object] | None:
        """Compositions.pending."""
        return self.core.pending(namespace, activation_id) if self.core is not None else None

    def live(self) -> int:
        """Compositions accepted and not over."""
        return len(self.core.journal.live) if self.core is not None else 0

    def stalled(self) -> float:
        """Seconds for which their journal has had no certain answer."""
        return self.core.journal.stalled() if self.core is not None else 0.0

    def in_flight(self) -> list[tuple[str, str]]:
        """(activation id, namespace) of what is unfinished."""
        board = self.core.services.board if self.core is not None and self.core.services is not None else {}
        return [(activation_id, progress.namespace) for activation_id, progress in board.items()]

    async def compact(self, now: int) -> int:
        """As Journal.compact."""
        return await self.core.journal.compact(now) if self.core is not None else 0

    def drain(self) -> None:
        """Accept nothing more; what is live goes on."""
        if self.core is not None:
            self.core.drain()

    def stop(self) -> None:
        """No actor does anything more; what is unfinished stays journaled."""
        if self.core is not None:
            self.core.system.shutdown()

    async def close(self) -> None:
        """Wait until all that was appended is durable."""
        if self.core is not None:
            await self.core.journal.close()
