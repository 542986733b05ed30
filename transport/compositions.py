"""The core of one stream of compositions put together: journal, composer, writer. Runs beside an invoker's core, or alone."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial

from actors.base import Rules, StreamServices
from actors.composer import Composer
from actors.ports import ChildPort, Clock, ComponentPort, Instrument, RecordPort
from actors.result_writer import ResultWriter
from actors.system import CallSoon, NodeSystem, OnFailure, RestartLimit
from messages.commands import Drain, NotAccepted, Redo
from messages.composing import Compose, TakeUp
from messages.composition import Plan
from messages.events import Accepted
from messages.lifecycle import Stage
from messages.record import storable
from messages.wire import ActivationMessage, decode_message
from store.contract import DocumentLog
from store.journal import Folded, Journal, JournalHooks
from store.journal_queue import JournalSettings
from transport.contract import Refused
from transport.core import REFUSED_BY_STORE
from transport.local import LocalAnswers, LocalInvocation

STARTING = "The node is starting: it reads its journal."


class CompositionCore:
    """Sequences, conductors and fired triggers of one stream. `open` reads and claims the journal, `begin` takes up its work."""

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
        hooks = JournalHooks(storable, self._refused, self.fenced, on_failed, failpoint)
        self.journal = Journal(log, stream, writer=writer, clock=clock, spawn=spawn, hooks=hooks, settings=journal_settings)
        self.system = NodeSystem(call_soon, clock.call_later, self._actor_failed)
        self._stream = stream
        self._clock = clock
        self._answers = answers
        self._rules = rules
        self._instrument = instrument
        self._on_failure = on_failure
        self._on_failed = on_failed
        self._on_fenced = on_fenced
        self._unfit = unfit
        self.services: StreamServices | None = None

    async def open(self, *, clean: bool, address: str | None = None) -> Folded:
        """Claim and read the journal."""
        return await self.journal.open(clean=clean, address=address)

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
        directory.router = self.system.createActor(partial(Composer, services, components, children, self._stream))
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

    def fenced(self) -> None:
        """Another process owns the stream: from here on nothing of it is answered or recorded here."""
        self.system.shutdown()
        self._on_fenced()

    def _actor_failed(self, name: str, error: Exception, message: object) -> None:
        self._on_failure(name, error, message)
        if isinstance(error, RestartLimit):
            self._on_failed(error)

    def _refused(self, event: Accepted) -> None:
        self._answers.refused(event.id, REFUSED_BY_STORE, 413)
        if self.services is not None:
            self.system.tell(self.services.directory.router, NotAccepted(event.id))


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
