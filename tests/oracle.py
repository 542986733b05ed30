"""The oracle: what must be true of a node's history, however often it was killed. One function for simulated and real nodes.

It takes plain facts (`History`) that a simulation has at hand and that a real crash test reads from the SQLite file, the
process list and its clients. Liveness is checked too: a history is to be judged when all faults are over and the node is at rest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import UNSET

from actors.endings import INTERRUPTED
from messages.errors import IllegalTransition
from messages.events import Accepted, AnyEvent, ChildAssigned, Claimed, Finished, Snapshot, Started, decode_events
from messages.lifecycle import Stage, advance

GIVEN_UP = "The activation was given up"


class Broken(AssertionError):
    """The history is not one that the contract allows; says all that is wrong with it."""


@dataclass
class CodeRun:
    """User code of an activation in a container, from its first call to its end (None: it still runs). Seconds."""

    id: str
    container: str
    process: str
    start: float
    end: float | None = None


@dataclass
class Submitted:
    """What a client asked for. `replay`: of the action. `poison`: its code ends the node. `expect`: status codes that it may
    end with, None for any."""

    id: str
    blocking: bool = False
    replay: str = "rerun"
    poison: bool = False
    expect: set[int] | None = None
    steps: int | None = None
    """How many children it has if it succeeds."""


@dataclass
class Told:
    """What a client was told: `accepted`, `refused`, or `answer` with the record (its stored form, any part of it)."""

    id: str
    what: str
    record: dict[str, Any] | None = None


@dataclass
class History:
    """All facts. `journal`: (document number, event) of every document ever written, in order; `composed` the same of the
    stream of compositions. `handed_over`: ids whose
    `accepted` was ever sent to the store, if that is known. `unanswered`: callers of a process that lived to the end and
    told them nothing."""

    submitted: dict[str, Submitted] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    journal: list[tuple[int, AnyEvent]] = field(default_factory=list)
    composed: list[tuple[int, AnyEvent]] = field(default_factory=list)
    handed_over: set[str] = field(default_factory=set)
    runs: list[CodeRun] = field(default_factory=list)
    live: list[str] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    supervised: int = 0
    """How often actors failed and what ran in their containers was run again."""
    violations: list[str] = field(default_factory=list)
    """What was seen to be wrong while it ran."""


def journal_events(documents: Iterable[tuple[int, bytes]]) -> list[tuple[int, AnyEvent]]:
    """(number, event) of journal documents `{…, "events": text}`, in order of their numbers."""
    return [
        (n, event) for n, body in sorted(documents) for event in decode_events(msgspec.json.decode(body)["events"])
    ]


def check(history: History) -> None:
    """Raises Broken with everything that is wrong."""
    wrong = [*history.violations]
    paths = {**_paths(history.journal), **_paths(history.composed)}
    for rule in (_records, _answers, _refusals, _lives, _runs, _replay, _poison, _attempts, _rest, _statuses, _children, _parts):
        wrong += rule(history, paths)
    if wrong:
        raise Broken("\n  ".join(["the history breaks the contract:", *wrong]))


Paths = dict[str, list[AnyEvent]]


def _paths(journal: Sequence[tuple[int, AnyEvent]]) -> Paths:
    """Each activation's events, with the claims after its acceptance between them."""
    paths: Paths = defaultdict(list)
    for _, event in journal:
        if isinstance(event, Claimed):
            for path in paths.values():
                path.append(event)
        elif not isinstance(event, Snapshot):
            paths[event.id].append(event)
    return paths


def _records(history: History, paths: Paths) -> list[str]:
    """Every accepted id has one record, and every record an acceptance."""
    count = Counter(record["activationId"] for record in history.records)
    wrong = [f"{id} has {n} records" for id, n in count.items() if n > 1]
    accepted = {told.id for told in history.told if told.what in {"accepted", "answer"}}
    wrong += [f"{id} was accepted and has no record" for id in sorted(accepted) if not count[id]]
    durable = {id for id, path in paths.items() if any(isinstance(event, Accepted) for event in path)}
    wrong += [f"{id} is in the journal and has no record" for id in sorted(durable - accepted) if not count[id]]
    wrong += [f"{id} was told to be accepted, which the journal doesn't know" for id in sorted(accepted - durable)]
    return wrong + [f"{id} has a record and was never accepted" for id in sorted(count.keys() - durable)]


