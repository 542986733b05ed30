"""What new work is allowed: whether it may be accepted, and whether it may run before its `started` is durable."""

from __future__ import annotations

from actors.base import Services, StreamServices
from messages.commands import Job

DRAINING = "The node is draining: it accepts no new work."
FULL = "The node has as much unfinished work as it may hold."
STALLED = "The node's store does not answer: nothing can be accepted."
UNSTORABLE = "The invocation can't be stored: {error}"


def refusal(services: StreamServices, size: int, *, owed: bool = False) -> tuple[str, int] | None:
    """The reason and the status, or None. `size`: bytes of the message; `owed`: part of something accepted before."""
    rules = services.rules
    if services.draining and not owed:
        return DRAINING, 503
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
