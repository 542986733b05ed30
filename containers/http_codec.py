"""The bytes of `/init` and `/run`: HTTP/1.1 requests out, responses in. Does no I/O.

Upstream's rules (openwhisk-invoker.md 5.2): a response counts only with a Content-Length; without, and 204 and 304, it is
"no response", which is `Failure.BROKEN` here, as is anything that isn't HTTP. Unlike upstream chunked ones count. The body is kept
up to a limit, what is longer is read and dropped, so that the connection can be used again.
"""

from __future__ import annotations

import re

from containers.contract import Answer, Failure, Result
from containers.http_chunks import ChunkError, Chunks

MAX_HEAD = 65_536
"""Most bytes of status line and headers: what Node.js and Go allow is 16 KiB and 1 MiB."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [^\r\n]*)?(?:\r\n|\Z)")
_HEADER = re.compile(rb"\r\n(content-length|transfer-encoding|connection)[ \t]*:[ \t]*([^\r\n]*)")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_BODILESS = (204, 304)
_REQUEST = (
    b"HTTP/1.1\r\nHost: action\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
    b"Connection: keep-alive\r\nContent-Length: "
)


def request_head(path: str, length: int) -> bytes:
    """Everything of a POST that precedes its `length` bytes of JSON."""
    return b"POST %b %b%d\r\n\r\n" % (path.encode("ascii"), _REQUEST, length)


class ResponseParser:
    """Reads one response. Feed it until `feed` gives a result; then ask `reusable`. Give `eof` when the connection ends."""

    __slots__ = ("_body", "_chunks", "_head", "_kept", "_length", "_limit", "_missing", "_status", "reusable", "started")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head = b""
        self._status = 0
        self._length = 0
        self._missing = 0
        self._chunks: Chunks | None = None
        self._kept = 0
        self._body: bytes | bytearray = b""
        self.started = False
        """Whether any byte of a response has come."""
        self.reusable = False
        """Whether the connection can carry another request; valid once there is a result."""

    def feed(self, data: bytes) -> Result | None:
        """Take bytes as they came. Returns the result once, None while more is needed."""
        self.started = True
        if self._status:
            return self._take_body(data)
        buffer = self._head + data if self._head else data
        while True:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                self._head = buffer
                return Failure.BROKEN if len(buffer) > MAX_HEAD or not _may_be_http(buffer) else None
            if end > MAX_HEAD:
                return Failure.BROKEN
            status = self._read_head(buffer[:end])
            if not status:
                return Failure.BROKEN
            buffer = buffer[end + 4 :]
            if status >= 200:
                self._status = status
                self._head = b""
                return self._take_body(buffer)

    def eof(self) -> Result:
        """The connection has ended before `feed` gave a result."""
        return Failure.BROKEN

    def _read_head(self, head: bytes) -> int:
        """The status, or 0 if this is not a response that counts."""
        match = _STATUS_LINE.match(head)
        if match is None:
            return 0
        status = int(match[2])
        if status < 200:
            return 0 if status == 101 else status
        length: bytes | None = None
        keep_alive = match[1] == b"1"
        for name, padded in _HEADER.findall(head.lower()):
            value = padded.rstrip()
            if name == b"content-length":
                if length not in (None, value):
                    return 0
                length = value
            elif name == b"transfer-encoding":
                if value != b"chunked" or self._chunks is not None:
                    return 0
                self._chunks = Chunks()
            else:
                keep_alive = b"close" not in value and (keep_alive or b"keep-alive" in value)
        known = length is not None and _LENGTH.fullmatch(length) is not None
        if status in _BODILESS or known == (self._chunks is not None) or (not known and length is not None):
            return 0
        if length is not None:
            self._length = self._missing = int(length)
        self.reusable = keep_alive
        return status

    def _take_body(self, data: bytes) -> Result | None:
        if self._chunks is None:
            return self._take(data)
        try:
            content = self._chunks.feed(data)
        except ChunkError:
            return Failure.BROKEN
        self._length += len(content)
        self._missing = len(content) + (not self._chunks.ended)
        self.reusable = self.reusable and not self._chunks.surplus
        return self._take(content)

    def _take(self, data: bytes) -> Result | None:
        if len(data) > self._missing:
            # Bytes that no request asked for: this answer is whole, but the connection can't be trusted.
            self.reusable = False
            data = data[: self._missing]
        self._missing -= len(data)
        room = self._limit - self._kept
        if room > 0 and data:
            kept = data if len(data) <= room else data[:room]
            if not self._kept:
                self._body = kept  # most bodies come in one piece, which is not copied then
            elif isinstance(self._body, bytearray):
                self._body += kept
            else:
                self._body = bytearray(self._body + kept)
            self._kept += len(kept)
        if self._missing:
            return None
        return Answer(self._status, bytes(self._body), self._length)


def _may_be_http(start: bytes) -> bool:
    """Whether these first bytes can still become an HTTP/1 response: garbage is not waited for."""
    return start.startswith(b"HTTP/1.") if len(start) >= 7 else b"HTTP/1.".startswith(start)
