"""What a journal adds up to: the live activations, kept by the journal's owner and rebuilt by a reader. Pure.

Property: folding all documents gives the same as recalling the documents that the newest snapshot names, then
folding what follows it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, Raw, Struct

from messages.events import (
    Accepted,
    Acked,
    AnyEvent,
    ChildAssigned,
    Claimed,
    Finished,
    LiveEntry,
    Recorded,
    Snapshot,
    Started,
)
from messages.lifecycle import Stage, advance

_OF_THE_STREAM = (Claimed, Snapshot)
"""Events of no activation."""


class LiveActivation(Struct):
    """An activation that is accepted and not yet both recorded and acknowledged.

    `message` stays until the end: the record is made of it and `finished`. `starts` counts the processes that started it
    (one may place it again, whose code had not run); of its last `started` are `attempt`, `container`, `replay` and `alone`.
    `counted` are the attempts that the contract counts: their process died without drain, which the claim after them
    tells; `running`: started, no claim since; `died_alone`: the last one counted had the node for itself. `docs` are the
    numbers of the documents that hold its events. A composition has its `plan`, the ids of its `children` in order of their
    assignment, and the calls of its newest step (`assigned`, by child id).
    """

    id: str
    message: Raw
    accepted_at: int
    topic: str | None = None
    offset: int | None = None
    refusal: str | None = None
    stage: Stage = Stage.ACCEPTED
    starts: int = 0
    counted: int = 0
    running: bool = False
    died_alone: bool = False
    attempt: int = 0
    container: str | None = None
    replay: str = "rerun"
    alone: bool = False
    finished: Finished | None = None
    docs: list[int] = []
    plan: Raw | None = None
    children: list[str] = []
    assigned: dict[str, ChildAssigned] = {}


class Fold:
    """The state after some document. `next_offsets`: per topic the offset after the highest accepted one.

    `base` is the newest snapshot, which is no part of the state.
    """

    def __init__(self) -> None:
        self.live: dict[str, LiveActivation] = {}
        self.next_offsets: dict[str, int] = {}
        self.base: Snapshot | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fold) and (self.live, self.next_offsets) == (other.live, other.next_offsets)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Fold live={len(self.live)} next_offsets={self.next_offsets}>"

    def apply(self, n: int, event: AnyEvent) -> None:
        """Advance by one event of document `n`. Raises IllegalTransition where the lifecycle's table has no such step."""
        if isinstance(event, _OF_THE_STREAM):
            if isinstance(event, Claimed):
                self._claimed(event)
            return
        found = self.live.get(event.id)
        stage = advance(found.stage if found else Stage.UNKNOWN, event.name, event.id)
        if isinstance(event, Accepted):
            self.live[event.id] = self._accept(event)
            self.live[event.id].docs.append(n)
        elif found is not None:
            _step(found, event)
            found.stage = stage
            if found.docs[-1] != n:
                found.docs.append(n)
            if stage is Stage.DONE:
                del self.live[event.id]

    def _accept(self, event: Accepted) -> LiveActivation:
        live = LiveActivation(event.id, event.message, event.at)
        if event.plan is not UNSET:
            live.plan = event.plan
        live.topic = None if event.topic is UNSET else event.topic
        live.refusal = None if event.refusal is UNSET else event.refusal
        if event.topic is not UNSET and event.offset is not UNSET:
            live.offset = event.offset
            self.next_offsets[event.topic] = max(self.next_offsets.get(event.topic, 0), event.offset + 1)
        return live

    def _claimed(self, event: Claimed) -> None:
        for live in self.live.values():
            if live.running and not event.clean:
                live.counted += 1
                live.died_alone = live.alone
            live.running = False

    def snapshot(self, at: int) -> Snapshot:
        """The event from which `recall` and `resume` make this state again. `at` in epoch ms."""
        entries = [
            LiveEntry(live.id, list(live.docs), live.starts, live.counted, live.running, live.died_alone)
            for live in self.live.values()
        ]
        return Snapshot(at, entries, dict(self.next_offsets))

    def recall(self, n: int, events: Iterable[AnyEvent], ids: set[str]) -> None:
        """Apply what document `n`, named by a snapshot, says of the activations `ids`."""
        for event in events:
            if not isinstance(event, Claimed | Snapshot) and event.id in ids:
                self.apply(n, event)

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot whose named documents have all been recalled.

        Raises KeyError with an id that it lists and they did not tell of.
        """
        self.live = {entry.id: self.live[entry.id] for entry in snapshot.live}
        for entry in snapshot.live:
            live = self.live[entry.id]
            live.starts, live.counted = entry.starts, entry.attempts
            live.running, live.died_alone = entry.running, entry.died_alone
        self.next_offsets = dict(snapshot.next_offsets)
        self.base = snapshot


def named(snapshot: Snapshot) -> dict[int, set[str]]:
    """The documents that a snapshot needs: number to the activations whose events there count, ascending."""
    found: dict[int, set[str]] = {}
    for entry in snapshot.live:
        for n in entry.docs:
            found.setdefault(n, set()).add(entry.id)
    return dict(sorted(found.items()))


def _step(live: LiveActivation, event: ChildAssigned | Started | Finished | Recorded | Acked) -> None:
    if isinstance(event, ChildAssigned):
        _assign(live, event)
    elif isinstance(event, Started):
        live.attempt, live.container, live.replay, live.alone = event.attempt, event.container, event.replay, event.alone
        # A start that only the note knew is in the attempt's number.
        live.starts = max(live.starts + (not live.running), event.attempt)
        live.counted = max(live.counted, event.attempt - 1)
        live.running = True
    elif isinstance(event, Finished):
        live.finished = event
        live.running = False


def _assign(live: LiveActivation, event: ChildAssigned) -> None:
    """Earlier steps are over: their arguments, which may be large, are needed no more."""
    if event.child not in live.assigned:
        live.children.append(event.child)
    if live.assigned and next(iter(live.assigned.values())).tally.steps != event.tally.steps:
        live.assigned.clear()
    live.assigned[event.child] = event
