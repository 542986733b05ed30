"""Numbers that CouchDB would change, kept beside the document's fields. Pure.

CouchDB makes doubles of fractions and refuses those that are too large (1e400); other servers of its protocol do so with
integers too. A field with such a number is stored as close as a double comes, and its exact text in the field `exact`, which
upstream ignores. When it is read the text counts only while the field still says the same, so an edit by others wins.
"""

from __future__ import annotations

import json
import re
import sys
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw

Fields = dict[str, Raw]

FIELD = "exact"
SAFE = 2**53
"""Integers up to this are the same as doubles."""

_SHORT = 15
"""Digits that a double always holds."""

TEXTS = frozenset({"logs", "exec"})
"""Fields that hold no numbers that matter, but much text."""

_SUSPECT = re.compile(rb"\d[eE]|[\d.]{16}")
"""What a number that changes has in it; much else has too."""

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?\d+(\.\d+)?([eE][+-]?\d+)?')


def split(fields: Fields) -> Fields:
    """The fields as they can be stored, with `exact` if one of them needs it."""
    kept = {name: bytes(value).decode() for name, value in fields.items() if name not in TEXTS and _inexact(bytes(value))}
    if not kept:
        return fields
    stored = fields | {name: Raw(_TOKEN.sub(_storable, bytes(fields[name]))) for name in kept}
    stored[FIELD] = Raw(msgspec.json.encode(kept))
    return stored


def join(fields: Fields) -> Fields:
    """The fields with their exact numbers, without `exact`."""
    if FIELD not in fields:
        return fields
    found = {name: value for name, value in fields.items() if name != FIELD}
    try:
        kept = msgspec.json.decode(fields[FIELD], type=dict[str, str])
        return found | {name: Raw(text.encode()) for name, text in kept.items() if name in found and _same(text, found[name])}
    except (msgspec.MsgspecError, ValueError):
        return found


def _inexact(text: bytes) -> bool:
    return _SUSPECT.search(text) is not None and any(_changes(match) for match in _TOKEN.finditer(text) if match[0][0] != ord('"'))


def _changes(match: re.Match[bytes]) -> bool:
    token = match[0]
    if match[2] is None and len(token) <= _SHORT:
        return False
    if match[1] is None and match[2] is None:
        return abs(int(token)) > SAFE
    return Decimal(token.decode()) != Decimal(repr(float(token)))


def _storable(match: re.Match[bytes]) -> bytes:
    token = match[0]
    if token[0] == ord('"') or (match[1] is None and match[2] is None) or not _changes(match):
        return token
    return repr(_double(token.decode())).encode()


def _double(token: str) -> float:
    return max(-sys.float_info.max, min(sys.float_info.max, float(token)))


def _same(text: str, stored: Raw) -> bool:
    return bool(loose(text) == loose(bytes(stored)))


def loose(text: str | bytes) -> Any:
    """What JSON text says to somebody who has doubles only. Raises ValueError."""
    return json.loads(text, parse_float=_double, parse_int=_double)
