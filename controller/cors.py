"""Cross-origin headers: which answers carry them, and to whom.

Upstream sends `*` with every answer that a route completed and none with those made from rejections. Here nobody gets them
unless the node was started with `--cors`: a page in a browser is no guest of a server on a developer's machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

HeaderList = list[tuple[bytes, bytes]]

_ALLOWED_HEADERS = b"Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent"


class Cors(Enum):
    """The sets of upstream: what may be asked of the API, and of the operator's routes. The value is the allowed methods."""

    NONE = b""
    REST = b"GET, DELETE, POST, PUT, HEAD"
    SYSTEM = b"OPTIONS, GET, POST"


class CorsPolicy:
    """Which origins are answered: None nobody, `*` everybody (exactly upstream's headers), else only those named."""

    def __init__(self, origins: Sequence[str] | None) -> None:
        self._any = origins is not None and "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins or () if origin != "*")
        self._open = {kind: _headers(b"*", kind) for kind in Cors}

    def headers(self, kind: Cors, origin: bytes | None) -> HeaderList:
        """The headers for an answer of this kind to a request from `origin`."""
        if kind is Cors.NONE or not (self._any or self._origins):
            return []
        if self._any:
            return self._open[kind]
        vary = [(b"vary", b"Origin")]
        if origin is None or origin not in self._origins:
            return vary
        return _headers(origin, kind) + vary


def _headers(origin: bytes, kind: Cors) -> HeaderList:
    if kind is Cors.NONE:
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", kind.value),
        (b"access-control-allow-headers", _ALLOWED_HEADERS),
    ]
