"""The base of every machine's states."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """A state. Hashed by identity: Python's own hash of an enum's member is a method of its own, and an invocation looks tables up
    some twenty-five times."""

    __hash__ = object.__hash__