def _answers(history: History, paths: Paths) -> list[str]:
    """What a caller was told is what the record says, but for logs."""
    records = {record["activationId"]: record for record in history.records}
    wrong = []
    for told in history.told:
        stored = records.get(told.id)
        if told.record is None or stored is None:
            continue
        said = {key: value for key, value in told.record.items() if key != "logs"}
        differs = {key: (value, stored.get(key)) for key, value in said.items() if stored.get(key) != value}
        if differs:
            wrong.append(f"{told.id} was answered other than recorded: {differs}")
    return wrong


def _refusals(history: History, paths: Paths) -> list[str]:
    """Nobody is told a refusal after the `accepted` went to the store."""
    last = {told.id: told.what for told in history.told}  # after a refusal the same may be tried again
    refused = {id for id, what in last.items() if what == "refused"}
    sent = paths.keys() | history.handed_over
    return [f"{id} was refused, and its accepted sent to the store" for id in sorted(refused & sent)]


def _lives(history: History, paths: Paths) -> list[str]:
    """Each id's events are a legal path that leads to the end."""
    wrong = []
    for id, path in paths.items():
        stage = Stage.UNKNOWN
        names = [event.name for event in path]
        try:
            for event in path:
                if not isinstance(event, Claimed):
                    stage = advance(stage, event.name, id)
        except IllegalTransition:
            wrong.append(f"{id} has an illegal life: {names}")
            continue
        if stage is not Stage.DONE:
            wrong.append(f"{id} is left {stage.value}: {names}")
    return wrong


def _runs(history: History, paths: Paths) -> list[str]:
    """User code of an activation never runs twice at the same time, and never unaccepted."""
    wrong = []
    by_id: dict[str, list[CodeRun]] = defaultdict(list)
    for run in history.runs:
        by_id[run.id].append(run)
    for id, runs in by_id.items():
        if id not in paths:
            wrong.append(f"code of {id} ran, which was never accepted")
        runs.sort(key=lambda run: run.start)
        for before, after in pairwise(runs):
            if before.end is None or before.end > after.start:
                wrong.append(f"code of {id} ran in {before.container} and {after.container} at the same time")
    return wrong


def _replay(history: History, paths: Paths) -> list[str]:
    """`replay: never` starts at most once."""
    starts = Counter(run.id for run in history.runs)
    never = [each.id for each in history.submitted.values() if each.replay == "never"]
    return [f"{id} must not be replayed, and ran {starts[id]} times" for id in never if starts[id] > 1]


def _poison(history: History, paths: Paths) -> list[str]:
    """What kills the node is given up; nothing else is, unless the node died while it ran alone."""
    wrong = []
    for record in history.records:
        id = record["activationId"]
        if _assigned(paths.get(id, [])):
            continue  # a composition ends as its last child did
        text = str(record["response"].get("result"))
        submitted = history.submitted.get(id)
        certain = submitted is not None and submitted.poison and submitted.expect is not None
        if certain and GIVEN_UP not in text and INTERRUPTED not in text:
            wrong.append(f"{id} is poison and ended with {text}")
        elif GIVEN_UP in text and not _died_alone(paths[id]):
            wrong.append(f"{id} was given up without having died alone: {[event.name for event in paths[id]]}")
        elif INTERRUPTED in text and not (history.supervised or _interrupted(paths[id])):
            wrong.append(f"{id} was called interrupted: {paths[id]}")
    return wrong


def _died_alone(path: list[AnyEvent]) -> bool:
    """The last start was alone, the third attempt or later, and an unclean claim came after it."""
    starts = [i for i, event in enumerate(path) if isinstance(event, Started)]
    if not starts:
        return False
    last = path[starts[-1]]
    claims = [event for event in path[starts[-1] :] if isinstance(event, Claimed)]
    return isinstance(last, Started) and last.alone and last.attempt >= 3 and bool(claims) and not claims[0].clean


def _interrupted(path: list[AnyEvent]) -> bool:
    starts = [i for i, event in enumerate(path) if isinstance(event, Started)]
    return bool(starts) and any(isinstance(event, Claimed) for event in path[starts[-1] :])


