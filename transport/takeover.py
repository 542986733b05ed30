"""Watching the other nodes, and going on with the streams of those that are dead."""

from __future__ import annotations

import asyncio

import structlog

from store.errors import StoreError, StoreUnavailable
from transport.silence import NODE, Silence, Silent
from transport.taken import Home, Taken

log = structlog.get_logger("node")


class Takeovers:
    """`run` until cancelled. `own`: the stream that is this node's anyway."""

    def __init__(self, home: Home, own: str) -> None:
        self._home = home
        self._own = own
        self._taken: dict[str, Taken] = {}
        self._ending: set[asyncio.Task[None]] = set()
        every = home.settings.heartbeat_every
        self._silence = Silence(2 * every + 1)
        self.draining = False

    def __repr__(self) -> str:
        return f"<Takeovers {sorted(self._taken)}>"

    def live(self) -> int:
        """Unfinished activations of taken streams."""
        return sum(each.live() for each in self._taken.values())

    def streams(self) -> list[str]:
        """What is taken."""
        return sorted(self._taken)

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            await self._look()
            await asyncio.sleep(self._home.settings.heartbeat_every)

    async def _look(self) -> None:
        clock, settings = self._home.cluster.clock, self._home.settings
        begun = clock.monotonic()
        try:
            async with asyncio.timeout(settings.heartbeat_every):
                documents = await self._home.store.heartbeats.list(NODE)
        except (StoreUnavailable, TimeoutError):
            self._silence.failed()
            return
        self._silence.read(documents, begun)
        for silent in self._silence.dead(settings.takeover_after):
            if self._wanted(silent):
                await self._take(silent)

    def _wanted(self, silent: Silent) -> bool:
        known = silent.stream == self._own or silent.stream in self._taken
        number = silent.stream.removeprefix("invoker")
        return not (known or self.draining or self._home.fit()) and silent.stream.startswith("invoker") and number.isdigit()

    async def _take(self, silent: Silent) -> None:
        taken = Taken(self._home, silent, self._over)
        log.warning("a node is dead: another goes on with its work", stream=silent.stream, epoch=silent.beat.epoch)
        try:
            resumed = await taken.open()
        except StoreError as error:  # a damaged journal, one of a newer release: somebody has to look
            log.error("a dead node's stream can't be taken", stream=silent.stream, error=str(error))
            await taken.close()
            return
        if resumed is None:
            log.info("another node was quicker", stream=silent.stream)
            return
        log.warning("a dead node's stream is taken", stream=silent.stream, epoch=taken.core.journal.epoch, resumed=resumed)
        self._taken[silent.stream] = taken

    def _over(self, stream: str) -> None:
        """It is another's: its containers go, and that is said."""
        taken = self._taken.pop(stream, None)
        if taken is not None:
            task = asyncio.get_running_loop().create_task(taken.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def drain(self) -> None:
        """Take nothing more, of whatever stream."""
        self.draining = True
        for taken in self._taken.values():
            taken.drain()

    async def close(self) -> None:
        """Give everything back."""
        self.draining = True
        while self._taken:
            _, taken = self._taken.popitem()
            await taken.close()
        while self._ending:
            await asyncio.wait(self._ending)
