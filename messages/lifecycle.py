"""The life of an activation as its events tell it: a table, from which the journal's fold, the trace, the tests' oracle
and the docs page are made.

Facts come in order of the journal. `started` may come again after a crash: a rerun is a new attempt. `recorded` and
`acked` come in either order; an activation is live until both are there. A composition has no start: it hands children out.
"""

from __future__ import annotations

from messages.errors import IllegalTransition
from messages.states import State


class Stage(State):
    """How far an activation has come, by its journaled events alone."""

    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    STARTED = "started"
    COMPOSING = "composing"
    FINISHED = "finished"
    RECORDED = "recorded"
    ACKED = "acked"
    DONE = "done"


UNENDED = (Stage.ACCEPTED, Stage.STARTED, Stage.COMPOSING)
"""Stages of an activation whose end nobody has journaled."""

TRANSITIONS: dict[Stage, dict[str, Stage]] = {
    Stage.UNKNOWN: {"accepted": Stage.ACCEPTED},
    Stage.ACCEPTED: {"started": Stage.STARTED, "child_assigned": Stage.COMPOSING, "finished": Stage.FINISHED},
    Stage.STARTED: {"started": Stage.STARTED, "finished": Stage.FINISHED},
    Stage.COMPOSING: {"child_assigned": Stage.COMPOSING, "finished": Stage.FINISHED},
    Stage.FINISHED: {"recorded": Stage.RECORDED, "acked": Stage.ACKED},
    Stage.RECORDED: {"acked": Stage.DONE},
    Stage.ACKED: {"recorded": Stage.DONE},
    Stage.DONE: {},
}


def advance(stage: Stage, event: str, activation_id: str = "?") -> Stage:
    """The stage after `event`. Raises IllegalTransition if the table has no such step."""
    try:
        return TRANSITIONS[stage][event]
    except KeyError:
        raise IllegalTransition("activation", activation_id, stage.value, event) from None
