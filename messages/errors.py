"""Errors of the core.

CoreError
 +-- IllegalTransition     a state machine met a message that its table does not know: a bug here
 +-- UnknownEvent          the journal holds an event or a version that this release does not know
 +-- Undecryptable         an argument is encrypted with a key that isn't here
"""

from __future__ import annotations


class CoreError(Exception):
    """Base of the errors that the core itself raises."""


class IllegalTransition(CoreError):
    """A state machine was given a step that its table lacks."""

    def __init__(self, machine: str, who: str, state: str, event: str) -> None:
        super().__init__(f"{machine} {who}: {event!r} is not possible in state {state!r}")


class UnknownEvent(CoreError):
    """The journal was written by a newer release."""

    def __init__(self, kind: str, version: int) -> None:
        super().__init__(f"the journal holds event {kind!r} version {version}, unknown to this release: upgrade rewhisk")


class Undecryptable(CoreError):
    """An argument that no key here opens. The message names it, never its value."""
