"""The way in for callers in this process: the REST API. Who waits for which activation, and the Invoker that hands work in.

A waiting caller dies with the process, so there is nothing about it to journal; after a crash its activation finishes all the
same, and the caller's id finds the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from messages.action import Executable
from messages.commands import Invoke
from messages.wire import ActivationMessage, ActivationRecord
from transport.contract import Refused


class LocalInvocation:
    """An accepted activation and its caller."""

    __slots__ = ("_answers", "_ended", "_record", "_waiter", "id")

    def __init__(self, answers: LocalAnswers, activation_id: str) -> None:
        self._answers = answers
        self.id = activation_id
        self._record: ActivationRecord | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    async def result(self, timeout: float) -> ActivationRecord | None:
        """Invocation.result."""
        if self._record is None and not self._ended:
            loop = asyncio.get_running_loop()
            self._waiter = waiter = loop.create_future()
            timer = loop.call_later(timeout, self.wake)
            try:
                await waiter
            finally:
                timer.cancel()
        return self._record

    def deliver(self, record: ActivationRecord) -> None:
        """Its end."""
        self._record = record
        self.wake()

    def end(self) -> None:
        """The node ends: there will be no record here."""
        self._ended = True
        self.wake()

    def wake(self) -> None:
        """Whoever waits goes on with what there is."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def forget(self) -> None:
        """Invocation.forget."""
        self._answers.drop(self)


class LocalAnswers:
    """An AnswerPort whose answers go to futures."""

    def __init__(self) -> None:
        self._accepting: dict[str, list[asyncio.Future[None]]] = {}
        self._waiting: dict[str, list[LocalInvocation]] = {}

    def __repr__(self) -> str:
        return f"<LocalAnswers {len(self._accepting)} accepting, {len(self._waiting)} waited for>"

    async def accept(self, activation_id: str, hand_in: Callable[[], None]) -> LocalInvocation:
        """Hand work in and return when it is accepted. Raises Refused, or ConnectionAbortedError if the node ends first."""
        invocation = LocalInvocation(self, activation_id)
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._accepting.setdefault(activation_id, []).append(accepted)
        self._waiting.setdefault(activation_id, []).append(invocation)
        hand_in()
        try:
            await accepted
        except BaseException:
            self.drop(invocation)
            raise
        return invocation

    def drop(self, invocation: LocalInvocation) -> None:
        """Nobody waits there any more."""
        waiting = self._waiting.get(invocation.id)
        if waiting is not None and invocation in waiting:
            waiting.remove(invocation)
            if not waiting:
                del self._waiting[invocation.id]

    def accepted(self, activation_id: str) -> None:
        """AnswerPort.accepted."""
        for future in self._accepting.pop(activation_id, ()):
            if not future.done():
                future.set_result(None)

    def refused(self, activation_id: str, reason: str, status: int) -> None:
        """AnswerPort.refused."""
        for future in self._accepting.pop(activation_id, ()):
            if not future.done():
                future.set_exception(Refused(reason, status))

    def finished(self, activation_id: str, record: ActivationRecord) -> None:
        """AnswerPort.finished. Work that was finished was accepted."""
        self.accepted(activation_id)
        for invocation in self._waiting.pop(activation_id, ()):
            invocation.deliver(record)

    def abort(self) -> None:
        """The node ends: whoever does not know yet whether it was accepted gets no answer."""
        for futures in self._accepting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(ConnectionAbortedError("the node ended"))
        self._accepting.clear()
        for invocations in self._waiting.values():
            for invocation in invocations:
                invocation.end()
        self._waiting.clear()


class LocalInvoker:
    """An Invoker that hands work to this process's router.

    `unready` says why the API may not do everything, `unreadable` why it can't even show what is stored, or None.
    `unfinished` are the ids of a namespace's activations that the router knows of.
    """

    def __init__(
        self,
        answers: LocalAnswers,
        hand_in: Callable[[Invoke], None],
        pending: Callable[[str, str], dict[str, object] | None],
        unready: Callable[[], str | None],
        unreadable: Callable[[], str | None],
        unfinished: Callable[[str], Iterable[str]],
        lines: Callable[[str, str], list[str]],
        node: str = "invoker0",
    ) -> None:
        self._answers = answers
        self._hand_in = hand_in
        self._pending = pending
        self._unready = unready
        self._unreadable = unreadable
        self._unfinished = unfinished
        self._lines = lines
        self._node = node
        self._entering: dict[str, str] = {}

    async def choose(self, message: ActivationMessage, action: Executable | None = None) -> str:
        """Invoker.choose: there is one."""
        return self._node

    async def invoke(self, message: ActivationMessage, action: Executable | None = None, node: str = "") -> LocalInvocation:
        """Invoker.invoke. Whichever node is named, it is this one: its stream is opened here."""
        command = Invoke(message, action, owed=bool(node))
        self._entering[message.activation_id] = message.user.namespace.name
        try:
            return await self._answers.accept(message.activation_id, lambda: self._hand_in(command))
        finally:
            self._entering.pop(message.activation_id, None)

    def pending(self, namespace: str, activation_id: str) -> dict[str, object] | None:
        """Invoker.pending."""
        return self._pending(namespace, activation_id)

    def lines(self, namespace: str, activation_id: str) -> list[str]:
        """Invoker.lines."""
        return self._lines(namespace, activation_id)

    def readable(self) -> str | None:
        """Invoker.readable."""
        return self._unreadable()

    def in_flight(self, namespace: str) -> int:
        """Invoker.in_flight."""
        entering = {activation_id for activation_id, owner in self._entering.items() if owner == namespace}
        return len(entering.union(self._unfinished(namespace)))

    def ready(self) -> str | None:
        """Invoker.ready."""
        return self._unready()
