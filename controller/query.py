"""Query parameters as upstream converts them: the first of several counts, booleans have words, numbers are 32 bit."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from msgspec import Struct

from controller import errors, names

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_INT_MAX, _LONG_MAX = 2**31 - 1, 2**63 - 1


class Page(Struct, frozen=True):
    """Which part of a list: `limit` rows after `skip`, or only their number."""

    limit: int
    skip: int
    count: bool


def _integer(text: str, most: int) -> int | None:
    if _INTEGER.fullmatch(text) is None:
        return None
    value = int(text)
    return value if -most - 1 <= value <= most else None


class Query:
    """The query string of one request, decoded on first use."""

    __slots__ = ("_raw", "_values")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._values: dict[str, str] | None = None

    def get(self, name: str) -> str | None:
        """The first value given, or None."""
        if not self._raw:
            return None
        if self._values is None:
            self._values = {}
            for pair in self._raw.decode("latin-1").split("&"):
                key, _, value = pair.partition("=")
                self._values.setdefault(unquote_plus(key), unquote_plus(value))
        return self._values.get(name)

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean; an empty value counts as absent. Raises ApiError (400)."""
        text = self.get(name)
        if not text:
            return default
        word = text.lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise errors.bad_query(name, f"'{text}' is not a valid Boolean value")

    def page(self, collection: str, most: int, default: int) -> Page:
        """`limit` (0 means the most), `skip` and `count`. Raises ApiError (400)."""
        skip = self._number("skip", collection, 0)
        if skip < 0:
            raise errors.bad_query("skip", f"The value '{skip}' is not greater than or equal to 0 for {collection}.")
        limit = self._number("limit", collection, default)
        if not 0 <= limit <= most:
            raise errors.bad_query("limit", f"The value '{limit}' is not in the range of 0 to {most} for {collection}.")
        return Page(limit or most, skip, self.flag("count"))

    def _number(self, name: str, collection: str, default: int) -> int:
        text = self.get(name)
        if text is None:
            return default
        value = _integer(text, _INT_MAX)
        if value is None:
            raise errors.bad_query(name, f"The value '{text}' is not an integer for {collection}.")
        return value

    def instant(self, name: str) -> int | None:
        """A time in epoch ms (upstream's text says seconds). Raises ApiError (400)."""
        text = self.get(name)
        if text is None:
            return None
        value = _integer(text, _LONG_MAX)
        if value is None:
            raise errors.bad_query(name, f"Parameter is not a valid value for epoch seconds: {text}")
        return value

    def wait(self, most: int) -> float:
        """`timeout` of a blocking invocation in seconds; given in ms, 1 to `most`. Raises ApiError (400)."""
        text = self.get("timeout")
        if text is None:
            return most / 1000
        value = _integer(text, _LONG_MAX)
        if value is None or not 1 <= value <= most:
            raise errors.bad_query("timeout", f"Timeout must be number of milliseconds up to {most}.")
        return value / 1000

    def activation_name(self) -> str | None:
        """`name` of a list of activations: `action` or `package/action`. Raises ApiError (400)."""
        text = self.get("name")
        if not text:
            return None
        parts = text.rstrip("/").split("/")
        if len(parts) > 2 or not all(names.is_name(part) for part in parts):
            problem = f"Parameter may be a 'simple' name or 'package-name/simple' name: {text}"
            raise errors.bad_query("name", problem)
        return "/".join(parts)
