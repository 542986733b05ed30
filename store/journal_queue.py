"""What waits to be journaled, and how much of it goes into one document. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from messages.events import AnyEvent


class JournalSettings(Struct, frozen=True):
    """Sizes and times of a journal; seconds but for `keep_ms`. The numbers are the design's judgement.

    `max_events` and `max_bytes` bound a document (a larger event goes alone); `lazy` is how long an event that nobody
    waits for may wait for company; `retry_first` doubles up to `retry_last` while the store gives no certain answer; a
    snapshot is due every `snapshot_every` documents; compaction keeps documents for `keep_ms`; `lease` is how recent a
    confirmed write must be for run-ahead.
    """

    max_events: int = 500
    max_bytes: int = 1_000_000
    lazy: float = 0.02
    retry_first: float = 0.05
    retry_last: float = 1.0
    snapshot_every: int = 1000
    keep_ms: int = 86_400_000
    lease: float = 10.0


class Item(Struct):
    """An event with its text and who waits for it. `replaced`: the storable form of an event that the store refused."""

    event: AnyEvent
    text: bytes
    done: Callable[[], None] | None = None
    lazy: bool = False
    replaced: bool = False


class Queue:
    """First in, first out. `urgent` counts the items that somebody waits for."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._items: deque[Item] = deque()
        self._max_events = max_events
        self._max_bytes = max_bytes
        self.urgent = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        """Queue an item."""
        self._items.append(item)
        self.urgent += not item.lazy

    def put_back(self, items: list[Item]) -> None:
        """These come first again."""
        self._items.extendleft(reversed(items))
        self.urgent += sum(not item.lazy for item in items)

    def take(self) -> list[Item]:
        """What goes into the next document: at least one item, within the limits otherwise. The queue must not be empty."""
        taken = [self._items.popleft()]
        size = len(taken[0].text)
        while self._items and len(taken) < self._max_events and size + len(self._items[0].text) <= self._max_bytes:
            item = self._items.popleft()
            size += len(item.text)
            taken.append(item)
        self.urgent -= sum(not item.lazy for item in taken)
        return taken

    def drop(self, unwanted: Callable[[AnyEvent], bool]) -> None:
        """Forget the items whose events are unwanted."""
        self._items = deque(item for item in self._items if not unwanted(item.event))
        self.urgent = sum(not item.lazy for item in self._items)

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()
        self.urgent = 0
