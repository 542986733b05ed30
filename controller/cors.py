"""Cross-origin headers: which answers carry them, and to whom.

Upstream sends `*` with every answer that a route completed and none with those made from rejections. Here nobody gets them
unless the node was started with `--cors`: a page in a browser is no guest of a server on a developer's machine. Web actions
are: whoever exports one publishes it to pages too, so that they answer everybody until `--cors` names the origins.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

HeaderList = list[tuple[bytes, bytes]]

_ALLOWED_HEADERS = b"Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent"


class Cors(Enum):
    """The sets of upstream: what may be asked of the API, the operator's routes, web actions. The value is the allowed methods."""

    NONE = b""
    REST = b"GET, DELETE, POST, PUT, HEAD"
    SYSTEM = b"OPTIONS, GET, POST"
    WEB = b"OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH"


class CorsPolicy:
    """Which origins are answered: None nobody, `*` everybody (exactly upstream's headers), else only those named."""

    def __init__(self, origins: Sequence[str] | None) -> None:
        self._given = origins is not None
        self._any = origins is not None and "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins or () if origin != "*")
        self._open = {kind: _headers(b"*", kind) for kind in Cors}

    def headers(self, kind: Cors, origin: bytes | None, asked: bytes | None = None) -> HeaderList:
        """The headers for an answer of this kind to a request from `origin`.

        `asked` is Access-Control-Request-Headers: a web action takes whatever headers its callers want to send.
        """
        if kind is Cors.NONE or not (self._given or kind is Cors.WEB):
            return []
        wanted = asked if kind is Cors.WEB else None
        if self._any or not self._given:
            return _headers(b"*", kind, wanted) if wanted else self._open[kind]
        vary = [(b"vary", b"Origin")]
        if origin is None or origin not in self._origins:
            return vary
        return _headers(origin, kind, wanted) + vary


def _headers(origin: bytes, kind: Cors, asked: bytes | None = None) -> HeaderList:
    if kind is Cors.NONE:
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", kind.value),
        (b"access-control-allow-headers", asked or _ALLOWED_HEADERS),
    ]
