"""JSON as CouchDB reads and writes it: strict on the way in, doubles rewritten, integers of any size kept."""

from __future__ import annotations

import json
import math
import sys
from typing import Any


class Refusal(Exception):
    """An answer other than success: status, `error`, `reason`; `ref` with what CouchDB logs."""

    def __init__(self, status: int, error: str, reason: str, ref: str | None = None, **headers: str) -> None:
        super().__init__(status, error, reason)
        self.ref = ref
        self.status = status
        self.error = error
        self.reason = reason
        self.headers = headers


DEPTH = 10_000
"""Nesting that is read: CouchDB has no limit."""

CONFLICT = (409, "conflict", "Document update conflict.")


def bad(reason: str, error: str = "bad_request", status: int = 400) -> Refusal:
    return Refusal(status, error, reason)


def read(text: bytes) -> Any:
    """Raises Refusal for what is not JSON in UTF-8."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(DEPTH)
    try:
        found = json.loads(text.decode("utf-8"), parse_constant=_refuse, parse_float=_double, object_pairs_hook=_object)
        json.dumps(found, ensure_ascii=False).encode("utf-8")  # lone surrogates
    except ValueError:
        raise bad("invalid UTF-8 JSON") from None
    finally:
        sys.setrecursionlimit(limit)
    return found


def write(value: Any) -> bytes:
    """Compact JSON, numbers in Erlang's form."""
    return "".join(_parts(value)).encode("utf-8")


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _double(token: str) -> float:
    found = float(token)
    if math.isinf(found):
        raise ValueError(token)
    return found + 0.0  # -0.0 becomes 0.0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of duplicate keys the last one counts, at its own place."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.pop(key, None)
        found[key] = value
    return found


def _parts(value: Any) -> list[str]:
    """Without recursion: a document may be nested deeper than Python's stack."""
    parts: list[str] = []
    todo: list[Any] = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, _Text):
            parts.append(item)
        elif isinstance(item, dict):
            rest: list[Any] = [_Text("{")]
            for i, (key, each) in enumerate(item.items()):
                rest += [_Text("," * bool(i) + json.dumps(key, ensure_ascii=False) + ":"), each]
            todo += reversed([*rest, _Text("}")])
        elif isinstance(item, list):
            rest = [_Text("[")]
            for i, each in enumerate(item):
                rest += [_Text("," * bool(i)), each]
            todo += reversed([*rest, _Text("]")])
        elif isinstance(item, float):
            parts.append(repr(item).replace("e-0", "e-").replace("e+", "e"))
        else:
            parts.append(json.dumps(item, ensure_ascii=False))
    return parts


class _Text(str):
    """Text that stands as it is."""

    __slots__ = ()
