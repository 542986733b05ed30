"""What stores index of an activation record: pure, shared by all stores."""

from __future__ import annotations

import msgspec

from messages.wire import ActivationRecord, encode
from store.errors import StoreRefused

decode_record = msgspec.json.Decoder(ActivationRecord).decode

MAX_BODY = 8_000_000
"""Bytes of the largest document: CouchDB's `max_document_size`, so that what one store holds the other can take."""

ENTITY_FACTOR = 10
"""An entity may be so much larger: 48 MB of an action's code (upstream's limit), with escapes. CouchDB has code as attachments."""


def encode_record(record: ActivationRecord, max_body: int = MAX_BODY) -> bytes:
    """The record's JSON. Raises StoreRefused if it is larger than `max_body` or holds text that UTF-8 can't."""
    try:
        body = encode(record)
    except UnicodeEncodeError as error:
        raise StoreRefused(f"record {record.activation_id} is not valid text: {error.reason}") from None
    if len(body) > max_body:
        raise StoreRefused(f"record {record.activation_id} has {len(body)} bytes; at most {max_body} are taken")
    return body


def path_filter(record: ActivationRecord) -> str:
    """The name that a list's `name` is compared with, as upstream's view `whisks-filters` computes it.

    The binding's package if it was called through one, else the action's own package, else the name alone.
    """
    annotations = {pair.key: pair.value for pair in record.annotations}
    binding = annotations.get("binding")
    if isinstance(binding, str) and binding:
        segments = binding.split("/")
        return f"{segments[1]}/{record.name}" if len(segments) > 1 else record.name
    path = annotations.get("path")
    segments = path.split("/") if isinstance(path, str) else []
    return f"{segments[1]}/{record.name}" if len(segments) == 3 else record.name
