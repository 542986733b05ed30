"""A policy of one's own: runs are spread over an action's containers instead of keeping few of them busy.

The built-in pool gives a run to the container that was used last, which leaves the others idle until they are evicted. This one
gives it to the container that has rested longest, and takes turns between namespaces as the built-in one does.
"""

from __future__ import annotations

from actors.pool import Pool
from actors.pool_queues import Action
from actors.pool_state import Container


class Policy(Pool):
    """`policy = "docs/examples/spread.py"` in the configuration file, or REWHISK_POLICY."""

    def _with_room(self, action: Action) -> Container | None:
        """Its least recently used container with room for a run."""
        return next((container for container in action.open.values() if container is not self._draining), None)
