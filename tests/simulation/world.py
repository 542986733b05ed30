"""Virtual time and simulated processes: one thread, no real time, every choice from one seed.

Rules

* `World` owns the time and what outlives processes. Its own events (`at`) are the outside: stores, containers, people, crashes.
* A `Process` is an event loop of its own. Which of its callbacks runs next, and which process is next, comes from the seed; only
  callbacks of one `lane` (the bytes of one stream) keep their order.
* A killed process runs nothing more. A paused one runs nothing until it goes on; what became due meanwhile is due at once then.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import heapq
import inspect
import random
from collections.abc import Callable, Coroutine

WALL = 1_700_000_000_000
"""Epoch ms at virtual time 0."""

TICK = 1e-6
"""Seconds that at least pass before a timer fires: no real clock stands still while a loop turns."""


class Killed(BaseException):
    """Unwinds the stack of a process that was killed from inside, as SIGKILL would: nothing may catch it."""


class Stuck(AssertionError):
    """The simulation did not come to rest."""


class Handle:
    """A callback of a process, to be called unless cancelled."""

    __slots__ = ("args", "callback", "cancelled", "context", "lane")

    def __init__(self, callback: Callable[..., object], args: tuple, context: contextvars.Context | None, lane: object) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.lane = lane
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        self.callback, self.args = _nothing, ()


def _nothing() -> None:
    pass


class World:
    """The clock, the randomness, the trace, and all events that are still to come."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now = 0.0
        self.steps = 0
        self.processes: list[Process] = []
        self.violations: list[str] = []
        self._later: list[tuple[float, int, Process | None, Handle]] = []
        self._count = 0
        self._trace = hashlib.sha256()
        self.log: list[str] | None = None

    def trace(self, *what: object) -> None:
        """Add to the trace that the same seed must give again."""
        line = f"{self.now:.9f} {' '.join(map(str, what))}"
        self._trace.update(line.encode())
        if self.log is not None:
            self.log.append(line)

    def trace_hash(self) -> str:
        return self._trace.hexdigest()

    def violated(self, what: str) -> None:
        """A property that is checked while it runs does not hold."""
        self.violations.append(f"{self.now:.6f}: {what}")

    def at(self, delay: float, callback: Callable[[], object]) -> Handle:
        """An event of the outside world after `delay` seconds."""
        return self.push(delay, None, Handle(callback, (), None, None))

    def push(self, delay: float, process: Process | None, handle: Handle) -> Handle:
        self._count += 1
        heapq.heappush(self._later, (self.now + max(0.0, delay), self._count, process, handle))
        return handle

    def run(self, until: Callable[[], bool], limit: float, max_steps: int = 60_000) -> None:
        """Run until `until()`; Stuck if `limit` virtual seconds pass first, or nothing is left to happen."""
        end = self.now + limit
        while not until():
            if not self._step():
                raise Stuck(f"nothing left to happen at {self.now:.3f}")
            if self.now > end:
                raise Stuck(f"not at rest after {limit} virtual seconds")
            self.steps += 1
            if self.steps > max_steps:
                raise Stuck(f"more than {max_steps} steps at {self.now:.3f}")

    def _step(self) -> bool:
        runnable = [process for process in self.processes if process.ready and not process.paused]
        if runnable:
            process = runnable[0] if len(runnable) == 1 else self.rng.choice(runnable)
            process.run_one()
            return True
        if not self._later:
            return False
        self.now, _, process, handle = heapq.heappop(self._later)
        if process is None:
            handle.callback(*handle.args)
        elif process.alive and not handle.cancelled:
            process.ready.append(handle)
        return True


class Process(asyncio.AbstractEventLoop):
    """One operating system process: an event loop, and a Clock."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.paused = False
        self.ready: list[Handle] = []
        self._coroutines: set[Coroutine] = set()
        self.on_death: list[Callable[[], None]] = []
        world.processes.append(self)

    def __repr__(self) -> str:
        return f"<Process {self.name} {'paused' if self.paused else 'alive' if self.alive else 'dead'}>"

    def run_one(self) -> None:
        """Run one callback, chosen by the seed."""
        ready = self.ready
        index = self.world.rng.randrange(len(ready)) if len(ready) > 1 else 0
        lane = ready[index].lane
        if lane is not None:
            index = next(i for i, handle in enumerate(ready) if handle.lane == lane)
        handle = ready.pop(index)
        if handle.cancelled:
            return
        asyncio._set_running_loop(self)
        try:
            if handle.context is None:
                handle.callback(*handle.args)
            else:
                handle.context.run(handle.callback, *handle.args)
        except Killed:
            pass
        except Exception as error:
            self.world.violated(f"{self.name}: a callback raised {error!r}")
        finally:
            asyncio._set_running_loop(None)

    def kill(self, why: str) -> None:
        """It runs nothing more."""
        if not self.alive:
            return
        self.world.trace(self.name, "killed", why)
        self.alive = False
        self.paused = False
        self.ready.clear()
        self.world.processes.remove(self)
        self.close_unbegun()
        for callback in self.on_death:
            callback()

    def close_unbegun(self) -> None:
        """What will not be begun any more is no forgotten await."""
        for coroutine in self._coroutines:
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()

    def die_here(self, why: str) -> None:
        """Called from inside the process: does not return."""
        self.kill(why)
        raise Killed(why)

    def post(self, callback: Callable[..., object], *args: object, lane: object = None) -> None:
        """From outside: call back on this process's loop, if it lives."""
        if self.alive:
            self.ready.append(Handle(callback, args, None, lane))

    # asyncio's side

    def call_soon(self, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None) -> Handle:
        handle = Handle(callback, args, context, None)
        if self.alive:
            self.ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Callable[..., object], *args: object, context: object = None) -> Handle:
        return self.world.push(max(delay, TICK), self, Handle(callback, args, context, None))

    def call_at(self, when: float, callback: Callable[..., object], *args: object, context: object = None) -> Handle:
        return self.call_later(when - self.world.now, callback, *args, context=context)

    def time(self) -> float:
        return self.world.now

    def create_future(self) -> asyncio.Future:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine, *, name: str | None = None, context: object = None) -> asyncio.Task:
        task = asyncio.Task(coro, loop=self, name=name or "task")
        self._coroutines.add(coro)
        task.add_done_callback(lambda _: self._coroutines.discard(coro))
        return task

    def spawn(self, coro: Coroutine) -> asyncio.Task:
        """A task; what it raises is a violation."""
        task = self.create_task(coro)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Killed):
            self.world.violated(f"{self.name}: a task raised {error!r}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self.alive

    def is_closed(self) -> bool:
        return not self.alive

    def call_exception_handler(self, context: dict) -> None:
        """A task that was dropped with its dead process is no fault; any other is found by `_over`."""

    # Clock

    def monotonic(self) -> float:
        return self.world.now

    def wall_ms(self) -> int:
        return WALL + int(self.world.now * 1000)
