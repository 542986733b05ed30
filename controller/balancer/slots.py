"""The memory of one invoker as one controller may use it (openwhisk-controller.md 6.3).

Unlike upstream's, a change of the total keeps what is taken: shares of controllers that come and go never over-commit an
invoker by forgetting what runs there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Shared:
    """Runs of an action that share containers: `free` places in those paid for, `running` activations."""

    free: int = 0
    running: int = 0


class Slots:
    """MB of one invoker. `key` names an action and its version; `concurrency` is its limit of runs per container."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self._shared: dict[str, _Shared] = {}

    def __repr__(self) -> str:
        return f"<Slots {self.used} of {self.total} MB>"

    @property
    def free(self) -> int:
        """MB left; negative after a forced acquisition."""
        return self.total - self.used

    def acquire(self, key: str, memory: int, concurrency: int, *, force: bool = False) -> bool:
        """Take room for one run: a place in a container paid for already, else `memory`. Whether there was any, or `force`."""
        shared = self._shared.get(key) if concurrency > 1 else None
        if shared is not None and shared.free > 0:
            shared.free -= 1
            shared.running += 1
            return True
        if memory > self.free and not force:
            return False
        self.used += memory
        if concurrency > 1:
            shared = self._shared.setdefault(key, _Shared())
            shared.free += concurrency - 1
            shared.running += 1
        return True

    def release(self, key: str, memory: int, concurrency: int) -> None:
        """Give one run's room back. The memory of shared containers goes back when a whole container's places are free."""
        if concurrency <= 1:
            self.used -= memory
            return
        shared = self._shared[key]
        shared.free += 1
        shared.running -= 1
        if shared.free % concurrency == 0:
            shared.free -= concurrency
            self.used -= memory
        if shared.running == 0:
            del self._shared[key]
