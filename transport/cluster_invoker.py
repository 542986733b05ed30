"""An Invoker that hands activations to nodes: over HTTP while a node isn't overloaded, else through its topic.

Rules
- Accepted is the node's 200 head or the broker's acknowledgement by all replicas; nothing is answered before.
- After anything but a certain refusal only the same node is asked again, through its topic: whoever owns its stream reads it.
- What was taken stays in the balancer's books until its acknowledgement comes, or its record is in the store. A node of ours is
  waited for as long as its topic keeps messages; for any other a record is written when upstream would force the completion.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol
from urllib.parse import quote

import structlog
from msgspec import DecodeError, UnsetType

from actors.ports import Clock, Instrument
from controller.balancer.balancer import Balancer, Need, Sent
from controller.balancer.health import Outcome
from messages.action import Executable
from messages.cluster import TEST_TRANSID, Ack, Heartbeat, PingMessage, decode_ack
from messages.record import fallback, record_of
from messages.wire import ActivationMessage, Limits, encode
from store.contract import ActivationStore
from store.errors import StoreRefused, StoreUnavailable
from transport import kafka_producer as kafka
from transport.cluster_answers import ClusterAnswers, ClusterInvocation
from transport.contract import Refused
from transport.invoke_client import Declined, InvokeClient, Received, Unknown

START_PATIENCE = 10.0
"""Seconds after its start in which a controller waits for an invoker before it answers 503: pings come every second."""
LOOK_FOR_ONE = 0.05
HTTP_REST = 30.0
"""Seconds for which a node that misunderstands `/invoke` gets everything through its topic."""
RETENTION = 48 * 3600.0
"""Seconds that an invoker's topic keeps messages: so long may a node that is down still take what was sent to it."""
TOO_LARGE = "The message is larger than the broker takes."
LOST = "The invoker did not report the end of this activation in time."

log = structlog.get_logger("dispatch")


class Bus(Protocol):
    """What sends to topics: transport.kafka_producer.TopicProducer."""

    def send(self, topic: str, value: bytes, done: kafka.Done) -> None:
        """Send; `done` is called once, on the loop. Raises Overflow."""


