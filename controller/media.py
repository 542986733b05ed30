"""Media types: what a Content-Type says, how upstream's HTTP library prints it, and whether an Accept header takes it."""

from __future__ import annotations

import re

from msgspec import Struct

_TOKEN = r"[\w!#$%&'*+.^`|~-]+"
_TYPE = re.compile(rf"\s*({_TOKEN})/({_TOKEN})\s*((?:;.*)?)", re.ASCII | re.DOTALL)
_PARAMETER = re.compile(rf';\s*({_TOKEN})=(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*', re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")

OCTETS = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

_TEXT_TYPES = frozenset(
    f"application/{name}"
    for name in (
        "atom+xml", "base64", "javascript", "rss+xml", "soap+xml", "vnd.google-earth.kml+xml", "x-csh", "x-javascript", "x-latex",
        "x-sh", "x-tcl", "x-tex", "x-texinfo", "x-vrml", "x-www-form-urlencoded", "xhtml+xml", "xml", "xml-dtd",
    )
)  # fmt: skip
"""Types beside `text/*` whose bodies are text (upstream's HTTP library: open charset)."""


class MediaType(Struct, frozen=True):
    """`name` is `main/sub` in lower case; `charset` as given, other parameters as they are printed."""

    name: str
    charset: str = ""
    rest: str = ""

    @property
    def json(self) -> bool:
        """Whether it is JSON or built on it."""
        return self.name == JSON or self.name.endswith("+json")

    @property
    def text(self) -> bool:
        """Whether its bodies are text; a type that is not known is text if a charset is given."""
        known = self.name.startswith("text/") or self.name in _TEXT_TYPES
        return known or (bool(self.charset) and not self.name.startswith(("image/", "audio/", "video/", OCTETS)) and not self.json)

    def shown(self, charset: str = "") -> str:
        """As a header's value; with this charset if its bodies are text."""
        return f"{self.name}{self.rest}; charset={charset}" if charset and self.text else f"{self.name}{self.rest}"


def parse(text: str) -> MediaType | None:
    """The media type, or None if that is none."""
    found = _TYPE.fullmatch(text)
    if found is None or _UNPRINTABLE.search(text) or found[1] == "*":
        return None
    charset, rest, at = "", "", 0
    for one in _PARAMETER.finditer(found[3]):
        if one.start() != at:
            return None
        at = one.end()
        value = one[2] if one[3] is None else one[3]
        if one[1].lower() == "charset":
            charset = value
        else:
            rest += f"; {one[1]}={value}" if one[3] is not None else f'; {one[1]}="{value}"'
    if found[3][at:].strip("; \t"):
        return None
    return MediaType(f"{found[1]}/{found[2]}".lower(), charset, rest)


def accepts(header: str, name: str) -> bool:
    """Whether an Accept header takes the media type `name`: the most specific range that fits decides, `q=0` refuses."""
    best, quality = -1, 0.0
    for part in header.split(","):
        spoken = _range(part)
        if spoken is None:
            continue
        pattern, weight = spoken
        main = pattern.partition("/")[0]
        rank = 2 if pattern == name else 1 if pattern == f"{name.partition('/')[0]}/*" else 0 if main == "*" else -1
        if rank > best:
            best, quality = rank, weight
    return quality > 0


def _range(part: str) -> tuple[str, float] | None:
    name, *parameters = (piece.strip() for piece in part.lower().split(";"))
    weight = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key == "q":
            try:
                weight = float(value)
            except ValueError:
                return None
    return (name, weight) if "/" in name or name == "*" else None