def _attempts(history: History, paths: Paths) -> list[str]:
    """A rerun is visible: the annotation counts at least the runs of the code, at most the processes that had it."""
    ran = Counter(run.id for run in history.runs)
    wrong = []
    for record in history.records:
        id = record["activationId"]
        said = next((pair["value"] for pair in record["annotations"] if pair["key"] == "attempts"), 1)
        lives = 1 + history.supervised
        for event in paths.get(id, []):
            if isinstance(event, Finished):
                break
            lives += isinstance(event, Claimed)
        if said > lives:
            wrong.append(f"{id} is said to have taken {said} attempts, in {lives} processes")
        if ran[id] > 1 and said < 2:
            wrong.append(f"{id} ran {ran[id]} times, and its record hides it")
    return wrong


def _statuses(history: History, paths: Paths) -> list[str]:
    """It ended as its code says."""
    wrong = []
    for record in history.records:
        submitted = history.submitted.get(record["activationId"])
        code = record["response"]["statusCode"]
        if submitted is None or submitted.expect is None or code in submitted.expect:
            continue
        text = str(record["response"].get("result"))
        if GIVEN_UP not in text and not (INTERRUPTED in text and submitted.replay == "never"):
            wrong.append(f"{submitted.id} ended with {code}, not {submitted.expect}: {text}")
    return wrong


def _rest(history: History, paths: Paths) -> list[str]:
    """At rest nothing is left."""
    wrong = [f"{id} is live at rest" for id in history.live]
    wrong += [f"container {id} is left" for id in history.containers]
    return wrong + [f"the caller of {id} was told nothing" for id in history.unanswered]


def _assigned(path: list[AnyEvent]) -> dict[str, list[ChildAssigned]]:
    """A composition's children in order, each with the times it was assigned."""
    found: dict[str, list[ChildAssigned]] = {}
    for event in path:
        if isinstance(event, ChildAssigned):
            found.setdefault(event.child, []).append(event)
    return found


def _children(history: History, paths: Paths) -> list[str]:
    """A child is assigned by one parent, always with the same bytes to the same node; what names a cause was assigned by it."""
    wrong = []
    parents: dict[str, str] = {}
    for parent, path in paths.items():
        for child, times in _assigned(path).items():
            if parents.setdefault(child, parent) != parent:
                wrong.append(f"{child} is a child of {parent} and of {parents[child]}")
            if len({(each.node, bytes(each.message)) for each in times}) > 1:
                wrong.append(f"{child} was assigned in different ways: {times}")
    for id, path in paths.items():
        first = path[0] if path else None
        if not isinstance(first, Accepted):
            continue
        cause = msgspec.json.decode(first.message).get("cause")
        if cause is not None and parents.get(id) != cause:
            wrong.append(f"{id} says that {cause} caused it, which never assigned it")
    return wrong


def _parts(history: History, paths: Paths) -> list[str]:
    """The record of a composition names its children in order, and each has its record, whose durations add up."""
    records = {record["activationId"]: record for record in history.records}
    wrong = []
    for id, path in paths.items():
        record = records.get(id)
        children = list(_assigned(path))
        accepted = next((event for event in path if isinstance(event, Accepted)), None)
        if record is None or accepted is None or accepted.plan is UNSET:
            continue
        missing = [child for child in children if child not in records]
        if missing:
            wrong.append(f"{id} assigned {missing}, which have no record")
            continue
        submitted = history.submitted.get(id)
        steps = submitted.steps if submitted is not None else None
        if steps not in (None, len(children)) and not record["response"]["statusCode"]:
            wrong.append(f"{id} succeeded with {len(children)} children instead of {steps}")
        if msgspec.json.decode(accepted.plan)["form"] == "trigger":
            named = [json.get("activationId") for json in map(msgspec.json.decode, record["logs"])]
            if sorted(each for each in named if each) != sorted(children):
                wrong.append(f"{id} started {children}, and its record says {record['logs']}")
        elif record["logs"] != children:
            wrong.append(f"{id} called {children}, and its record says {record['logs']}")
        elif not history.supervised and record["duration"] != sum(records[child].get("duration", 0) for child in children):
            wrong.append(f"{id} lasted {record['duration']} ms, which is not what its children lasted")
    return wrong