class ClusterInvoker:
    """Implements Invoker. `topic` names an invoker's topic; `unready` says why the API may not answer.

    `http_open`: requests to one node under way at which its topic is taken instead.
    """

    def __init__(
        self,
        *,
        balancer: Balancer,
        bus: Bus,
        client: InvokeClient,
        records: ActivationStore,
        clock: Clock,
        topic: Callable[[int], str],
        instrument: Instrument,
        unready: Callable[[], str | None],
        http_open: int = 256,
        start_patience: float = START_PATIENCE,
    ) -> None:
        self.balancer = balancer
        self.answers = ClusterAnswers(records)
        self._bus = bus
        self._client = client
        self._records = records
        self._clock = clock
        self._topic = topic
        self._instrument = instrument
        self._unready = unready
        self._http_open = http_open
        self._give_up_at = clock.monotonic() + start_patience
        self._nodes: Mapping[str, Heartbeat] = {}
        self._resting: dict[int, float] = {}
        self._messages: dict[str, ActivationMessage] = {}
        self._lost: set[str] = set()
        self._strangers: dict[int, float] = {}
        self._read_at = float("-inf")

    def __repr__(self) -> str:
        return f"<ClusterInvoker {self.balancer!r} {self.answers!r} lost={len(self._lost)}>"

    # Invoker ----------------------------------------------------------------------------------------------------------

    async def invoke(self, message: ActivationMessage, action: Executable | None = None, node: str = "") -> ClusterInvocation:
        """Invoker.invoke. `node` is the stream of the node to ask, and of no other, if one was chosen before."""
        invocation = self.answers.expect(message.user.namespace.name, message.activation_id)
        try:
            await self._place(message, _need(message, action), _number(node))
        except BaseException:
            invocation.forget()
            raise
        return invocation

    async def choose(self, message: ActivationMessage, action: Executable | None = None) -> str:
        """The stream of the node that would get this activation. Raises Refused if there is none."""
        sent = await self._chosen(_need(message, action), set())
        self.balancer.done(message.activation_id)
        return f"invoker{sent.invoker}"

    def pending(self, namespace: str, activation_id: str) -> dict[str, object] | None:
        """Invoker.pending."""
        sent, message = self.balancer.sent(activation_id), self._messages.get(activation_id)
        if sent is None or message is None or sent.need.namespace != namespace:
            return None
        return {"state": "sent", "since": message.start, "attempt": 1}

    def ready(self) -> str | None:
        """Invoker.ready."""
        return self._unready()

    def lines(self, namespace: str, activation_id: str) -> list[str]:
        """Invoker.lines: they are with the node until the record has them."""
        return []

    def readable(self) -> str | None:
        """Invoker.readable."""
        return self._unready()

    def in_flight(self, namespace: str) -> int:
        """Invoker.in_flight."""
        return self.balancer.in_flight(namespace)

    def unfinished(self) -> list[tuple[str, str]]:
        """(activation id, action) of all that was sent and is not known to have ended."""
        return [(sent.need.activation_id, sent.need.fqn) for sent in self.balancer.everything()]

    # What the cluster tells -------------------------------------------------------------------------------------------

    def nodes(self, living: Mapping[str, Heartbeat], controllers: int) -> None:
        """The heartbeats of our own nodes by stream, and how many controllers there are."""
        self._nodes = living
        self._read_at = self._clock.monotonic()
        self.balancer.resize(controllers)

    def pinged(self, ping: PingMessage) -> None:
        """An invoker lives."""
        instance = ping.name
        own = f"invoker{instance.instance}" in self._nodes
        try:
            memory = instance.memory
        except ValueError:
            log.warning("a ping can't be read", invoker=instance.instance, memory=instance.user_memory)
            return
        now = self._clock.monotonic()
        stranger = not own and self.balancer.offline(instance.instance)
        if stranger and self._strangers.setdefault(instance.instance, now) >= self._read_at:
            return  # one of ours may have started since the heartbeats were read last
        self._strangers.pop(instance.instance, None)
        if self.balancer.pinged(instance.instance, instance.label, memory, enabled=ping.is_enabled, own=own, now=now):
            self._changed(instance.instance)

    def acknowledged(self, ack: Ack) -> None:
        """An activation ended, or a part of it is known."""
        sender, now = ack.sender, self._clock.monotonic()
        outcome = Outcome.SYSTEM_ERROR if ack.is_system_error is True else Outcome.SUCCESS
        if ack.transid[:1] == [TEST_TRANSID]:
            if sender is not None and self.balancer.outcome(sender.instance, outcome, now):
                self._changed(sender.instance)
            return
        if ack.record is not None:
            self.answers.deliver(ack.id, ack.record)
        elif sender is not None or not isinstance(ack.response, UnsetType):
            self.answers.ended(ack.id)
        if sender is not None:
            self._over(ack.id, outcome)

    async def tick(self, test: Callable[[int], None]) -> None:
        """Once a second: who fell silent, who is to be tested (`test` sends that), what is overdue or was lost sight of."""
        now = self._clock.monotonic()
        for number in self.balancer.passed(now):
            self._changed(number)
        for number in self.balancer.tests(now):
            test(number)
        with contextlib.suppress(StoreUnavailable):
            await self._find([each for id in self._lost if (each := self.balancer.sent(id)) is not None])
            await self._overdue(self.balancer.overdue(now), now)

    # Sending ----------------------------------------------------------------------------------------------------------

    async def _place(self, message: ActivationMessage, need: Need, node: int | None) -> None:
        """Return when a node or the broker has it. Raises Refused, ConnectionAbortedError."""
        body = encode(message)
        declined: set[int] = set()
        self._over(need.activation_id)  # one that is asked for again stands in the books once
        while True:
            if node is not None:
                sent = self.balancer.at(need, node, self._clock.monotonic())
            else:
                sent = await self._chosen(need, declined)
            self._messages[need.activation_id] = message
            taken = await self._by_http(sent, message, body)
            if isinstance(taken, Received):
                return
            if isinstance(taken, Declined) and taken.status == 413:
                self._over(need.activation_id)
                raise Refused(taken.reason or TOO_LARGE, 413)
            if isinstance(taken, Declined) and node is None and self._another(sent, declined):
                self._over(need.activation_id)
                continue
            await self._by_topic(sent, body, unsure=isinstance(taken, Unknown))
            return

    async def _chosen(self, need: Need, declined: set[int]) -> Sent:
        while (sent := self.balancer.choose(need, self._clock.monotonic(), declined)) is None:
            if self._clock.monotonic() >= self._give_up_at:
                self._instrument("no invoker", {"activation_id": need.activation_id})
                raise Refused("", 503)
            await asyncio.sleep(LOOK_FOR_ONE)
        return sent

    def _another(self, sent: Sent, declined: set[int]) -> bool:
        """Whether some other node may be asked after this one declined."""
        declined.add(sent.invoker)
        return any(each.health.usable and each.number not in declined for each in self.balancer.invokers)

    async def _by_http(self, sent: Sent, message: ActivationMessage, body: bytes) -> Received | Declined | Unknown | None:
        """What came of asking the node itself; None if it isn't to be asked."""
        beat = self._nodes.get(f"invoker{sent.invoker}")
        if beat is None or not beat.address or sent.overload or self.balancer.offline(sent.invoker):
            return None
        if self._resting.get(sent.invoker, 0.0) > self._clock.monotonic() or self._client.busy(beat.address) >= self._http_open:
            return None
        outcome = await self._client.invoke(beat.address, body, _about(message))
        if isinstance(outcome, Received):
            outcome.body.add_done_callback(partial(self._answered, message.activation_id))
            self._instrument("sent", {"by": "http"})
            return outcome
        if isinstance(outcome, Declined) and outcome.status in (400, 401, 403, 404, 500):
            self._resting[sent.invoker] = self._clock.monotonic() + HTTP_REST
            log.warning("a node doesn't take /invoke", invoker=sent.invoker, status=outcome.status, reason=outcome.reason)
            return None
        self._instrument("http failed", {"invoker": sent.invoker, "certain": isinstance(outcome, Declined)})
        return outcome

    async def _by_topic(self, sent: Sent, body: bytes, *, unsure: bool) -> None:
        """Return when the broker has it. `unsure`: the node may have it already. Raises Refused, ConnectionAbortedError."""
        done: asyncio.Future[kafka.Outcome] = asyncio.get_running_loop().create_future()

        def settle(outcome: kafka.Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        try:
            self._bus.send(self._topic(sent.invoker), body, settle)
            outcome = await done
        except kafka.Overflow as error:
            outcome = kafka.Unsent(str(error), certain=True)
        activation_id = sent.need.activation_id
        if isinstance(outcome, kafka.Sent):
            self._instrument("sent", {"by": "kafka"})
            return
        log.warning("the broker did not take an activation", activation_id=activation_id, reason=outcome.reason)
        if unsure or not outcome.certain:
            self._lost.add(activation_id)
            raise ConnectionAbortedError(outcome.reason)
        self._over(activation_id)
        raise Refused(TOO_LARGE, 413) if outcome.too_large else Refused("", 503)

    # Ends -------------------------------------------------------------------------------------------------------------

    def _answered(self, activation_id: str, body: asyncio.Future[bytes]) -> None:
        """The body of a node's answer came, or won't."""
        if not body.cancelled() and body.exception() is None:
            with contextlib.suppress(DecodeError):
                ack = decode_ack(body.result())
                if ack.id == activation_id:
                    self.acknowledged(ack)
                    self._over(activation_id)
                    return
        if self.balancer.sent(activation_id) is not None:
            self._lost.add(activation_id)
            self.answers.ended(activation_id)  # most likely the node died: its successor's record is looked for

    def _over(self, activation_id: str, outcome: Outcome | None = None) -> None:
        """Out of the books; `outcome` unless it never ran."""
        self._lost.discard(activation_id)
        self._messages.pop(activation_id, None)
        sent = self.balancer.done(activation_id)
        if sent is not None and outcome is not None:
            self._instrument("ended", {"outcome": str(outcome)})
            if self.balancer.outcome(sent.invoker, outcome, self._clock.monotonic()):
                self._changed(sent.invoker)

    async def _find(self, wanted: list[Sent]) -> set[str]:
        """Take what has its record out of the books; the ids. Raises StoreUnavailable."""
        if not wanted:
            return set()
        found = await self._records.exist([(each.need.namespace, each.need.activation_id) for each in wanted])
        for activation_id in found:
            self.answers.ended(activation_id)
            self._over(activation_id, Outcome.SUCCESS)
        return found

    async def _overdue(self, overdue: list[Sent], now: float) -> None:
        """What must have lost its acknowledgement. Raises StoreUnavailable."""
        found = await self._find(overdue)
        for sent in overdue:
            message = self._messages.get(sent.need.activation_id)
            if sent.need.activation_id in found or message is None:
                continue
            own = self.balancer.invokers[sent.invoker].health.own
            if own and self._clock.wall_ms() - message.start < RETENTION * 1000:
                self.balancer.postpone(sent, max(60.0, now - sent.due))
                continue
            await self._force(sent, message)

    async def _force(self, sent: Sent, message: ActivationMessage) -> None:
        """The last resort: end it with a record that says so. Raises StoreUnavailable."""
        ended = fallback(message.activation_id, self._clock.wall_ms(), 3, LOST)
        record = record_of(message, ended, [])
        written = [False]
        with contextlib.suppress(StoreRefused):
            written = await self._records.write([record])
        log.warning("the end of an activation was forced", activation_id=message.activation_id, invoker=sent.invoker)
        if written[0]:
            self.answers.deliver(message.activation_id, record)
        else:
            self.answers.ended(message.activation_id)  # its own record came in between
        self._over(message.activation_id, Outcome.TIMEOUT)

    def _changed(self, number: int) -> None:
        state = self.balancer.invokers[number].health.state
        log.info("invoker", invoker=number, state=str(state))
        self._instrument("invoker", {"invoker": number, "state": str(state)})


def _need(message: ActivationMessage, action: Executable | None) -> Need:
    limits = Limits() if action is None else action.limits
    return Need(
        activation_id=message.activation_id,
        namespace=message.user.namespace.name,
        fqn=message.action.fqn,
        version=message.action.version or "",
        memory=limits.memory,
        concurrency=limits.concurrency,
        timeout=limits.timeout / 1000,
        blackbox=action is not None and action.user_image,
    )


def _number(stream: str) -> int | None:
    """The number of a node's stream `invoker<N>`; None for none. Raises ValueError."""
    return int(stream.removeprefix("invoker")) if stream else None


def _about(message: ActivationMessage) -> dict[str, str]:
    """Headers for the node's log, as the Go invoker has them."""
    return {
        "Functions-Transaction-Id": quote(str(message.transid[0])),
        "Functions-Activation-Id": message.activation_id,
        "Functions-Namespace": quote(message.user.namespace.name),
        "Functions-Function": quote(message.action.fqn),
    }
