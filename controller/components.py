"""The entities as a composer sees them: the action behind a call, with its parameters merged, if its caller may have it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from msgspec import Raw

from controller.errors import INTERNAL, ApiError
from controller.invoke import content
from controller.targets import Target, Targets
from messages.composing import Component, NoComponent
from messages.wire import Identity
from store.contract import SubjectStore
from store.errors import StoreError
from store.ports import patiently

Spawn = Callable[[Coroutine[Any, Any, None]], object]
Admit = Callable[[Identity], None]


class Components:
    """A ComponentPort. `admit` raises ApiError 429 if a namespace invokes too much: a fired rule counts as an invocation."""

    def __init__(
        self, targets: Targets, subjects: SubjectStore, most: int, spawn: Spawn, admit: Admit = lambda identity: None
    ) -> None:
        self.most = most
        self._targets = targets
        self._subjects = subjects
        self._spawn = spawn
        self._admit = admit

    def resolve(
        self, user: Identity, name: str, content: Raw, reply: Callable[[Component | NoComponent], None], *, rule: bool
    ) -> None:
        """ComponentPort.resolve."""
        self._spawn(self._resolve(user, name, content, reply, rule=rule))

    async def _resolve(
        self, user: Identity, name: str, arguments: Raw, reply: Callable[[Component | NoComponent], None], *, rule: bool
    ) -> None:
        namespace, *package, action = name.split("/")
        try:
            known = await self._with_key(user)
            if rule:
                self._admit(known)
            target = await patiently(lambda: self._targets.find(known, namespace, "/".join(package), action))
        except ApiError as error:
            reply(NoComponent(error.status, error.text))
        except StoreError:
            reply(NoComponent(500, INTERNAL))
        else:
            reply(_component(target, known, arguments))

    async def _with_key(self, user: Identity) -> Identity:
        """The journal never has the caller's key: after a restart it is looked up again."""
        if user.authkey:
            return user
        found = await patiently(lambda: self._subjects.by_namespace(user.namespace.name))
        return user if found is None else msgspec.structs.replace(user, authkey=found.authkey)


def _component(target: Target, user: Identity, arguments: Raw) -> Component:
    given = bytes(arguments)
    merged = arguments if given.lstrip()[:1] == b"[" else content(target, given, given.strip() not in (b"", b"{}"))
    return Component(
        form=target.form,
        action=target.action,
        user=user,
        content=merged,
        limits=target.executable.limits,
        executable=None if target.form == "sequence" else target.executable,
        components=target.components,
        init_args=tuple(target.init_args),
        locked_args=target.locked_args(merged),
    )
