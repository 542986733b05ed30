"""What every handler works with: the dependencies and what is built from them once."""

from __future__ import annotations

from collections.abc import Callable

from controller import limits
from controller.auth import Authenticator
from controller.deps import ApiDeps
from controller.entities import Entities, LimitSet
from controller.limits import Effective
from controller.put_schema import PutReader
from controller.targets import Targets
from controller.throttles import Throttles
from messages.wire import Identity


class Api:
    """The API of one node. `now` gives the time of a change in epoch ms, strictly rising so that lists have an order."""

    def __init__(self, deps: ApiDeps) -> None:
        self.deps = deps
        self.limits = deps.limits
        self.entities = Entities(deps.entities)
        self.authenticator = Authenticator(deps.subjects, deps.monotonic, deps.auth_ttl)
        self.put_reader = PutReader(deps.manifest)
        self.standard_limits: LimitSet = limits.standard(deps.limits)
        self.targets = Targets(self.entities, deps.manifest, deps.cached_bytes, deps.monotonic, deps.entity_ttl)
        self.throttles = Throttles(self.effective, deps.wall_ms, deps.invoker.in_flight, deps.controllers)
        self.now = _rising(deps.wall_ms)

    def effective(self, identity: Identity) -> Effective:
        """The limits of the caller's namespace."""
        return limits.effective(identity, self.limits)


def _rising(wall_ms: Callable[[], int]) -> Callable[[], int]:
    last = 0

    def now() -> int:
        nonlocal last
        last = max(wall_ms(), last + 1)
        return last

    return now
