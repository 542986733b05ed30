"""Ends that no container made: refusals, interruptions, faults of the platform. Pure."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from containers.logs import ISSUE, log_line, log_time
from messages.action import Executable
from messages.events import Finished
from messages.record import fallback
from messages.wire import ActivationMessage

NOT_RUN = "The platform failed while it handled this activation."
INTERRUPTED = "The activation was interrupted by a crash of the node after its code had started, and may not be run again."
GIVEN_UP = "The activation was given up: the node crashed {attempts} times while it ran, the last time with nothing beside it."


def logs_lost(now_ms: int) -> list[str]:
    """The logs of an activation whose own were lost: one line that says so."""
    return [log_line(log_time(now_ms * 1_000_000), "stderr", ISSUE)]


def too_old(age_ms: int, limit_s: float) -> str:
    """The text for work that had waited longer than `--max-age`."""
    return f"The activation was not run: it is {age_ms / 1000:.0f} seconds old, more than the {limit_s:.0f} seconds allowed."


def stale(age_ms: int, limit_s: float) -> str:
    """The text for a blocking invocation that nobody waits for any more."""
    return f"The activation was not run: it reached the node {age_ms / 1000:.0f} seconds late, and its caller waits {limit_s:.0f}."


def too_large(memory: int, pool: int) -> str:
    """The text for an action whose memory limit is more than the node has in all. MB."""
    return f"The action needs {memory} MB of memory, more than the {pool} MB of this node."


def failed(
    message: ActivationMessage, action: Executable | None, status_code: int, error: str, now_ms: int, attempts: int = 1
) -> Finished:
    """The `finished` event of an activation that ended without a run: upstream's fallback record, duration 0."""
    bare = fallback(message.activation_id, now_ms, status_code, error, attempts)
    if action is None:
        return msgspec.structs.replace(bare, version=message.action.version or UNSET)
    return msgspec.structs.replace(bare, version=action.version, kind=action.kind, limits=action.limits)
