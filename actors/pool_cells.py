"""How many stem cells of each shape there are to be: as ordered, or following demand as upstream's `reactive` settings say.

A reactive order starts with its `count`; one that was used is replaced up to `min_count`. Every `prewarm_check` seconds the cold
starts since then are counted, and until the next time there are to be `increment` cells for each `threshold` of them, within
`min_count` and `max_count`. A cell goes `ttl` seconds after it came up, in any case; another one takes its place if there are to be
so many. Source: openwhisk-invoker.md 3.5.
"""

from __future__ import annotations

from collections import Counter

from actors.pool_state import NEVER, PoolSettings, Shape, StemCell


def shape_of(cell: StemCell) -> Shape:
    """The shape of a stem cell's containers."""
    return Shape(cell.kind, cell.image, cell.memory, user_image=False)


class Order:
    """What the settings say of one shape. `target`: how many there are to be now."""

    __slots__ = ("cell", "filled", "target")

    def __init__(self, cell: StemCell) -> None:
        self.cell = cell
        self.target = cell.count
        self.filled = False  # whether all that it starts with have been made

    def first_time_filled(self) -> None:
        """All are there: from now on a reactive one is topped up to its least number only."""
        if not self.filled:
            self.filled = True
            if self.cell.reactive is not None:
                self.target = self.cell.reactive.min_count

    def follow(self, cold_starts: int) -> None:
        """Set the target by the demand since the last time."""
        reactive = self.cell.reactive
        if reactive is not None:
            wanted = cold_starts // reactive.threshold * reactive.increment
            self.target = min(max(reactive.min_count, wanted), reactive.max_count)


class Cells:
    """The orders by shape. Of several for one shape the first counts."""

    def __init__(self, settings: PoolSettings) -> None:
        self.orders: dict[Shape, Order] = {}
        for cell in settings.stem_cells:
            self.orders.setdefault(shape_of(cell), Order(cell))
        self._every = settings.prewarm_check
        self._reactive = any(order.cell.reactive for order in self.orders.values())
        self._cold: Counter[Shape] = Counter()
        self.due = NEVER  # when demand is looked at next

    def target(self, shape: Shape) -> int:
        """How many of the shape there are to be."""
        order = self.orders.get(shape)
        return 0 if order is None else order.target

    def ttl(self, shape: Shape) -> float:
        """Seconds that one of the shape may wait."""
        order = self.orders.get(shape)
        reactive = None if order is None else order.cell.reactive
        return NEVER if reactive is None else reactive.ttl

    def cold_start(self, shape: Shape) -> None:
        """A job of the shape had to wait until a container was made."""
        if self._reactive and shape in self.orders:
            self._cold[shape] += 1

    def follow(self, now: float) -> None:
        """To be called with every plan: looks at the demand when it is time."""
        if not self._reactive:
            return
        first, due = self.due == NEVER, now >= self.due
        if first or due:
            self.due = now + self._every
        if not due:
            return
        for shape, order in self.orders.items():
            order.follow(self._cold[shape])
        self._cold.clear()
