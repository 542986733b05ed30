"""What the node knows of its engine's health: it hears the engine's events, asks it now and then, and tries out what had failed.

An engine can be gone (its event stream ends), can hang (the stream stays, questions aren't answered) or can be unable to make
containers (a full disk). Each is told with its reason, once when it begins and once when it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from containers.docker_engine import Engine, EngineError
from containers.docker_stream import EngineStream, watch

RECONNECT = 0.5
"""Seconds between attempts to hear the engine's events again."""
PROBE_EVERY, PROBE_LIMIT = 2.0, 3.0
"""Seconds between questions whether the engine lives, and for its answer."""
SILENT = "The Docker engine does not answer."
UNABLE = "The Docker engine can't make containers: {error}"

Say = Callable[[str], None]


class EngineWatch:
    """Watches one engine. `seen` gets its events; `look` is awaited when it was away; `try_out` makes a container and removes it.

    `outages` counts how often the engine went away: containers that ended beside one were ended by it.
    """

    def __init__(
        self,
        engine: Engine,
        filters: str,
        seen: Callable[[dict[str, Any]], None],
        look: Callable[[], Awaitable[None]],
        try_out: Callable[[], Awaitable[None]],
        warn: Say,
    ) -> None:
        self._engine = engine
        self._filters = filters
        self._seen = seen
        self._look = look
        self._try_out = try_out
        self._warn = warn
        self._stream: EngineStream | None = None
        self._away = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._silent = ""
        self._unable = ""
        self.outages = 0

    def __repr__(self) -> str:
        return f"<EngineWatch {self.problem() or 'well'}, {self.outages} outages>"

    async def open(self) -> None:
        """Begin. Raises EngineError."""
        await self._listen()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep_listening()), loop.create_task(self._keep_asking())]

    async def close(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def problem(self) -> str | None:
        """What is wrong with the engine now, or None."""
        return self._silent or self._unable or None

    def disturbed_since(self, outages: int) -> bool:
        """Whether the engine was away since `outages` was read, or is now."""
        return self._away.is_set() or self.outages != outages

    async def is_to_blame(self, error: EngineError) -> bool:
        """Whether no container at all could be made, which is then the problem until one can."""
        if not error.status:
            self._note(silent=str(error))
            return True
        await self._ask()
        return self.problem() is not None

    def _note(self, *, silent: str | None = None, unable: str | None = None) -> None:
        """Take in what was found out; say so if it is news whether there is a problem, or which."""
        before = self.problem()
        self._silent = self._silent if silent is None else silent
        self._unable = self._unable if unable is None else unable
        now = self.problem()
        if now is not None and before is None:
            self._warn(f"{now} No container is made until that is over.")
        elif now is None and before is not None:
            self._warn("The Docker engine works again.")

    async def _listen(self) -> None:
        """Raises EngineError."""
        self._stream = await watch(self._engine.address, self._filters, self._seen, self._went_away)
        self._away.clear()

    def _went_away(self) -> None:
        self.outages += 1
        self._away.set()

    async def _keep_listening(self) -> None:
        """Hear the engine again after it went away, and look at what happened meanwhile."""
        while True:
            await self._away.wait()
            self._note(silent=SILENT)
            try:
                await self._listen()
            except EngineError as error:
                self._note(silent=str(error))
                await asyncio.sleep(RECONNECT)
                continue
            self._note(silent="")
            await self._look()

    async def _keep_asking(self) -> None:
        """An engine that hangs keeps its connections open: ask it now and then."""
        while True:
            await asyncio.sleep(PROBE_EVERY)
            if self._unable:
                await self._ask()
                continue
            try:
                await self._engine.call(lambda client: client.ping(), limit=PROBE_LIMIT)
            except EngineError as error:
                self._note(silent=str(error))
            else:
                if not self._away.is_set():
                    self._note(silent="")

    async def _ask(self) -> None:
        """Whether it can make a container, now that something had failed."""
        try:
            await self._try_out()
        except EngineError as error:
            self._note(unable=UNABLE.format(error=error))
        else:
            self._note(unable="", silent=None if self._away.is_set() else "")
