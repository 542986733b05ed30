"""GET activations/ID/logs as server-sent events: the lines of an activation as they are printed, and its end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence

import msgspec
from msgspec import UNSET

from controller.context import Api
from controller.stream import event
from messages.record import STATUS_TEXTS
from messages.wire import ActivationRecord

EVERY = 0.1
"""Seconds between two looks at what was printed: a person's patience, and a hundredth of a millisecond for the node."""

ALIVE = 15.0
"""Seconds of silence after which a comment is sent, so that nobody on the way takes the connection for dead."""

RECORD_WAIT = 60.0
"""Seconds for the record to follow an activation that is over: the store may be away."""

_COMMENT = b":\n\n"
_encode = msgspec.json.Encoder().encode


def pending(api: Api, namespace: str, activation_id: str) -> dict[str, object] | None:
    """The state of what has not ended: a composition's, or an invocation's."""
    found = api.deps.compositions.pending(namespace, activation_id)
    return api.deps.invoker.pending(namespace, activation_id) if found is None else found


async def followed(api: Api, namespace: str, activation_id: str, record: ActivationRecord | None) -> AsyncGenerator[bytes, None]:
    """Events `line` (a JSON text each), then one event `end` that says how it ended. Something comes at once, with the head."""
    sent: list[str] = []
    spoke, over = float("-inf"), time.monotonic()
    while record is None and api.deps.invoker.readable() is None:
        now = time.monotonic()
        fresh = api.deps.invoker.lines(namespace, activation_id)[len(sent) :]
        if fresh or now - spoke >= ALIVE:
            sent += fresh
            spoke = now
            yield b"".join(map(_line, fresh)) or _COMMENT
        await asyncio.sleep(EVERY)
        if pending(api, namespace, activation_id) is not None:
            over = now
        elif now - over > RECORD_WAIT:
            return
        else:
            record = await api.deps.activations.get(namespace, activation_id)
    if record is not None:
        rest = b"".join(map(_line, missing(sent, [] if record.logs is UNSET else record.logs)))
        yield rest + event(_encode({"activationId": activation_id, "status": STATUS_TEXTS[record.response.status_code]}), "end")


def missing(sent: Sequence[str], logs: Sequence[str]) -> list[str]:
    """Those lines of the record that were not sent yet, in their order; a line that comes twice is sent twice."""
    if list(logs[: len(sent)]) == list(sent):
        return list(logs[len(sent) :])
    known = Counter(sent)
    found = []
    for line in logs:
        if known[line] > 0:
            known[line] -= 1
        else:
            found.append(line)
    return found


def _line(text: str) -> bytes:
    return event(_encode(text), "line")
