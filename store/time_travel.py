"""A stream looked at in the past: the state after any of its documents, and a replay of all of it that is held against what
the owner wrote down at the time. Reads only; the owner may be writing meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from msgspec import UNSET, structs

from messages.errors import IllegalTransition
from messages.events import AnyEvent, Recorded, Snapshot
from messages.record import record_of, without_result
from messages.wire import ActivationRecord, decode_message
from store.contract import ActivationStore, DocumentLog
from store.errors import JournalDamaged, NotFound
from store.fold import Fold, LiveActivation
from store.journal_reader import JournalReader

SHOWN = 5
"""Ids named in one divergence."""


async def state_at(log: DocumentLog, stream: str, n: int) -> tuple[int, Fold]:
    """Epoch and state after document `n`. Raises NotFound if it isn't there, or what it rests on has been compacted away."""
    reader = JournalReader(log, stream)
    body = await reader.body(n)
    if body is None:
        raise NotFound(f"journal {stream} has no document {n}: it was deleted for its age, or is still to be written")
    try:
        return body.epoch, await reader.folded(body.snapshot, n)
    except JournalDamaged as error:
        first = await reader.first_whole()
        if first <= n:
            raise
        raise NotFound(f"journal {stream}: documents before {first} are deleted for their age ({error})") from None


@dataclass
class Checked:
    """What a replay of documents `first` to `last` found. `gone`: records deleted since, for their age."""

    first: int = 0
    last: int = 0
    snapshots: int = 0
    records: int = 0
    gone: int = 0
    divergences: list[str] = field(default_factory=list)


async def check(log: DocumentLog, stream: str, records: ActivationStore) -> Checked:
    """Replay the stream from its oldest whole part on.

    Compared are each snapshot with the replayed state there, and each stored record with the one that follows from its events.
    Raises JournalDamaged, UnknownEvent.
    """
    replay = _Replay(JournalReader(log, stream), records)
    reader = replay.reader
    newest = await reader.last()
    replay.found.first = await reader.first_whole()
    replay.found.last = newest[0] if newest else 0
    async for n, _, event in reader.events(replay.found.first, replay.found.last):
        await replay.take(n, event)
    return replay.found


class _Replay:
    def __init__(self, reader: JournalReader, records: ActivationStore) -> None:
        self.reader = reader
        self.found = Checked()
        self._records = records
        self._fold: Fold | None = None

    async def take(self, n: int, event: AnyEvent) -> None:
        if isinstance(event, Snapshot):
            self._compare(n, event)
            if self._fold is None:
                self._fold = await self.reader.folded(n, n)
            return
        if self._fold is None:
            self._fold = Fold()
        if isinstance(event, Recorded):
            await self._look_up(self._fold.live.get(event.id))
        try:
            self._fold.apply(n, event)
        except IllegalTransition as error:
            self.found.divergences.append(f"document {n}: {error}")

    def _compare(self, n: int, event: Snapshot) -> None:
        if self._fold is None:
            return
        self.found.snapshots += 1
        replayed = self._fold.snapshot(event.at)
        ours, theirs = ({entry.id: entry for entry in each.live} for each in (replayed, event))
        odd = sorted(id for id in ours.keys() | theirs.keys() if ours.get(id) != theirs.get(id))
        if odd:
            more = f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
            self.found.divergences.append(f"snapshot {n} differs from the replay in {', '.join(odd[:SHOWN])}{more}")
        if replayed.next_offsets != event.next_offsets:
            self.found.divergences.append(f"snapshot {n}: offsets {event.next_offsets}, replayed {replayed.next_offsets}")

    async def _look_up(self, live: LiveActivation | None) -> None:
        if live is None or live.finished is None:
            return
        try:
            message = decode_message(live.message)
        except msgspec.DecodeError as error:
            self.found.divergences.append(f"the message of {live.id} is not readable: {error}")
            return
        stored = await self._records.get(message.user.namespace.name, live.id)
        if stored is None:
            self.found.gone += 1
            return
        self.found.records += 1
        derived = record_of(message, live.finished, [])
        if _bare(stored) not in (_bare(derived), _bare(without_result(derived))):
            self.found.divergences.append(f"the record of {live.id} is not what follows from its events")


def _bare(record: ActivationRecord) -> object:
    """Its JSON, without logs, which no event has."""
    return msgspec.json.decode(msgspec.json.encode(structs.replace(record, logs=UNSET)))
