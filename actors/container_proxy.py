"""ContainerProxy: one per container. Creates it, initialises it with its first run, runs jobs, removes it.

Two machines, each a table. CONTAINER is the container's life; RUN that of one activation in it (more than one at a time if
the action's `concurrency` allows). Rules:

* `started` is journaled before any user code of the activation runs (`/init` runs user code too); it is durable before,
  unless the router allows run-ahead. Then nobody waits for it: it rides with the next commit, mostly that of `finished`, and
  until then the note is the evidence.
* Whatever ends a run, its `Ended` goes to the ResultWriter exactly once, or the job goes back to the router (`Returned`)
  because its code certainly did not run.
* A container that failed takes no further run; it is removed when its last run is over, and its memory counts until then.
* One that was idle for the grace time is frozen, as upstream. Runs that come for it are held until it goes on; if it can't, they go
  back. Their `started` is journaled only then.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from msgspec import UNSET, UnsetType
from thespian.actors import ActorExitRequest, WakeupMessage

from actors import endings
from actors.base import NodeActor, Services, step
from actors.container_states import CONTAINER, RUN, ActiveRun, Container, Phase
from containers import outcome, payload
from containers.contract import Failure
from messages.commands import (
    Abandon,
    Called,
    Created,
    Died,
    Ended,
    Free,
    Gone,
    Idle,
    Logs,
    LogsBegin,
    LogsEnd,
    LogsForget,
    LogsReset,
    Lost,
    NotCreated,
    Paused,
    Ready,
    Released,
    Remove,
    Removed,
    Resumed,
    Returned,
    Run,
    Start,
    StartedDurable,
    StartFailed,
    Up,
)  # fmt: skip
from messages.events import Finished, Started
from messages.wire import Response

MB = 1024 * 1024


class ContainerProxy(NodeActor):
    """One container."""

    supervision = "stop"
    services: Services

    def __init__(self, services: Services, cid: int) -> None:
        super().__init__(services)
        self.cid = cid
        self.state = Container.NEW
        self.container = ""
        self.made: dict[str, int] | UnsetType = UNSET  # told with the first run
        self.initialized = False
        self.owner: tuple[str, tuple[str, str]] | None = None  # whose runs it takes, once it has taken one
        self.runs: dict[str, ActiveRun] = {}
        self.held: list[Run] = []  # that came while it was frozen
        self.idle_since = 0.0
        self.timing = False  # whether a wakeup is on its way; it outlives runs, as one for each would cost more than the run

    def __repr__(self) -> str:
        return f"<ContainerProxy {self.cid} {self.state.value} [{', '.join(r.phase.value for r in self.runs.values())}]>"

    # Creating -----------------------------------------------------------------------------------------------------

    def on_start(self, message: Start) -> None:
        """Ask the driver for the container."""
        self._step("start")
        self.services.containers.create(self.cid, message, self.reply)

    def on_idle(self, message: Idle) -> None:
        """An earlier process made it: ask the driver to take it over."""
        self._step("adopt")
        self.owner = message.owner
        self.services.containers.adopt(self.cid, message, self.reply)

    def on_created(self, message: Created) -> None:
        """It is up: empty, or initialised in an earlier process."""
        warm = self.state is Container.ADOPTING and self.owner is not None
        self._step("created warm" if warm else "created")
        if self.state is Container.REMOVING:
            return
        self.container = message.container
        if warm:
            self.initialized = True
            self._idle()
        elif message.stages:
            self.made = {name: round(ms) for name, ms in message.stages.items()}
        self._to_router(Up(self.cid, message.container, message.stages))

    def on_not_created(self, message: NotCreated) -> None:
        """The driver failed and left nothing behind. One that could not be taken over is no failed creation."""
        adopting = self.state is Container.ADOPTING
        self._step("not created")
        if self.state is Container.REMOVING:
            return
        if adopting:
            self._to_router(Gone(self.cid))
        else:
            self._to_router(StartFailed(self.cid, message.status_code, message.error, message.permanent, message.waits))
        self.send(self.myAddress, ActorExitRequest())

    # Running ------------------------------------------------------------------------------------------------------

    def on_run(self, message: Run) -> None:
        """Journal that the code starts, then start it; a container that is going away gives the job back."""
        was = self.state
        self._step("run")
        if self.state in (Container.FAILING, Container.REMOVING, Container.GONE):
            self._to_router(Returned(self.cid, message.job))
        elif self.state in (Container.PAUSING, Container.RESUMING):
            self.held.append(message)
            if was is Container.PAUSED:
                self.services.containers.resume(self.cid, self.reply)
        else:
            self._admit(message)

    def _admit(self, message: Run) -> None:
        job = message.job
        self.owner = (job.message.user.namespace.name, job.action.key)
        run = ActiveRun(job)
        beside = [other for other in self.runs.values() if other.phase is not Phase.COLLECTING]
        for each in (*beside, *([run] if beside else [])):
            each.shared = True
        self.runs[job.activation_id] = run
        made, self.made = self.made, UNSET
        now, start = self.services.clock.wall_ms(), UNSET if job.start == "warm" else job.start
        event = Started(
            job.activation_id, job.attempt, self.container, now, job.action.replay, job.alone, made, start, job.why or UNSET
        )
        if message.ahead:
            self.services.journal.append(event, lazy=True)
            self._begin(job.activation_id)
        else:
            self.services.journal.append(event, self.told(StartedDurable(job.activation_id)))

    def on_started_durable(self, message: StartedDurable) -> None:
        """The journal has it: go."""
        if message.activation_id in self.runs:
            self._begin(message.activation_id)

    def _begin(self, activation_id: str) -> None:
        run = self.runs[activation_id]
        limit = run.job.action.limits.logs * MB
        if limit:
            self.send(self.services.directory.reader, LogsBegin(self.cid, activation_id, limit))
        run.start = self.services.clock.wall_ms()
        if self.initialized:
            self._call_run(run)
            return
        self._advance(run, "init")
        body = payload.init_body(run.job.message, run.job.action, self._deadline(run))
        self._call("/init", run, body)

    def on_called(self, message: Called) -> None:
        """The runtime has answered, or will not."""
        run = self.runs.get(message.activation_id)
        if run is None:
            return
        if message.result is Failure.LOST:
            self._give_back(run, interrupted=True)
            return
        run.timed_out |= outcome.timed_out(message.result, round(message.ms), run.job.action.limits.timeout)
        if message.path == "/init":
            self._after_init(run, message)
        else:
            self._after_run(run, message)

    def _after_init(self, run: ActiveRun, message: Called) -> None:
        run.init_ms = message.ms
        if outcome.is_retriable(message.result, warm=False):
            self._give_back(run)
            return
        limits, largest = run.job.action.limits, self.services.rules.result_limit
        response = outcome.init_failure(message.result, round(message.ms), limits.timeout, largest)
        if response is not None:
            self._end(run, response)
            return
        self.initialized = True
        self._step("initialized")
        self._to_router(Ready(self.cid))
        self._call_run(run)

    def _call_run(self, run: ActiveRun) -> None:
        self._advance(run, "run")
        self._call("/run", run, payload.run_body(run.job.message, run.job.action, self._deadline(run)))

    def _after_run(self, run: ActiveRun, message: Called) -> None:
        run.run_ms = message.ms
        if outcome.is_retriable(message.result, warm=run.init_ms is None):
            self._give_back(run)
            return
        limits, largest = run.job.action.limits, self.services.rules.result_limit
        self._end(run, outcome.run_response(message.result, round(message.ms), limits.timeout, largest))

    def _call(self, path: str, run: ActiveRun, body: bytes) -> None:
        timeout = run.job.action.limits.timeout / 1000
        self.services.containers.call(self.cid, path, run.job.activation_id, body, timeout, self.reply)

    def _deadline(self, run: ActiveRun) -> int:
        return self.services.clock.wall_ms() + run.job.action.limits.timeout

    # Ending -------------------------------------------------------------------------------------------------------

    def _end(self, run: ActiveRun, response: Response) -> None:
        self._advance(run, "ended")
        job, action = run.job, run.job.action
        finished = self._finished(run, response)
        run.healthy = not outcome.is_container_lost(response.status_code, timeout=run.timed_out)
        logs_wanted = action.limits.logs > 0
        self.send(self.services.directory.writer, Ended(job.message, finished, None if logs_wanted else [], self.cid))
        if not run.healthy:
            self._lose()
        if logs_wanted:
            failed = response.status_code == 2
            end = LogsEnd(self.cid, job.activation_id, not failed, failed, self.myAddress)
            self.send(self.services.directory.reader, end)
        else:
            self._over(run, "collected")

    def _finished(self, run: ActiveRun, response: Response) -> Finished:
        job, action = run.job, run.job.action
        spent = round((run.init_ms or 0) + run.run_ms)
        return Finished(
            id=job.activation_id,
            at=self.services.clock.wall_ms(),
            status_code=response.status_code,
            start=run.start,
            end=run.start + spent,
            result=response.result,
            size=response.size,
            version=action.version,
            kind=action.kind,
            limits=action.limits,
            timeout=run.timed_out,
            wait_time=max(0, run.start - job.message.start),
            init_time=UNSET if run.init_ms is None else round(run.init_ms),
            attempts=job.starts + 1,
            shared_logs=run.shared and action.limits.logs > 0,
        )

    def on_logs(self, message: Logs) -> None:
        """Its output is complete, or given up: the container is free, unless that leaves it in an unknown state."""
        run = self.runs.get(message.activation_id)
        if run is None or run.phase is not Phase.COLLECTING:
            return
        if not message.intact and run.healthy:
            run.healthy = False
            self._lose()
        self._over(run, "collected")

    def on_logs_reset(self, message: LogsReset) -> None:
        """The log reader lost what it held: runs that wait for it end with what the record says about that."""
        for activation_id, run in list(self.runs.items()):
            if run.phase is Phase.COLLECTING:
                lost = Logs(self.cid, activation_id, endings.logs_lost(self.services.clock.wall_ms()), False)
                self.send(self.services.directory.writer, lost)
                self.on_logs(lost)

    def _give_back(self, run: ActiveRun, *, interrupted: bool = False) -> None:
        self._lose()
        self._to_router(Returned(self.cid, run.job, interrupted))
        self._over(run, "returned")

    def _lose(self) -> None:
        if self.state is not Container.FAILING:
            self._to_router(Lost(self.cid))
        self._step("lost")

    def _over(self, run: ActiveRun, event: str) -> None:
        self._advance(run, event)
        del self.runs[run.job.activation_id]
        if self.state is Container.RUNNING:
            self._to_router(Free(self.cid, run.job.activation_id, run.run_ms, run.init_ms or 0.0))
        elif event == "collected":
            self._to_router(Released(self.cid, run.job.activation_id))
        self._step("freed" if self.runs else "idle")
        if self.state is Container.REMOVING:
            self._destroy()
        elif self.state is Container.READY:
            self._idle()

    # Pausing ------------------------------------------------------------------------------------------------------

    def _idle(self) -> None:
        self.idle_since = self.services.clock.monotonic()
        assert self.owner is not None
        self.services.containers.idle(self.cid, self.owner)
        if self.services.rules.pause_grace is not None and not self.timing:
            self._wake_after(self.services.rules.pause_grace)

    def _wake_after(self, seconds: float) -> None:
        self.timing = True
        self.wakeupAfter(timedelta(seconds=seconds))

    def on_wakeup(self, message: WakeupMessage) -> None:
        """Freeze it if it was idle all the time; one that works asks again when it is idle."""
        self.timing = False
        grace = self.services.rules.pause_grace
        if self.state is not Container.READY or grace is None:
            return
        left = self.idle_since + grace - self.services.clock.monotonic()
        if left > 0:
            self._wake_after(left)
            return
        self._step("pause")
        self.services.containers.pause(self.cid, self.reply)

    def on_paused(self, message: Paused) -> None:
        """It is frozen; a run may have come meanwhile. One that can't be frozen goes, as upstream."""
        self.services.instrument("paused", {"cid": self.cid, "done": message.done, "ms": message.ms})
        if self._goes("paused" if message.done else "not paused"):
            self._give_up()
        elif self.held and self.state is Container.PAUSED:
            self._step("run")
            self.services.containers.resume(self.cid, self.reply)

    def on_resumed(self, message: Resumed) -> None:
        """What was held for it runs, or goes back to have another container."""
        self.services.instrument("resumed", {"cid": self.cid, "done": message.done, "ms": message.ms})
        if self._goes("resumed" if message.done else "not resumed"):
            self._give_up()
        elif self.state is Container.RUNNING:
            held, self.held = self.held, []
            for each in held:
                self._admit(each)

    def _give_up(self) -> None:
        """It can't be used any more, and no code runs in it."""
        self._to_router(Lost(self.cid))
        for each in self.held:
            self._to_router(Returned(self.cid, each.job))
        self.held.clear()
        self._destroy()

    # Removing -----------------------------------------------------------------------------------------------------

    def on_remove(self, message: Remove) -> None:
        """The router wants its memory; it is idle, or already going."""
        if self._goes("remove"):
            self._destroy()

    def on_abandon(self, message: Abandon) -> None:
        """Whatever it does, it ends here; somebody else sees to its runs."""
        self.runs.clear()
        self.held.clear()
        if self._goes("abandon"):
            self._destroy()

    def on_died(self, message: Died) -> None:
        """It ended by itself. During a run the call's own failure says so."""
        if self._goes("died"):
            self._give_up()

    def _destroy(self) -> None:
        self.services.containers.remove(self.cid, self.reply)

    def on_removed(self, message: Removed) -> None:
        """Nothing of it is left."""
        self._step("removed")
        self.send(self.services.directory.reader, LogsForget(self.cid))
        self._to_router(Gone(self.cid))
        self.send(self.myAddress, ActorExitRequest())

    # Helpers ------------------------------------------------------------------------------------------------------

    def _goes(self, event: str) -> bool:
        """Go on by the table; whether that begins the removal."""
        was = self.state
        self._step(event)
        return self.state is Container.REMOVING and was is not Container.REMOVING

    def _step(self, event: str) -> None:
        self.state = step(CONTAINER, "container", self.cid, self.state, event)

    def _advance(self, run: ActiveRun, event: str) -> None:
        run.phase = step(RUN, "run", run.job.activation_id, run.phase, event)

    def _to_router(self, message: object) -> None:
        self.send(self.services.directory.router, message)

    HANDLERS: ClassVar = {
        Start: on_start,
        Idle: on_idle,
        Created: on_created,
        NotCreated: on_not_created,
        Run: on_run,
        StartedDurable: on_started_durable,
        Called: on_called,
        Logs: on_logs,
        LogsReset: on_logs_reset,
        WakeupMessage: on_wakeup,
        Paused: on_paused,
        Resumed: on_resumed,
        Remove: on_remove,
        Abandon: on_abandon,
        Died: on_died,
        Removed: on_removed,
    }
