"""ActivationRouter: the one door for work. Accepts it durably, finds its action, places it by the pool's plan.

New work (`Invoke`) and work of an earlier process (`Resume`) take the same way; only the journaling of `accepted` is not
repeated. ROUTE is the table of an activation's way through here. The pool decides, this actor carries its decisions out.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET
from thespian.actors import ActorAddress, ChildActorExited, WakeupMessage

from actors import endings, recovery
from actors.admission import UNSTORABLE, accepted, may_run_ahead, refusal, unfit
from actors.base import NodeActor, Progress, Services
from actors.container_proxy import ContainerProxy
from actors.pool import Assign, Create, PoolSettings, shape_of_start
from actors.repeats import repeated
from actors.route import Route, Routed
from actors.system import Restarted
from containers import outcome
from messages.commands import (
    Abandon,
    AcceptedDurable,
    Adopt,
    Completed,
    Drain,
    Ended,
    Fetched,
    Free,
    Gone,
    Idle,
    Invoke,
    Job,
    LogsForget,
    LogsReset,
    Lost,
    NotAccepted,
    Orphaned,
    Ready,
    Released,
    Remove,
    Removed,
    Repeated,
    Resume,
    Returned,
    Run,
    Start,
    StartFailed,
    Up,
)  # fmt: skip
from messages.lifecycle import UNENDED, Stage
from store.errors import StoreRefused

FROM_PROXIES = frozenset({Up, Ready, StartFailed, Free, Returned, Lost, Gone})


class ActivationRouter(NodeActor):
    """One per node."""

    services: Services

    def __init__(self, services: Services, pool: PoolSettings) -> None:
        super().__init__(services)
        self.pool = services.make_pool(pool, services.last_cid)
        services.pool_view = lambda: self.pool.overview(services.clock.monotonic())
        self.routed: dict[str, Routed] = {}
        self.proxies: dict[int, ActorAddress] = {}
        self.wakeup_at: float | None = None
        self.abandoned: set[ActorAddress] = set()
        """Proxies of an instance of this router that failed; nothing is placed until they are gone."""
        self.inherited: set[int] = set()
        """Containers whose proxies had failed before that; nor until these are gone."""

    def __repr__(self) -> str:
        return f"<ActivationRouter {len(self.routed)} live {self.pool!r}>"

    def receiveMessage(self, message: Any, sender: ActorAddress) -> None:  # noqa: N802 - Thespian's name
        """What the proxies of an instance before this one still say is not looked at."""
        if type(message) not in FROM_PROXIES or message.cid in self.proxies:
            super().receiveMessage(message, sender)

    # Accepting ----------------------------------------------------------------------------------------------------

    def on_invoke(self, message: Invoke) -> None:
        """Refuse it for certain, join it to the same id, or journal that it is accepted."""
        activation_id = message.message.activation_id
        known = repeated(self.services, self.routed.get(activation_id), message)
        if known:
            if isinstance(known, Repeated):
                self.send(self.services.directory.writer, known)
            return
        event = accepted(message, self.services.clock.wall_ms())
        delivered = message.offset is not UNSET
        refused = refusal(self.services, len(event.message), owed=message.owed, delivered=delivered)
        if refused is not None:
            self.services.answers.refused(activation_id, *refused)
            return
        try:
            self.services.journal.append(event, self.told(AcceptedDurable(activation_id)))
        except StoreRefused as error:
            self.services.answers.refused(activation_id, UNSTORABLE.format(error=error), 400)
            return
        routed = self._enter(Routed(message.message, message.action))
        routed.posted, routed.refusal = message.posted, message.refusal
        routed.step("journal")

    def _enter(self, routed: Routed) -> Routed:
        self.routed[routed.message.activation_id] = routed
        now = self.services.clock.wall_ms()
        namespace = routed.message.user.namespace.name
        self.services.board[routed.message.activation_id] = Progress(namespace, "queued", now, 0)
        return routed

    def on_accepted_durable(self, message: AcceptedDurable) -> None:
        """Only now may it be answered for, and looked at."""
        self.services.answers.accepted(message.activation_id)
        routed = self.routed.get(message.activation_id)
        if routed is None:
            self._resume_live(message.activation_id)
            return
        routed.step("durable")
        if routed.refusal is not UNSET:
            self._fail(routed, 1, routed.refusal)
        else:
            self._fetch(routed)

    def on_not_accepted(self, message: NotAccepted) -> None:
        """Its caller has been told."""
        self.routed.pop(message.activation_id, None)
        self.services.board.pop(message.activation_id, None)

    def on_resume(self, message: Resume) -> None:
        """Accepted by an earlier process: the same way from here on."""
        routed = self._enter(Routed(message.message))
        routed.attempts, routed.starts, routed.alone = message.attempts, message.starts, message.alone
        routed.posted = message.posted
        routed.step("resume")
        self._fetch(routed)

    # Queueing -----------------------------------------------------------------------------------------------------

    def _fetch(self, routed: Routed) -> None:
        if routed.action is not None:
            self._queue(routed)
        else:
            self.services.actions.fetch(routed.message, self.reply)

    def on_fetched(self, message: Fetched) -> None:
        """The action is known, or why it can't be run."""
        routed = self.routed.get(message.activation_id)
        if routed is None or routed.state is not Route.FETCHING:
            return
        if message.action is None:
            self._fail(routed, message.status_code, message.error)
            return
        routed.action = message.action
        if message.authkey:
            user = msgspec.structs.replace(routed.message.user, authkey=message.authkey)
            routed.message = msgspec.structs.replace(routed.message, user=user)
        self._queue(routed)

    def _queue(self, routed: Routed) -> None:
        action, now = routed.action, self.services.clock.monotonic()
        assert action is not None
        if not self.pool.fits(action.limits.memory):
            self._fail(routed, 3, endings.too_large(action.limits.memory, self.pool.settings.memory))
            return
        problem = None if routed.starts else unfit(self.services, routed.message, action, routed.posted)
        if problem is not None:
            self._fail(routed, *problem)
            return
        if (closed := routed.unlock(self.services.unlock)) is not None:
            self._fail(routed, 3, closed)
            return
        routed.step("fetched")
        routed.since = now
        self._wait(routed)

    def _wait(self, routed: Routed) -> None:
        action = routed.action
        assert action is not None
        self.pool.add(routed.waiting(action))
        self._plan()

    # Carrying out the plan ----------------------------------------------------------------------------------------

    def _plan(self) -> None:
        if self.abandoned or self.inherited or not self.services.may_start():
            return
        now = self.services.clock.monotonic()
        for decision in self.pool.plan(now):
            if isinstance(decision, Assign):
                self._place(decision)
            elif isinstance(decision, Create):
                self._create(decision)
            else:
                self.send(self.proxies[decision.cid], Remove())
        self._wake_later(self.pool.next_wakeup(now), now)

    def _wake_later(self, at: float | None, now: float) -> None:
        if at is not None and (self.wakeup_at is None or at < self.wakeup_at):
            self.wakeup_at = at
            self.wakeupAfter(timedelta(seconds=max(0.0, at - now)))

    def on_wakeup(self, message: WakeupMessage) -> None:
        """What only time changes: idle containers, starved jobs, creations that had failed."""
        self.wakeup_at = None
        self._plan()

    def _place(self, decision: Assign) -> None:
        routed = self.routed[decision.id]
        routed.step("place")
        attempt = routed.attempts + 1
        action = routed.action
        assert action is not None
        progress = self.services.board[decision.id]
        progress.state, progress.since, progress.attempt = "running", self.services.clock.wall_ms(), routed.starts + 1
        job = Job(routed.message, action, attempt, routed.starts, routed.alone, routed.since, decision.start, decision.why)
        self.send(self.proxies[decision.cid], Run(job, may_run_ahead(self.services, job)))
        self.services.instrument("placed", {"job": job, "cid": decision.cid, "start": decision.start})

    def _create(self, decision: Create) -> None:
        start = Start(decision.kind, decision.image, decision.memory, decision.concurrency, decision.user_image)
        self._begin(decision.cid, start)

    def _begin(self, cid: int, message: Start | Idle) -> None:
        self.proxies[cid] = self.createActor(partial(ContainerProxy, self.services, cid))
        self.services.last_cid = cid
        self.send(self.proxies[cid], message)

    def on_adopt(self, message: Adopt) -> None:
        """Take over what an earlier process left idle: each is as good as one that is being created, and quicker there."""
        now = self.services.clock.monotonic()
        for idle in message.containers:
            cid = self.pool.adopt(shape_of_start(idle.start), idle.start.concurrency, idle.owner, now)
            if cid is not None:
                self._begin(cid, idle)
        self._plan()

    # What proxies say ---------------------------------------------------------------------------------------------

    def on_up(self, message: Up) -> None:
        """A container is created."""
        self.pool.up(message.cid, self.services.clock.monotonic())
        self.services.instrument("up", {"cid": message.cid, "container": message.container, "stages": message.stages})
        self._plan()

    def on_ready(self, message: Ready) -> None:
        """A container is initialised."""
        self.pool.initialized(message.cid)
        self._plan()

    def on_start_failed(self, message: StartFailed) -> None:
        """End the jobs that can't have a container; others wait for the next try."""
        waiting = self.pool.waiting_for(message.cid)
        self.pool.lost(message.cid)
        self._gone(message.cid)
        self.services.instrument("start failed", {"cid": message.cid, "error": message.error})
        for position, activation_id in enumerate(waiting):
            routed = self.routed[activation_id]
            routed.tries += position == 0 and not message.waits
            if message.permanent or routed.tries >= self.services.rules.create_tries:
                self.pool.cancel(activation_id)
                self._fail(routed, message.status_code, message.error)
        self._plan()

    def on_free(self, message: Free) -> None:
        """A run is over, its container healthy."""
        now = self.services.clock.monotonic()
        self.pool.free(message.cid, message.activation_id, message.run_ms, message.init_ms, now)
        self._plan()

    def on_released(self, message: Released) -> None:
        """A run is over, its container lost."""
        self.pool.release(message.cid, message.activation_id)
        self._plan()

    def on_returned(self, message: Returned) -> None:
        """Its code did not run: place it again, unless that has happened too often. So too if it was cut off and may run again."""
        self.pool.release(message.cid, message.job.activation_id)
        if message.interrupted:
            self._orphan(message.job.activation_id)
        else:
            self._again(message.job.activation_id)
        self._plan()

    def _again(self, activation_id: str) -> None:
        routed = self.routed.get(activation_id)
        if routed is None or routed.state is not Route.PLACED:
            return
        routed.returns += 1
        if routed.returns >= self.services.rules.run_tries:
            self._fail(routed, 3, outcome.NO_RESOURCES)
            return
        routed.step("return")
        self._wait(routed)

    def on_lost(self, message: Lost) -> None:
        """A container takes no more work."""
        self.pool.lost(message.cid)
        self._plan()

    def on_gone(self, message: Gone) -> None:
        """Its memory is free."""
        self._gone(message.cid)
        self._plan()

    def _gone(self, cid: int) -> None:
        self.pool.gone(cid)
        self.proxies.pop(cid, None)

    def on_logs_reset(self, message: LogsReset) -> None:
        """The log reader starts anew: every proxy must know."""
        for proxy in self.proxies.values():
            self.send(proxy, message)

    # Ends ---------------------------------------------------------------------------------------------------------

    def _fail(self, routed: Routed, status_code: int, error: str) -> None:
        routed.step("fail")
        now = self.services.clock.wall_ms()
        finished = endings.failed(routed.message, routed.action, status_code, error, now, max(1, routed.starts))
        self.send(self.services.directory.writer, Ended(routed.message, finished, []))

    def on_completed(self, message: Completed) -> None:
        """It has ended."""
        routed = self.routed.pop(message.activation_id, None)
        self.services.board.pop(message.activation_id, None)
        if routed is not None:
            self.pool.cancel(message.activation_id)
            routed.step("completed")

    def on_drain(self, message: Drain) -> None:
        """Accept nothing more; what is live goes on."""
        self.services.draining = True

    # Supervision --------------------------------------------------------------------------------------------------

    def on_child_exited(self, message: ChildActorExited) -> None:
        """A proxy failed by a bug: its container goes, its jobs are placed again when it is gone."""
        if message.childAddress in self.abandoned:
            self.abandoned.discard(message.childAddress)
            self._resume_all()
            return
        cid = next((cid for cid, proxy in self.proxies.items() if proxy == message.childAddress), None)
        if cid is None:
            return
        del self.proxies[cid]
        self.services.orphans.add(cid)
        jobs = self.pool.lost(cid)

        def removed(message: object) -> None:
            if isinstance(message, Removed):  # it may say first that it died
                self.reply(Orphaned(cid, jobs))

        self.services.containers.remove(cid, removed)

    def on_orphaned(self, message: Orphaned) -> None:
        """The failed proxy's container is gone; what had not ended in it is placed again, if it may run again."""
        if message.cid not in self.services.orphans:
            return  # its proxy had asked for the same
        self.services.orphans.discard(message.cid)
        self.send(self.services.directory.reader, LogsForget(message.cid))
        if message.cid in self.inherited:
            self.inherited.discard(message.cid)
            self._resume_all()
            return
        for activation_id in message.jobs:
            self.pool.release(message.cid, activation_id)
        self.pool.gone(message.cid)
        for activation_id in message.jobs:
            self._orphan(activation_id)
        self._plan()

    def _orphan(self, activation_id: str) -> None:
        stage, routed = self.services.journal.stage(activation_id), self.routed.get(activation_id)
        if routed is None or stage not in UNENDED:
            return
        if stage is Stage.STARTED:
            routed.starts += 1
            if routed.action is not None and routed.action.replay == "never":
                self._fail(routed, 3, endings.INTERRUPTED)
                return
        self._again(activation_id)

    def on_restarted(self, message: Restarted) -> None:
        """A bug ended the instance before: what the journal has unfinished is taken up again."""
        if isinstance(message.message, Invoke):
            self._refuse_failed(message.message)
        self.abandoned, self.inherited = set(message.children), set(self.services.orphans)
        for proxy in message.children:
            self.send(proxy, Abandon())
        self._resume_all()

    def _refuse_failed(self, message: Invoke) -> None:
        """Its caller waits. It is refused if nothing of it was journaled, certainly; else the answer comes as ever."""
        activation_id = message.activation_id
        if activation_id in self.services.ended:
            self.send(self.services.directory.writer, Repeated(message.message, message.offset is not UNSET))
        elif self.services.journal.stage(activation_id) is Stage.UNKNOWN:
            self.services.answers.refused(activation_id, endings.NOT_RUN, 503)

    def _resume_all(self) -> None:
        """Once nothing of the instance before runs any more."""
        if not self.abandoned and not self.inherited:
            for activation_id in list(self.services.journal.live):
                self._resume_live(activation_id)
            self._plan()

    def _resume_live(self, activation_id: str) -> None:
        live, stage = self.services.journal.live.get(activation_id), self.services.journal.stage(activation_id)
        if live is None or stage not in UNENDED or activation_id in self.routed:
            return
        now, alone_from = self.services.clock.wall_ms(), self.services.rules.alone_from
        command = recovery.within(live, stage, alone_from=alone_from, now_ms=now)
        if isinstance(command, Ended):
            self.send(self.services.directory.writer, command)
        else:
            self.on_resume(command)

    HANDLERS: ClassVar = {
        Invoke: on_invoke,
        AcceptedDurable: on_accepted_durable,
        NotAccepted: on_not_accepted,
        Resume: on_resume,
        Fetched: on_fetched,
        Adopt: on_adopt,
        Up: on_up,
        Ready: on_ready,
        StartFailed: on_start_failed,
        Free: on_free,
        Released: on_released,
        Returned: on_returned,
        Lost: on_lost,
        Gone: on_gone,
        LogsReset: on_logs_reset,
        Completed: on_completed,
        Drain: on_drain,
        Orphaned: on_orphaned,
        ChildActorExited: on_child_exited,
        WakeupMessage: on_wakeup,
        Restarted: on_restarted,
    }
