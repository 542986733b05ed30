"""One journal document as bytes: `{epoch, writer, snapshot, sha, events}`, `events` ASCII text that no store rewords."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec
from msgspec import Struct

from messages.events import Accepted, AnyEvent, ChildAssigned, Finished, decode_events, encode_events
from store.contract import JournalDocument
from store.errors import JournalDamaged, StoreRefused


class Body(Struct, frozen=True):
    """A journal document. `snapshot` is the number of the newest snapshot, its own if it is one, 0 without any."""

    epoch: int
    writer: str
    snapshot: int
    sha: str
    events: str

    def is_from(self, other: Body) -> bool:
        """Whether both were written by one process and say the same."""
        return (self.epoch, self.writer, self.sha) == (other.epoch, other.writer, other.sha)


SPARE_DEPTH = 50
"""Nesting beyond an event's own at which it must still be readable: the decoder's limit counts the caller's frames too."""

encode_body = msgspec.json.Encoder().encode
_check_json = msgspec.json.Decoder(msgspec.Raw).decode
_decode = msgspec.json.Decoder(Body).decode


def encode_event(event: AnyEvent) -> bytes:
    """One event as ASCII JSON text, without the list around it.

    Raises StoreRefused if a raw part of it is not JSON: journaled, it would make its document unreadable.
    """
    text = encode_events([event])[1:-1]
    if not isinstance(event, Accepted | ChildAssigned | Finished):
        return text
    try:
        _check_json(b"[" * SPARE_DEPTH + text + b"]" * SPARE_DEPTH)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StoreRefused(f"an event {event.name!r} is not valid JSON: {error}") from None
    return text


def pack(epoch: int, writer: str, snapshot: int, texts: Sequence[bytes]) -> Body:
    """The document that holds these events (texts of `encode_event`)."""
    events = b"[" + b",".join(texts) + b"]"
    return Body(epoch, writer, snapshot, sha256(events).hexdigest(), events.decode("ascii"))


def unpack(stream: str, document: JournalDocument) -> Body:
    """The document's parts. Raises JournalDamaged if it is not what was written."""
    try:
        body = _decode(document.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalDamaged(f"journal {stream}: document {document.n} is not readable: {error}") from None
    if sha256(body.events.encode("utf-8", "surrogatepass")).hexdigest() != body.sha:
        raise JournalDamaged(f"journal {stream}: the checksum of document {document.n} is wrong")
    return body


def events_of(stream: str, n: int, body: Body) -> list[AnyEvent]:
    """The document's events. Raises UnknownEvent for a newer release's, JournalDamaged for what no release wrote."""
    try:
        return decode_events(body.events)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalDamaged(f"journal {stream}: the events of document {n} are not readable: {error}") from None
