"""What a new process makes of the work that an earlier one left: a pure decision per activation, in order of acceptance.

An attempt counts when the code had been started and the process died without drain (the journal's fold counts, from
`started` events and claims). In run-ahead a `started` may not have reached the journal: then the note is the evidence, until
the activation is over. A process that drained had written all it knew: what only the note tells is of one that did not.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from msgspec import UNSET

from actors import endings
from actors.ports import Live
from messages.commands import Ended, Idle, Redo, Resume
from messages.lifecycle import Stage
from messages.wire import ActivationMessage, decode_message


def resume(live: Iterable[Live], noted: Container[str], *, alone_from: int, now_ms: int) -> list[Redo | Resume | Ended]:
    """The commands that bring each live activation to its end. `noted`: ids that the note says were mid-run."""
    return [_one(each, noted, alone_from, now_ms) for each in live]


def within(live: Live, stage: Stage, *, alone_from: int, now_ms: int) -> Resume | Ended:
    """The same for one that this very process had begun, when its router was restarted; `stage`: with all that was appended."""
    message, starts = decode_message(live.message), max(live.starts, int(stage is Stage.STARTED))
    if live.refusal is not None:
        return Ended(message, endings.failed(message, None, 1, live.refusal, now_ms), [])
    if starts and live.replay == "never":
        return _interrupted(message, starts, now_ms)
    return Resume(message, live.counted, starts, alone=live.counted + 1 >= alone_from)


def keepable(idle: Iterable[Idle], noted: Mapping[str, str], live: Mapping[str, Live], memory: int) -> dict[str, Idle]:
    """What of an earlier process's containers may be taken over, by container id: idle, and in none of them an activation that is
    to run again (`noted`: activation -> container). As many as `memory` (MB) holds."""
    mid_run = {container for activation, container in noted.items() if activation in live and live[activation].finished is None}
    kept: dict[str, Idle] = {}
    for each in idle:
        memory -= each.start.memory
        if memory >= 0 and each.container not in mid_run:
            kept[each.container] = each
    return kept


def _interrupted(message: ActivationMessage, starts: int, now_ms: int) -> Ended:
    return Ended(message, endings.failed(message, None, 3, endings.INTERRUPTED, now_ms, starts), [])


def _one(live: Live, noted: Container[str], alone_from: int, now_ms: int) -> Redo | Resume | Ended:
    message = decode_message(live.message)
    if live.finished is not None:
        return Redo(message, live.finished, live.stage is Stage.RECORDED, live.stage is Stage.ACKED)
    if live.refusal is not None:
        return Ended(message, endings.failed(message, None, 1, live.refusal, now_ms), [])
    if live.starts and live.replay == "never":
        return _interrupted(message, live.starts, now_ms)
    if live.died_alone:
        error = endings.GIVEN_UP.format(attempts=live.counted)
        return Ended(message, endings.failed(message, None, 3, error, now_ms, live.starts), [])
    unjournaled = int(live.stage is Stage.ACCEPTED and message.activation_id in noted)
    counted = live.counted + unjournaled
    posted = live.accepted_at if live.topic is not None else UNSET
    return Resume(message, counted, live.starts + unjournaled, counted + 1 >= alone_from, posted)
