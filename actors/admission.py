"""What new work is allowed: whether it may be accepted, and whether it may run before its `started` is durable."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from actors import endings
from actors.base import Services, StreamServices
from messages.action import Executable
from messages.bounds import beyond_namespace
from messages.cluster import TEST_TRANSID
from messages.commands import Invoke, Job
from messages.events import Accepted
from messages.wire import ActivationMessage, encode

DRAINING = "The node is draining: it accepts no new work."
FULL = "The node has as much unfinished work as it may hold."
STALLED = "The node's store does not answer: nothing can be accepted."
UNSTORABLE = "The invocation can't be stored: {error}"


COMPONENT_WAIT = 60.0
"""Seconds that a controller waits for a component of a sequence beyond its action's time limit; upstream's minute."""


def accepted(message: Invoke, now_ms: int) -> Accepted:
    """The event that makes it this node's: without the caller's key, and without arguments if it won't be run."""
    without_key = msgspec.structs.replace(message.message, user=msgspec.structs.replace(message.message.user, authkey={}))
    if message.refusal is UNSET:
        body = Raw(encode(without_key))
        return Accepted(message.message.activation_id, body, now_ms, message.topic, message.offset)
    body = Raw(encode(msgspec.structs.replace(without_key, content=UNSET)))
    return Accepted(message.message.activation_id, body, now_ms, message.topic, message.offset, refusal=message.refusal, v=2)


def is_probe(message: ActivationMessage) -> bool:
    """Whether a controller asks with it whether the node works: its transaction began when the controller did."""
    return bool(message.transid) and message.transid[0] == TEST_TRANSID


def unfit(services: Services, message: ActivationMessage, action: Executable, posted: int | UnsetType) -> tuple[int, str] | None:
    """Status code and text for work that has not started and will not: beyond its namespace's limits, or too late. None if fit."""
    beyond = beyond_namespace(action.limits, message.user.limits)
    return too_late(services, message, action, posted) if beyond is None else (1, beyond)


def too_late(services: Services, message: ActivationMessage, action: Executable, posted: int | UnsetType) -> tuple[int, str] | None:
    """Status code and text for work that has not started and is too old to be useful, or None.

    `posted`: epoch ms when its broker got it; a transaction may be much older than its message. Being late is nobody's
    system error: as upstream's refusals it counts as an application's, or a backlog would make a healthy node look ill.
    """
    now, limit = services.clock.wall_ms(), services.rules.max_age
    if is_probe(message) or not services.steady():
        return None
    if limit is not None and now - message.start > limit * 1000:
        return 3, endings.too_old(now - message.start, limit)
    if posted is UNSET or not message.blocking:
        return None
    wait = services.rules.blocking_wait
    if message.cause is not UNSET:
        wait = max(wait, action.limits.timeout / 1000 + COMPONENT_WAIT)
    return (1, endings.stale(now - posted, wait)) if now - posted > (wait + services.rules.stale_grace) * 1000 else None


def refusal(services: StreamServices, size: int, *, owed: bool = False, delivered: bool = False) -> tuple[str, int] | None:
    """The reason and the status, or None. `size`: bytes of the message; `owed`: part of something accepted before.

    `delivered`: by a broker, where nothing can be refused; whoever reads there takes no more than there is room for.
    """
    rules = services.rules
    if services.draining and not owed:
        return DRAINING, 503
    if delivered:
        return None
    if len(services.journal.live) >= rules.live_bound:
        return FULL, 503
    if size > rules.largest:
        return f"The invocation is larger than allowed: {size} > {rules.largest} bytes.", 413
    if services.journal.stalled() > rules.stall:
        return STALLED, 503
    reason = services.unfit()
    return None if reason is None else (reason, 503)


def may_run_ahead(services: Services, job: Job) -> bool:
    """Run-ahead: first attempt, `replay: rerun`, the store prompt, and no unclean start a minute ago."""
    return (
        job.starts == 0
        and not job.alone
        and job.action.replay == "rerun"
        and services.clock.monotonic() >= services.run_ahead_from
        and services.journal.prompt()
    )
