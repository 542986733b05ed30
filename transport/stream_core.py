"""What the core of any stream stands on, an invoker's or one of compositions: its journal, its actor system, their ends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from actors.base import StreamServices
from actors.ports import AnswerPort, Clock
from actors.system import CallSoon, NodeSystem, OnFailure, RestartLimit
from messages.commands import NotAccepted
from messages.events import Accepted
from messages.record import storable
from store.contract import DocumentLog
from store.journal import Folded, Journal, JournalHooks
from store.journal_queue import JournalSettings

REFUSED_BY_STORE = "The store refused the invocation."


class StreamCore:
    """`open` reads and claims the journal. Whoever makes the actors sets `services`, with a router in their directory."""

    services: StreamServices | None

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
        journal_settings: JournalSettings,
        on_failure: OnFailure,
        on_fenced: Callable[[], None],
        on_failed: Callable[[Exception], None],
        failpoint: Callable[[str, str], None] | None = None,
    ) -> None:
        hooks = JournalHooks(storable, self._refused, self.fenced, on_failed, failpoint)
        self.journal = Journal(log, stream, writer=writer, clock=clock, spawn=spawn, hooks=hooks, settings=journal_settings)
        self.system = NodeSystem(call_soon, clock.call_later, self._actor_failed)
        self._on_failure = on_failure
        self._on_failed = on_failed
        self._on_fenced = on_fenced
        self._answers = answers
        self._clock = clock

    async def open(self, *, clean: bool, address: str | None = None) -> Folded:
        """Claim and read the journal."""
        return await self.journal.open(clean=clean, address=address)

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
