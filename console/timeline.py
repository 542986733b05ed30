"""An activation's events as a timeline, and journal events as documents without what must stay secret. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from messages.events import Accepted, AnyEvent, ChildAssigned, Claimed, Finished, Started
from messages.lifecycle import Stage, advance

Entry = tuple[int, int, AnyEvent]
"""Document number, epoch, event: what a journal reader yields."""

STAGES = ("queue", "network", "create", "start", "ready")
STATUS = ("success", "application error", "developer error", "internal error")


class Step(Struct, frozen=True):
    """One line of a timeline. `at` epoch ms; `after` ms since the line before; `attempt` 0 and `container` "" if none."""

    state: str
    at: int
    after: int | None
    container: str = ""
    attempt: int = 0
    note: str = ""
    document: int = 0
    epoch: int = 0


class Timeline(Struct, frozen=True):
    """All steps and the stage they lead to; a composition's `children`, in order."""

    steps: list[Step]
    stage: Stage
    children: list[str] = []

    @property
    def finished(self) -> bool:
        """Whether record and answer are both done."""
        return self.stage is Stage.DONE


def timeline(activation_id: str, entries: Iterable[Entry]) -> Timeline:
    """The life of an activation. Raises IllegalTransition if its events are no legal path."""
    steps: list[Step] = []
    stage = Stage.UNKNOWN
    previous: int | None = None
    children: dict[str, None] = {}
    for number, epoch, event in entries:
        if isinstance(event, ChildAssigned):
            children[event.child] = None
        container, attempt = (event.container, event.attempt) if isinstance(event, Started) else ("", 0)
        if not isinstance(event, Claimed):
            stage = advance(stage, event.name, activation_id)
        state = "restart" if isinstance(event, Claimed) else event.name
        after = None if previous is None else event.at - previous
        steps.append(Step(state, event.at, after, container, attempt, note_of(event), number, epoch))
        previous = event.at
    return Timeline(steps, stage, list(children))


def note_of(event: AnyEvent) -> str:
    """What is worth saying about an event, without arguments or results."""
    if isinstance(event, Accepted):
        message: dict[str, Any] = msgspec.json.decode(event.message)
        action = message.get("action") or {}
        how = "blocking" if message.get("blocking") else "not blocking"
        form = "" if event.plan is UNSET else f", {msgspec.json.decode(event.plan)['form']}"
        part = f", part of {message['cause']}" if message.get("cause") else ""
        return f"/{action.get('path', '?')}/{action.get('name', '?')}, {how}{form}{part}"
    if isinstance(event, ChildAssigned):
        action = msgspec.json.decode(event.message)["action"]
        return f"{event.child}: /{action['path']}/{action['name']} at {event.node}"
    if isinstance(event, Started):
        alone = ", alone on the node" if event.alone else ""
        made = "" if event.made is UNSET else f", container made in {sum(event.made.values())} ms{_stages(event.made)}"
        start = "" if event.start is UNSET else f", {event.start} start"
        why = "" if event.why is UNSET else f", waited: {event.why}"
        return ((f", replay {event.replay}" if event.replay != "rerun" else "") + alone + start + made + why).removeprefix(", ")
    if isinstance(event, Finished):
        code = event.status_code
        parts = [STATUS[code] if 0 <= code < len(STATUS) else f"status {code}", f"ran {event.end - event.start} ms"]
        times = (("init", event.init_time), ("waited", event.wait_time))
        parts += [f"{name} {value} ms" for name, value in times if value is not UNSET]
        return ", ".join(parts)
    if isinstance(event, Claimed):
        return "another process took over the journal: what was unfinished is resumed"
    return ""


def _stages(made: dict[str, int]) -> str:
    """In the order in which they pass; without those that took no time."""
    ordered = sorted(made, key=lambda name: STAGES.index(name) if name in STAGES else len(STAGES))
    shown = ", ".join(f"{name} {made[name]}" for name in ordered if made[name])
    return f" ({shown})" if shown else ""


def document_of(entry: Entry, *, show_args: bool) -> dict[str, Any]:
    """An event as JSON-able document with its number and epoch; arguments and results only if asked for."""
    number, epoch, event = entry
    found: dict[str, Any] = {"n": number, "epoch": epoch, **msgspec.json.decode(msgspec.json.encode(event))}
    if show_args:
        return found
    message = found.get("message")
    if isinstance(message, dict) and "content" in message:
        message["content"] = hidden(message["content"])
    for holder, key in ((found, "result"), (found.get("plan"), "payload"), (found.get("tally"), "state")):
        if isinstance(holder, dict) and key in holder:
            holder[key] = hidden(holder[key])
    return found


def hidden(value: object) -> str:
    """Stands for a value that isn't shown."""
    return f"[{len(msgspec.json.encode(value))} bytes, --show-args shows them]"


def matches(entry: Entry, activation: str | None, names: Sequence[str], since: int | None) -> bool:
    """Whether an event passes the filters."""
    event = entry[2]
    return (
        (activation is None or getattr(event, "id", None) == activation)
        and (not names or event.name in names)
        and (since is None or event.at >= since)
    )
