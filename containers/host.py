"""The containers of one process by number: carries out what ContainerProxies ask of the driver, and tells them how it went."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from actors.ports import Reply
from containers import outcome
from containers.contract import (
    Container,
    ContainerError,
    ContainerSpec,
    Driver,
    Failure,
    ImageMissing,
    KindUnavailable,
    Result,
    Unavailable,
)
from containers.note import Note
from messages.commands import Called, Created, Died, Idle, LogChunk, NotCreated, Paused, Removed, Resumed, Start

ALLOWED_EVERY = 0.05
"""Seconds between looks whether user code may begin again."""

FREEZE_LIMIT = 10.0
"""Seconds for the driver to freeze or thaw a container; upstream's `pause` and `unpause`."""


class Hosted:
    """One container, perhaps not there yet. `unwanted`: to be removed as soon as it is; `freezing`: the latest freeze or thaw."""

    __slots__ = ("container", "creating", "freezing", "reply", "unwanted", "what")

    def __init__(self, what: Start, reply: Reply) -> None:
        self.what = what
        self.reply = reply
        self.container: Container | None = None
        self.creating: asyncio.Task[None] | None = None
        self.freezing: asyncio.Task[None] | None = None
        self.unwanted = False


class ContainerHost:
    """A ContainerPort on a real driver."""

    def __init__(
        self,
        driver: Driver,
        note: Note,
        *,
        prefix: str,
        labels: dict[str, str],
        env: dict[str, str],
        on_output: Callable[[LogChunk], None],
        on_bug: Callable[[Exception, str], None],
        result_limit: int,
        create_timeout: float,
        failpoint: Callable[[str, str], None] | None = None,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._driver = driver
        self._note = note
        self._prefix = prefix
        self._labels = labels
        self._env = env
        self._on_output = on_output
        self._on_bug = on_bug
        self._result_limit = result_limit
        self._create_timeout = create_timeout
        self._hit = failpoint or (lambda step, position: None)
        self._allowed = allowed
        """Whether user code may begin now: asked at the last moment, since a process can be stopped between any two others."""
        self._closing = False
        self._hosted: dict[int, Hosted] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<ContainerHost {self._driver.name} {len(self._hosted)} containers>"

    def create(self, cid: int, what: Start, reply: Reply) -> None:
        """ContainerPort.create."""
        hosted = self._hosted[cid] = Hosted(what, reply)
        hosted.creating = self._spawn(self._create(cid, hosted, Idle("", what)))

    def adopt(self, cid: int, idle: Idle, reply: Reply) -> None:
        """ContainerPort.adopt."""
        hosted = self._hosted[cid] = Hosted(idle.start, reply)
        hosted.creating = self._spawn(self._create(cid, hosted, idle))

    def _spec(self, cid: int, what: Start) -> ContainerSpec:
        env = self._env | ({"__OW_ALLOW_CONCURRENT": "true"} if what.concurrency > 1 else {})
        return ContainerSpec(
            kind=what.kind,
            memory=what.memory,
            name=f"{self._prefix}_{cid}_{what.kind.replace(':', '')}",
            image=what.image,
            env=env,
            labels=self._labels,
            concurrency=what.concurrency,
            user_image=what.user_image,
        )

    async def _create(self, cid: int, hosted: Hosted, idle: Idle) -> None:
        """Make it, or take over the one that `idle` names."""
        spec = self._spec(cid, hosted.what)

        def output(stream: str, data: bytes) -> None:
            self._on_output(LogChunk(cid, stream, data, time.time_ns()))

        step = "adopt" if idle.container else "create"
        self._hit(step, "before")
        try:
            if idle.container:
                hosted.container = await self._driver.adopt(idle.container, spec, output, lambda: hosted.reply(Died()))
            else:
                await self._driver.prepare(spec)
                async with asyncio.timeout(self._create_timeout):
                    hosted.container = await self._driver.create(spec, output, lambda: hosted.reply(Died()))
            self._hit(step, "after")
        except Exception as error:  # noqa: BLE001 - the same
            if not isinstance(error, ContainerError | TimeoutError):
                self._on_bug(error, "")
            del self._hosted[cid]
            if hosted.unwanted:
                hosted.reply(Removed())
            else:
                hosted.reply(_not_created(error, self._driver.problem() is not None))
            return
        if hosted.unwanted:
            await self._remove(cid, hosted)
        else:
            self._note.idle(Idle(hosted.container.id, hosted.what, idle.owner))
            hosted.reply(Created(hosted.container.id, hosted.container.stages))

    def idle(self, cid: int, owner: tuple[str, tuple[str, str]]) -> None:
        """ContainerPort.idle."""
        hosted = self._hosted[cid]
        assert hosted.container is not None
        self._note.idle(Idle(hosted.container.id, hosted.what, owner))

    def call(self, cid: int, path: str, run_id: str, body: bytes, timeout: float, reply: Reply) -> None:
        """ContainerPort.call."""
        container = self._hosted[cid].container
        assert container is not None
        self._note.running(run_id, container.id)
        self._spawn(self._call(container, path, run_id, body, timeout, reply))

    async def _call(self, container: Container, path: str, run_id: str, body: bytes, timeout: float, reply: Reply) -> None:
        while not self._allowed():
            if self._closing:
                reply(Called(path, run_id, Failure.BROKEN, 0, time.time_ns() // 1_000_000))
                return
            await asyncio.sleep(ALLOWED_EVERY)
        start, begun = time.time_ns() // 1_000_000, time.monotonic()
        result: Result = Failure.BROKEN
        self._hit(path[1:], "before")
        try:
            call = container.init if path == "/init" else container.run
            result = await call(body, timeout, self._result_limit)
        except Exception as error:  # noqa: BLE001 - the supervisor of driver code: no activation may hang on a bug there
            self._on_bug(error, run_id)
        self._hit(path[1:], "after")
        reply(Called(path, run_id, result, (time.monotonic() - begun) * 1000, start))

    def settled(self, cid: int, run_id: str) -> None:
        """ContainerPort.settled."""
        self._note.settled(run_id)

    def pause(self, cid: int, reply: Reply) -> None:
        """ContainerPort.pause."""
        hosted = self._hosted[cid]
        hosted.freezing = self._spawn(self._freeze(hosted, True, reply))

    def resume(self, cid: int, reply: Reply) -> None:
        """ContainerPort.resume."""
        hosted = self._hosted[cid]
        hosted.freezing = self._spawn(self._freeze(hosted, False, reply))

    async def _freeze(self, hosted: Hosted, frozen: bool, reply: Reply) -> None:
        container, begun, done = hosted.container, time.monotonic(), False
        assert container is not None
        step = "pause" if frozen else "resume"
        self._hit(step, "before")
        try:
            async with asyncio.timeout(FREEZE_LIMIT):
                await (container.pause() if frozen else container.resume())
            done = True
        except (ContainerError, TimeoutError):
            pass  # the answer says so
        except Exception as error:  # noqa: BLE001 - the supervisor of driver code, as for calls
            self._on_bug(error, "")
        self._hit(step, "after")
        ms = (time.monotonic() - begun) * 1000
        reply(Paused(done, ms) if frozen else Resumed(done, ms))

    def remove(self, cid: int, reply: Reply) -> None:
        """ContainerPort.remove."""
        hosted = self._hosted.get(cid)
        if hosted is None:
            self._spawn(_later(reply))
            return
        hosted.reply = reply
        hosted.unwanted = True
        if hosted.container is not None:
            self._spawn(self._remove(cid, hosted))

    async def _remove(self, cid: int, hosted: Hosted) -> None:
        assert hosted.container is not None
        self._note.gone(hosted.container.id)
        if hosted.freezing is not None:
            await asyncio.wait((hosted.freezing,))  # one that is frozen while it is removed could not be killed
        self._hit("remove", "before")
        await hosted.container.remove()
        self._hit("remove", "after")
        self._hosted.pop(cid, None)
        hosted.reply(Removed())

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Remove every container, then close the driver: nothing is left."""
        await self.clear()
        await self._driver.close()

    async def clear(self) -> None:
        """Remove every container; the driver goes on for others."""
        self._closing = True
        for cid, hosted in list(self._hosted.items()):
            if hosted.container is not None and not hosted.unwanted:
                hosted.unwanted = True
                self._spawn(self._remove(cid, hosted))
        while self._tasks:
            await asyncio.wait(self._tasks)


async def _later(reply: Reply) -> None:
    reply(Removed())


def _not_created(error: Exception, away: bool) -> NotCreated:
    """What the proxy is told. While the driver can't make any (`away`) nobody's fault is one of the activation's tries."""
    if isinstance(error, ImageMissing):
        return NotCreated(outcome.DEVELOPER_ERROR, str(error), True)
    if isinstance(error, KindUnavailable):
        return NotCreated(outcome.WHISK_ERROR, str(error), True)
    return NotCreated(outcome.WHISK_ERROR, outcome.NO_RESOURCES, False, away or isinstance(error, Unavailable))
