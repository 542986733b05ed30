"""REWHISK_FAILPOINT=<event>:<before|written|after>[:<n>]: end the process as `kill -9` would, at a chosen journal write, or
before or after a chosen step with a container."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from messages.events import KINDS

POSITIONS = ("before", "written", "after")
CONTAINER_STEPS = ("create", "start", "init", "run", "pause", "resume", "remove", "adopt")
"""What is done to containers; the process can be ended before and after each. `start` is Docker's second half of `create`."""
STEP_POSITIONS = ("before", "after")


class BadFailpoint(ValueError):
    """The setting is not `<event>:<before|written|after>[:<n>]`."""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Failpoint:
    """Counts hits of one event at one position and kills at the n-th; as a callable the journal's failpoint hook.

    `before`: just before the document that holds the event is handed to the store; `written`: the store applied it, its
    answer is not looked at yet; `after`: all who waited for that document were told. Of a step with a container: before the driver
    is asked, and when it is done and nobody knows.
    """

    def __init__(self, event: str, position: str, hit: int, kill: Callable[[], None] = _kill) -> None:
        self.event = event
        self.position = position
        self._left = hit
        self._kill = kill

    def __call__(self, event: str, position: str) -> None:
        """Count a hit; the n-th does not return."""
        if event == self.event and position == self.position:
            self._left -= 1
            if self._left == 0:
                self._kill()


def parse_failpoint(text: str, kill: Callable[[], None] = _kill) -> Failpoint:
    """The failpoint that the setting names. Raises BadFailpoint saying what would be right."""
    parts = text.split(":")
    wanted = f"REWHISK_FAILPOINT={text!r}: want <event>:<before|written|after>[:<n-th time>]"
    if len(parts) not in {2, 3}:
        raise BadFailpoint(wanted)
    if parts[0] not in (*KINDS, *CONTAINER_STEPS):
        raise BadFailpoint(f"{wanted}; the events are {', '.join((*KINDS, *CONTAINER_STEPS))}")
    if parts[1] not in (POSITIONS if parts[0] in KINDS else STEP_POSITIONS):
        raise BadFailpoint(f"{wanted}; {parts[1]!r} is no position")
    hit = parts[2] if len(parts) == 3 else "1"
    if not (hit.isascii() and hit.isdigit() and int(hit) > 0):
        raise BadFailpoint(f"{wanted}; {hit!r} is no positive number")
    return Failpoint(parts[0], parts[1], int(hit), kill)
