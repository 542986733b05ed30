"""Composer: brings sequences, conductors and fired triggers to their end, one step after the other, each journaled.

A child is sent only when its `child_assigned` is durable, and after a restart that very message goes to the same node once
more, where its id is recognised: a child runs once however often its parent's process dies. What is called next is decided by
`actors.steps`; COMPOSITION and CALL are the tables of a composition's way and of a call's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

import msgspec
from msgspec import UNSET, Raw, UnsetType
from thespian.actors import WakeupMessage

from actors import composing, endings, steps
from actors.admission import UNSTORABLE, refusal
from actors.base import NodeActor, StreamServices
from actors.base import Progress as Shown
from actors.composing import Call, Calling, Composition, Progress
from actors.ports import ChildPort, ComponentPort
from actors.system import Restarted
from messages.commands import AcceptedDurable, Completed, Drain, Ended, NotAccepted, Repeated
from messages.composing import (
    ChildAccepted,
    ChildAssignedDurable,
    ChildEnded,
    ChildRefused,
    Component,
    Compose,
    NoComponent,
    NodeChosen,
    Resolved,
    TakeUp,
)
from messages.composition import Spent, TriggerPlan, child_id, decode_plan, encode_plan
from messages.events import Accepted, Acked, ChildAssigned
from messages.lifecycle import UNENDED, Stage
from messages.wire import EMPTY_OBJECT, ActivationMessage, Response, decode_message, encode
from store.errors import StoreRefused

PAUSE_FIRST, PAUSE_LAST = 0.05, 2.0
"""Seconds between attempts at a child that no node takes now."""

FOR_GOOD = frozenset({400, 413})
"""Statuses of refusals that another attempt would only repeat."""


class Composer(NodeActor):
    """One per stream of compositions."""

    def __init__(self, services: StreamServices, components: ComponentPort, children: ChildPort, stream: str) -> None:
        super().__init__(services)
        self.components = components
        self.children = children
        self.stream = stream
        self.works: dict[str, Composition] = {}
        services.held = self._held

    def __repr__(self) -> str:
        return f"<Composer {len(self.works)} live>"

    # Accepting ----------------------------------------------------------------------------------------------------

    def on_compose(self, message: Compose) -> None:
        """Refuse it for certain, join it to the same id, or journal that it is accepted."""
        activation_id = message.activation_id
        work, stage = self.works.get(activation_id), self.services.journal.stage(activation_id)
        if work is not None or stage in UNENDED:
            if activation_id in self.services.journal.live:
                self.services.answers.accepted(activation_id)
            return
        if stage is not Stage.UNKNOWN or activation_id in self.services.ended:
            self.send(self.services.directory.writer, Repeated(message.message))
            return
        body, plan = encode(composing.without_key(message.message)), encode_plan(message.plan)
        refused = refusal(self.services, len(body) + len(plan), owed=message.owed)
        if refused is not None:
            self.services.answers.refused(activation_id, *refused)
            return
        event = Accepted(activation_id, Raw(body), self.services.clock.wall_ms(), plan=Raw(plan))
        try:
            self.services.journal.append(event, self.told(AcceptedDurable(activation_id)))
        except StoreRefused as error:
            self.services.answers.refused(activation_id, UNSTORABLE.format(error=error), 400)
            return
        self._enter(Composition(message.message, message.plan, event.at)).step("journal")

    def _enter(self, work: Composition) -> Composition:
        self.works[work.id] = work
        self.services.board[work.id] = Shown(work.message.user.namespace.name, "running", work.start, 1)
        return work

    def on_accepted_durable(self, message: AcceptedDurable) -> None:
        """Only now may it be answered for, and its first step made."""
        self.services.answers.accepted(message.activation_id)
        work = self.works.get(message.activation_id)
        if work is None:
            self._take_up(message.activation_id)
        else:
            work.step("durable")
            self._begin(work)

    def on_not_accepted(self, message: NotAccepted) -> None:
        """Its caller has been told."""
        self.works.pop(message.activation_id, None)
        self.services.board.pop(message.activation_id, None)

    def on_drain(self, message: Drain) -> None:
        """Accept nothing more from outside; what is live goes on."""
        self.services.draining = True

    # Taking up ----------------------------------------------------------------------------------------------------

    def on_take_up(self, message: TakeUp) -> None:
        """Left in the journal: go on where it stood."""
        self._take_up(message.activation_id)

    def _take_up(self, activation_id: str) -> None:
        live = self.services.journal.live.get(activation_id)
        stage = self.services.journal.stage(activation_id)
        if live is None or live.plan is None or stage not in UNENDED or activation_id in self.works:
            return
        message, plan = decode_message(live.message), decode_plan(live.plan)
        work = self._enter(Composition(message, plan, live.accepted_at))
        work.recall(live.assigned, live.children)
        work.step("take up")
        for event in composing.newest(live, self.services.under_way.values()):
            self._call_again(work, event)
        if isinstance(plan, TriggerPlan) or not work.calls:
            self._begin(work)

    def _call_again(self, work: Composition, event: ChildAssigned) -> None:
        """The same bytes to the same node, unless the records have the child already."""
        call = work.calls[event.child] = Call.again(event)
        work.tally = event.tally
        call.step("assign")
        live = self.services.journal.live[work.id]
        if event.child not in live.assigned:
            work.children.append(event.child)
            return  # ChildAssignedDurable comes
        self.services.under_way[event.child] = event
        call.step("durable")
        self._send(work, call)

    # Steps --------------------------------------------------------------------------------------------------------

    def _begin(self, work: Composition) -> None:
        plan = work.plan
        content = EMPTY_OBJECT if isinstance(work.message.content, UnsetType) else work.message.content
        if isinstance(plan, TriggerPlan):
            for rule in plan.rules:
                if rule.child and rule.child not in work.calls:
                    self._resolve(work, Call(rule.child, rule.action, rule.name), content)
            self._fired(work)
        else:
            self._follow(work, steps.begin(plan, content))

    def _follow(self, work: Composition, decision: steps.Decision) -> None:
        if isinstance(decision, steps.End):
            self._end(work, decision.response)
            return
        work.tally = decision.tally
        work.calls.clear()
        child = child_id(work.id, decision.call.name, decision.tally.steps)
        self._resolve(work, Call(child, decision.call.action), decision.call.content)

    def _resolve(self, work: Composition, call: Call, content: Raw) -> None:
        work.calls[call.child] = call
        activation_id = work.id

        def found(found: Component | NoComponent) -> None:
            self.reply(Resolved(activation_id, call.child, found))

        self.components.resolve(work.user, call.action, content, found, rule=bool(call.rule))

    def on_resolved(self, message: Resolved) -> None:
        """The action behind a call is known, or why there is none."""
        work, call = self._under_way(message.activation_id, message.child, Calling.RESOLVING)
        if work is None or call is None:
            return
        found = message.found
        if isinstance(found, Component):
            self._prepare(work, call, found)
            return
        call.step("fail")
        if isinstance(work.plan, TriggerPlan):
            call.outcome = composing.not_called(found.status, found.error)
            self._fired(work)
        else:
            self._follow(work, steps.unresolved(work.plan, work.tally, call.action, forbidden=found.status == 403))

    def _prepare(self, work: Composition, call: Call, found: Component) -> None:
        """Put the child together: from here on its bytes stay the same."""
        work.user = found.user
        plan, fired = work.plan, isinstance(work.plan, TriggerPlan)
        form = "action" if not fired and work.tally.conducting else found.form
        bare = composing.nested_message(work.message, call.child, self.services.clock.wall_ms(), fired=fired)
        call.message = msgspec.structs.replace(
            bare,
            user=found.user,
            action=found.action,
            revision=found.executable.revision if found.executable is not None else None,
            content=found.content,
            init_args=list(found.init_args),
            locked_args=found.locked_args,
        )
        call.executable = found.executable
        if not isinstance(plan, TriggerPlan):
            if form != "action" and plan.depth >= plan.most:
                call.step("fail")
                self._follow(work, steps.too_deep(plan))
                return
            spent, depth = steps.inherited(plan, work.tally, form), plan.depth + 1
            work.tally = steps.spending(plan, work.tally, form)
        else:
            spent, depth = Spent(), 0
        call.plan = composing.nested_plan(form, found, self.components.most, spent, depth)
        self._choose(work, call)

    def _choose(self, work: Composition, call: Call) -> None:
        """Choose the node, journal the choice, then send. A nested composition stays here."""
        assert call.message is not None
        if call.plan is None:
            call.step("choose")
            self.children.choose(work.id, call.message, call.executable, self.reply)
        elif call.assigned:
            call.step("send")
            self._send(work, call)
        else:
            call.node = self.stream
            self._assign(work, call)

    def on_node_chosen(self, message: NodeChosen) -> None:
        """Journal it, unless it stands in the journal already; or wait if no node takes it now."""
        work, call = self._under_way(message.activation_id, message.child, Calling.CHOOSING)
        if work is None or call is None:
            return
        if not message.node:
            self._wait(work, call, "wait")
        elif message.node == call.node and call.assigned:
            call.step("send")
            self._send(work, call)
        else:
            call.node = message.node
            self._assign(work, call)

    def _assign(self, work: Composition, call: Call) -> None:
        assert call.message is not None
        event = ChildAssigned(
            id=work.id,
            child=call.child,
            node=call.node,
            message=Raw(encode(composing.without_key(call.message))),
            tally=work.tally,
            at=self.services.clock.wall_ms(),
            plan=UNSET if call.plan is None else Raw(encode_plan(call.plan)),
        )
        try:
            if len(event.message) > self.services.rules.largest:
                raise StoreRefused(f"{len(event.message)} bytes")
            self.services.journal.append(event, self.told(ChildAssignedDurable(work.id, call.child)))
        except StoreRefused as error:
            self._never(work, call, 413, str(error))
            return
        self.services.under_way[call.child] = event
        call.step("assign")
        if not call.assigned:
            call.assigned = True
            work.children.append(call.child)
        self._acknowledge(work)
        self.services.board[work.id].attempt = max(1, work.tally.steps)

    def on_child_assigned_durable(self, message: ChildAssignedDurable) -> None:
        """Now it may be sent."""
        work, call = self._under_way(message.activation_id, message.child, Calling.ASSIGNING)
        if work is not None and call is not None:
            call.step("durable")
            self._send(work, call)

    def _send(self, work: Composition, call: Call) -> None:
        assert call.message is not None
        fired = isinstance(work.plan, TriggerPlan)
        self.children.send(work.id, call.node, call.message, call.executable, call.plan, self.reply, look=call.look, wait=not fired)

    # How calls end ------------------------------------------------------------------------------------------------

    def on_child_accepted(self, message: ChildAccepted) -> None:
        """A rule's action is accepted: that is all that a trigger waits for."""
        work, call = self._under_way(message.activation_id, message.child, Calling.SENT)
        self.services.under_way.pop(message.child, None)
        if work is not None and call is not None:
            call.step("over")
            call.outcome = composing.called(call.child)
            self._fired(work)

    def on_child_ended(self, message: ChildEnded) -> None:
        """A step is over: its outcome decides what follows."""
        self.services.under_way.pop(message.child, None)
        work, call = self._under_way(message.activation_id, message.child, Calling.SENT)
        if work is None or call is None or isinstance(work.plan, TriggerPlan):
            return
        call.step("over")
        spent = None
        live = self.services.journal.live.get(call.child)
        if live is not None and live.finished is not None and not isinstance(live.finished.whole, UnsetType):
            work.answered.append(call.child)
            if call.plan is not None and steps.shared(work.plan, live.finished.whole.form):
                spent = live.finished.whole.spent
        work.tally = steps.ended(work.tally, message.record, spent)
        namespace = work.message.user.namespace.name
        self._follow(work, steps.advance(work.plan, work.tally, message.record.response, namespace))

    def on_child_refused(self, message: ChildRefused) -> None:
        """Certainly not accepted: another attempt, perhaps at another node, unless it would end the same."""
        work, call = self._under_way(message.activation_id, message.child, Calling.SENT)
        if work is None or call is None:
            return
        if message.status in FOR_GOOD:
            self._never(work, call, message.status, message.reason)
        else:
            self._wait(work, call, "refused")

    def _never(self, work: Composition, call: Call, status: int, reason: str) -> None:
        self.services.under_way.pop(call.child, None)
        if isinstance(work.plan, TriggerPlan):
            call.state = Calling.OVER
            call.outcome = composing.not_called(status, reason)
            self._fired(work)
        else:
            self._follow(work, steps.refused(work.plan))

    def _wait(self, work: Composition, call: Call, event: str) -> None:
        call.step(event)
        pause = min(PAUSE_LAST, PAUSE_FIRST * 2 ** min(call.tries, 10))
        call.tries += 1
        self.wakeupAfter(timedelta(seconds=pause), (work.id, call.child))

    def on_wakeup(self, message: WakeupMessage) -> None:
        """Try a waiting call again."""
        activation_id, child = message.payload
        work, call = self._under_way(activation_id, child, Calling.WAITING)
        if work is not None and call is not None:
            self._choose(work, call)

    def _under_way(self, activation_id: str, child: str, state: Calling) -> tuple[Composition, Call] | tuple[None, None]:
        """The call that a message is about, if it is still where the message expects it."""
        work = self.works.get(activation_id)
        call = work.calls.get(child) if work is not None else None
        if work is None or call is None or call.state is not state or work.state is not Progress.WORKING:
            return None, None
        return work, call

    # Ends ---------------------------------------------------------------------------------------------------------

    def _fired(self, work: Composition) -> None:
        """A trigger is over when every rule has its line."""
        plan = work.plan
        assert isinstance(plan, TriggerPlan)
        if all(call.outcome is not None for call in work.calls.values()):
            work.step("end")
            done = composing.fired(work, plan, self.services.clock.wall_ms())
            self.send(self.services.directory.writer, Ended(work.message, done, []))

    def _end(self, work: Composition, response: Response) -> None:
        work.step("end")
        done = composing.finished(work, response, self.services.clock.wall_ms())
        self.send(self.services.directory.writer, Ended(work.message, done, []))

    def on_completed(self, message: Completed) -> None:
        """Its `finished` is durable."""
        self.services.board.pop(message.activation_id, None)
        work = self.works.pop(message.activation_id, None)
        if work is not None:
            work.step("completed")
            self._acknowledge(work)

    # Nested compositions ------------------------------------------------------------------------------------------

    def _held(self, message: ActivationMessage) -> bool:
        """A nested composition stays live until what its parent made of it is journaled: its record lacks what it spent."""
        parent = None if isinstance(message.cause, UnsetType) else self.services.journal.live.get(message.cause)
        return parent is not None and parent.finished is None and message.activation_id in parent.assigned

    def _acknowledge(self, work: Composition) -> None:
        """What follows from these is appended: they need not be known any more."""
        for child in work.answered:
            self._ack(child)
        work.answered.clear()

    def _ack(self, child: str) -> None:
        if self.services.journal.stage(child) in (Stage.FINISHED, Stage.RECORDED):
            self.services.journal.append(Acked(child, self.services.clock.wall_ms()), lazy=True)

    # Supervision --------------------------------------------------------------------------------------------------

    def on_restarted(self, message: Restarted) -> None:
        """A bug ended the instance before: go on from the journal. What it failed at ends, so that it isn't met again."""
        failed = message.message
        for activation_id, live in list(self.services.journal.live.items()):
            inner = decode_message(live.message)
            if live.finished is not None and inner.cause is not UNSET and not self._held(inner):
                self._ack(activation_id)
        broken = failed.activation_id if isinstance(failed, Compose | Resolved | NodeChosen | ChildEnded | ChildRefused) else ""
        if isinstance(failed, ChildEnded):
            self.services.under_way.pop(failed.child, None)
        if isinstance(failed, Compose) and self.services.journal.stage(broken) is Stage.UNKNOWN:
            self.services.answers.refused(broken, endings.NOT_RUN, 503)
        elif self.services.journal.stage(broken) in UNENDED and broken in self.services.journal.live:
            self._give_up(broken)
        for activation_id in list(self.services.journal.live):
            if activation_id != broken:
                self._take_up(activation_id)

    def _give_up(self, activation_id: str) -> None:
        """End a composition with an error, unless a child is under way. A trigger goes on: its record has to say what it fired."""
        live = self.services.journal.live[activation_id]
        plan = None if live.plan is None else decode_plan(live.plan)
        child = any(event.id == activation_id for event in self.services.under_way.values())
        if plan is None or child or isinstance(plan, TriggerPlan):
            self._take_up(activation_id)
            return
        work = self._enter(Composition(decode_message(live.message), plan, live.accepted_at))
        work.recall(live.assigned, live.children)
        work.step("take up")
        work.answered = [child for child in live.assigned if child in self.services.journal.live]
        self._end(work, Response(3, steps.error(endings.NOT_RUN)))

    HANDLERS: ClassVar = {
        Compose: on_compose,
        AcceptedDurable: on_accepted_durable,
        NotAccepted: on_not_accepted,
        TakeUp: on_take_up,
        Resolved: on_resolved,
        NodeChosen: on_node_chosen,
        ChildAssignedDurable: on_child_assigned_durable,
        ChildAccepted: on_child_accepted,
        ChildEnded: on_child_ended,
        ChildRefused: on_child_refused,
        Completed: on_completed,
        Drain: on_drain,
        WakeupMessage: on_wakeup,
        Restarted: on_restarted,
    }
