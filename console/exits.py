"""How commands end.

0 success · 1 the action's own error · 2 wrong usage · 3 the node can't be reached · 4 refused · 130 interrupted

Failure             a command can't do what it was asked for; `message` and `hint` are for the person who typed it
 +-- WrongUsage     the command line, a file or a name in it is wrong (2)
 +-- Unreachable    no node answers (3)
 +-- Refused        the node or the store said no: credentials, limits, not found (4)
"""

from __future__ import annotations

from typing import ClassVar

ACTION_ERROR = 1
USAGE = 2
UNREACHABLE = 3
REFUSED = 4
INTERRUPTED = 130

EXIT_CODES = "0 ok, 1 the action's own error, 2 wrong usage, 3 node not reachable, 4 refused"


class Failure(Exception):
    """Base; raised as one of the three below."""

    exit_code: ClassVar[int]

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class WrongUsage(Failure):
    """What was typed can't be right."""

    exit_code = USAGE


class Unreachable(Failure):
    """Nobody answers at the node's address."""

    exit_code = UNREACHABLE


class Refused(Failure):
    """The answer is no."""

    exit_code = REFUSED
