"""What is journaled: facts in the past tense, each with a version; only what can't be derived.

An event is encoded as `{"e": name, "v": version, …}`. The journal holds lists of them as ASCII text, so that no store can
reword or refuse them (`encode_events`). `at` is wall-clock epoch ms and never decides anything: order is the journal's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from messages.composition import Tally, Whole
from messages.errors import UnknownEvent
from messages.wire import Limits


class Event(Struct, frozen=True, tag_field="e"):
    """Base of all events."""

    VERSION: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """The event's name as journaled, for instance `accepted`."""
        return str(self.__struct_config__.tag)


class Accepted(Event, frozen=True, tag="accepted"):
    """An activation is this node's to finish. `message` is the ActivationMessage's bytes without the caller's key.

    `topic`: it came from a controller, to whom its end is acknowledged; with `offset` from the broker, else by HTTP.
    `refusal`: it can't be run, or may not; it ends with this text. Then `message` has no arguments, and `v` is 2: an older
    release would run it. A composition has a `plan` (`messages.composition`) beside it.
    """

    VERSION: ClassVar[int] = 2

    id: str
    message: Raw
    at: int
    topic: str | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    plan: Raw | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    v: int = 1


class ChildAssigned(Event, frozen=True, tag="child_assigned"):
    """A composition is about to hand the activation `child` to `node`, and to no other; again with the same bytes if need be.

    `message` is the child's ActivationMessage without a key, `plan` its plan if it is a composition itself; `call` numbers the
    call within its step, `tally` is how far the composition has come with it.
    """

    id: str
    child: str
    node: str
    message: Raw
    tally: Tally
    at: int
    call: int = 0
    plan: Raw | UnsetType = UNSET
    v: int = 1


class Started(Event, frozen=True, tag="started"):
    """User code is about to be run: attempt 1, 2, …; `alone`: nothing else runs on the node meanwhile.

    `made`: the first run in its container tells what making that took, by stage. `start`: prewarmed or cold, if it wasn't
    warm; `why` it waited, if it did.
    """

    id: str
    attempt: int
    container: str
    at: int
    replay: str = "rerun"
    alone: bool = False
    made: dict[str, int] | UnsetType = UNSET
    start: str | UnsetType = UNSET
    why: str | UnsetType = UNSET
    v: int = 1


class Finished(Event, frozen=True, tag="finished"):
    """How it ended: with the message, all that its record needs except logs. Times in epoch ms, durations in ms."""

    id: str
    at: int
    status_code: int
    start: int
    end: int
    result: Raw | UnsetType = UNSET
    size: int | UnsetType = UNSET
    version: str | UnsetType = UNSET
    kind: str = "unknown"
    limits: Limits | UnsetType = UNSET
    timeout: bool | UnsetType = UNSET
    wait_time: int | UnsetType = UNSET
    init_time: int | UnsetType = UNSET
    attempts: int = 1
    whole: Whole | UnsetType = UNSET
    shared_logs: bool = False
    """Whether another activation's code ran beside it in its container: then nothing tells their output apart."""
    v: int = 1


class Recorded(Event, frozen=True, tag="recorded"):
    """The activation's record is in the store."""

    id: str
    at: int
    v: int = 1


class Acked(Event, frozen=True, tag="acked"):
    """Who waited for the activation has been answered, or is known to be gone."""

    id: str
    at: int
    v: int = 1


class Claimed(Event, frozen=True, tag="claim"):
    """A process took the stream: from here on older owners are fenced. Stands alone in its document."""

    at: int
    clean: bool = False
    """Whether the process before this one drained: then what had started there does not count as an attempt."""
    address: str | UnsetType = UNSET
    v: int = 1


class LiveEntry(Struct, frozen=True, omit_defaults=True):
    """One live activation in a snapshot: numbers of the documents that hold its events, and what claims made of it.

    `starts`: processes that started it; `attempts` that count so far; `running`: code had started and no claim followed, so
    that the next unclean one counts it; `died_alone`: the last attempt that counts ran with nothing beside it.
    """

    id: str
    docs: list[int]
    starts: int = 0
    attempts: int = 0
    running: bool = False
    died_alone: bool = False


class Snapshot(Event, frozen=True, tag="snapshot"):
    """All that is live at this document: reading starts here. Stands alone in its document."""

    at: int
    live: list[LiveEntry]
    next_offsets: dict[str, int] = {}
    v: int = 1


ActivationEvent = Accepted | ChildAssigned | Started | Finished | Recorded | Acked
AnyEvent = Accepted | ChildAssigned | Started | Finished | Recorded | Acked | Claimed | Snapshot

KINDS: dict[str, type[AnyEvent]] = {
    "accepted": Accepted, "child_assigned": ChildAssigned, "started": Started, "finished": Finished, "recorded": Recorded,
    "acked": Acked, "claim": Claimed, "snapshot": Snapshot,
}  # fmt: skip

_decode = msgspec.json.Decoder(list[AnyEvent]).decode
_encode = msgspec.json.Encoder().encode
_NON_ASCII = re.compile(r"[^\x00-\x7f]")


class _Head(Struct, frozen=True):
    """The part of an event that every version has."""

    e: str
    v: int = 1


_heads = msgspec.json.Decoder(list[_Head]).decode


def _escape(match: re.Match[str]) -> str:
    point = ord(match[0])
    if point < 0x10000:
        return f"\\u{point:04x}"
    point -= 0x10000
    return f"\\u{0xD800 + (point >> 10):04x}\\u{0xDC00 + (point & 0x3FF):04x}"


def to_ascii(text: bytes) -> bytes:
    """JSON text with everything outside ASCII escaped; outside of strings JSON has nothing that isn't ASCII.

    Bytes that are not UTF-8 become U+FFFD.
    """
    if text.isascii():
        return text
    return _NON_ASCII.sub(_escape, text.decode("utf-8", "replace")).encode("ascii")


def encode_events(events: Sequence[AnyEvent]) -> bytes:
    """Events as the ASCII text that the journal stores."""
    return to_ascii(_encode(events))


def decode_events(text: bytes | str) -> list[AnyEvent]:
    """The events of one journal document.

    Raises UnknownEvent for a name or version of a newer release, msgspec.DecodeError for text that is damaged.
    """
    for head in _heads(text):
        kind = KINDS.get(head.e)
        if kind is None or head.v > kind.VERSION:
            raise UnknownEvent(head.e, head.v)
    return _decode(text)
