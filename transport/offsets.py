"""Which offset of a topic may be committed: the one after all messages that are settled without a gap. Pure."""

from __future__ import annotations

from collections import OrderedDict


class Offsets:
    """Messages in the order of their offsets, `begun` when they were read, `settled` when nothing of them can be lost."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, bool] = OrderedDict()
        self._next: int | None = None

    def __repr__(self) -> str:
        return f"<Offsets {len(self._open)} open, next {self._next}>"

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, offset: int) -> None:
        """A message was read."""
        self._open[offset] = False

    def settle(self, offset: int) -> int | None:
        """It is journaled, or known and told. The offset that may be committed now, if that has changed."""
        if offset not in self._open:
            return None
        self._open[offset] = True
        before = self._next
        while self._open and self._open[first := next(iter(self._open))]:
            del self._open[first]
            self._next = first + 1
        return self._next if self._next != before else None
