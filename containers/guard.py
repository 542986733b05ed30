"""Keeps an action together where there are no pid namespaces: a small process between template and action.

It is the reaper of everything below it (`man 2 prctl`: PR_SET_CHILD_SUBREAPER), so daemons that detached twice are still
found, and it ends all of them when the action ends, when it is told to (SIGTERM) or when the template dies. Standard
library only: the template loads this file by its path.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

HEARD = {signal.SIGCHLD, signal.SIGTERM}


def descendants(root: int) -> list[int]:
    """Process ids of all children, and theirs, of `root`; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int(entry.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def tell_below(root: int, number: int, itself: bool = False) -> None:
    """Send a signal to every process below `root`, and to `root` if `itself`, until no new one appears."""
    told: set[int] = set()
    while new := {*descendants(root), *([root] if itself else [])} - told:
        for pid in new:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        told |= new


def end_all(action: int) -> None:
    """Kill and reap until no child is left."""
    while True:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(action, signal.SIGKILL)
        tell_below(os.getpid(), signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def watch(action: int) -> int:
    """Stand guard until it is over; the wait status of the action. The signals of HEARD must be blocked already."""
    while True:
        status = _reap(action) if signal.sigwait(HEARD) == signal.SIGCHLD else signal.SIGKILL
        if status is not None:
            end_all(action)
            return status


def _reap(action: int) -> int | None:
    """Reap what has ended; the action's wait status if it was among it."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == action:
                found = ended[1]
    return found
