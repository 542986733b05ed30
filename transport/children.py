"""The children of compositions: sent to the node that was chosen for them, asked for there until their record is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from actors.ports import Reply
from messages.action import Executable
from messages.composing import ChildAccepted, ChildEnded, ChildRefused, NodeChosen
from messages.composition import Plan
from messages.record import answered
from messages.wire import ActivationMessage, ActivationRecord
from store.contract import ActivationStore, SubjectStore
from store.ports import patiently
from transport.contract import Compositions, Invocation, Invoker, Refused

LOOK_EVERY = 15.0
"""Seconds between looks among the records while an answer doesn't come; upstream polls its store as often."""

PAUSE = 0.5
"""Seconds after a wait that came to nothing: the process may be ending."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Children:
    """A ChildPort on an Invoker for actions and, for nested compositions, on the Compositions of the same stream."""

    def __init__(
        self, invoker: Invoker, compositions: Compositions, activations: ActivationStore, subjects: SubjectStore, spawn: Spawn
    ) -> None:
        self._invoker = invoker
        self._compositions = compositions
        self._activations = activations
        self._subjects = subjects
        self._spawn = spawn

    def choose(self, parent: str, message: ActivationMessage, action: Executable | None, reply: Reply) -> None:
        """ChildPort.choose."""
        self._spawn(self._choose(parent, message, action, reply))

    async def _choose(self, parent: str, message: ActivationMessage, action: Executable | None, reply: Reply) -> None:
        try:
            node = await self._invoker.choose(message, action)
        except Refused:
            node = ""
        reply(NodeChosen(parent, message.activation_id, node))

    def send(
        self,
        parent: str,
        node: str,
        message: ActivationMessage,
        action: Executable | None,
        plan: Plan | None,
        reply: Reply,
        *,
        look: bool,
        wait: bool,
    ) -> None:
        """ChildPort.send."""
        self._spawn(self._send(parent, node, message, action, plan, reply, look=look, wait=wait))

    async def _send(
        self,
        parent: str,
        node: str,
        message: ActivationMessage,
        action: Executable | None,
        plan: Plan | None,
        reply: Reply,
        *,
        look: bool,
        wait: bool,
    ) -> None:
        child = message.activation_id
        record = await self._stored(message) if look else None
        if record is not None:
            reply(ChildEnded(parent, child, record) if wait else ChildAccepted(parent, child))
            return
        try:
            invocation = await self._hand_over(await self._with_key(message), action, plan, node)
        except Refused as refusal:
            reply(ChildRefused(parent, child, refusal.status, str(refusal)))
            return
        except ConnectionAbortedError:  # not known whether it was accepted: the same node is asked again
            await asyncio.sleep(PAUSE)
            await self._send(parent, node, message, action, plan, reply, look=True, wait=wait)
            return
        try:
            reply(ChildEnded(parent, child, await self._result(invocation, message)) if wait else ChildAccepted(parent, child))
        finally:
            invocation.forget()

    async def _hand_over(
        self, message: ActivationMessage, action: Executable | None, plan: Plan | None, node: str
    ) -> Invocation:
        if plan is not None:
            return await self._compositions.compose(message, plan, owed=True)
        return await self._invoker.invoke(message, action, node)

    async def _result(self, invocation: Invocation, message: ActivationMessage) -> ActivationRecord:
        while True:
            record = await invocation.result(LOOK_EVERY) or await self._stored(message)
            if record is not None:
                return record
            await asyncio.sleep(PAUSE)

    async def _stored(self, message: ActivationMessage) -> ActivationRecord | None:
        namespace, child = message.user.namespace.name, message.activation_id
        record = await patiently(lambda: self._activations.get(namespace, child))
        return None if record is None else answered(record)

    async def _with_key(self, message: ActivationMessage) -> ActivationMessage:
        """The journal never has the caller's key: after a restart it is looked up again."""
        if message.user.authkey:
            return message
        identity = await patiently(lambda: self._subjects.by_namespace(message.user.namespace.name))
        if identity is None:
            return message
        user = msgspec.structs.replace(message.user, authkey=identity.authkey)
        return msgspec.structs.replace(message, user=user)
