"""Which nodes are dead: their sign of life did not change for long enough while this process read it in vain. Pure.

Only this process's own monotonic clock counts, and only an unbroken row of readings: after a reading that failed, or came late
because this process was itself stopped, everybody's silence begins anew. So no outage of the store and no step of a clock makes
a dead node.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import DecodeError, Struct

from messages.cluster import Heartbeat, decode_heartbeat
from store.contract import StoredDoc

NODE = "node"


class Silent(Struct, frozen=True):
    """A stream whose owner is dead. `since`: monotonic seconds of the last reading that could have found it alive."""

    stream: str
    beat: Heartbeat
    rev: str
    since: float


class Silence:
    """`gap`: seconds between two readings above which this process was not watching."""

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._read_at: float | None = None
        self._seen: dict[str, Silent] = {}

    def __repr__(self) -> str:
        return f"<Silence {len(self._seen)} seen>"

    def failed(self) -> None:
        """A reading failed: nobody can have been heard."""
        self._read_at = None

    def read(self, documents: Sequence[StoredDoc], now: float) -> None:
        """What a reading found, begun at `now`."""
        watching = self._read_at is not None and now - self._read_at <= self._gap
        self._read_at = now
        before, self._seen = self._seen, {}
        for document in documents:
            try:
                beat = decode_heartbeat(document.body)
            except DecodeError:
                continue
            stream = document.id.removeprefix(f"{NODE}:")
            known = before.get(stream)
            same = known is not None and (known.beat.writer, known.beat.counter) == (beat.writer, beat.counter)
            since = known.since if watching and same and known is not None else now
            self._seen[stream] = Silent(stream, beat, document.rev, since)

    def dead(self, after: float) -> list[Silent]:
        """Those that were silent for `after` seconds at the last reading, the longest silent first."""
        if self._read_at is None:
            return []
        now = self._read_at
        return sorted((each for each in self._seen.values() if now - each.since >= after), key=lambda each: each.since)
