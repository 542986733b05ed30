"""A chunked body, byte for byte (RFC 9112, section 7.1): what it holds, and where it ends. Does no I/O."""

from __future__ import annotations

import re

LONGEST_LINE = 4096
"""Bytes of a chunk's size with its extensions, and of each line of the trailer."""
MOST_LINES = 64
"""Lines of the trailer."""

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")


class ChunkError(Exception):
    """This is no chunked body; whoever reads it must give the connection up."""


class Chunks:
    """Takes a chunked body apart. Once `ended`, `surplus` says whether bytes came that don't belong to it."""

    __slots__ = ("_left", "_lines", "_rest", "ended", "surplus")

    def __init__(self) -> None:
        self._rest = b""  # of a line that isn't whole yet
        self._left = 0  # bytes that the chunk still has; -1 at the line's end behind one
        self._lines = -1  # of the trailer, once it has begun
        self.ended = False
        self.surplus = False

    def feed(self, data: bytes) -> bytes:
        """The content among these bytes. Raises ChunkError."""
        content = []
        buffer, self._rest = self._rest + data, b""
        while buffer and not self.ended:
            if self._left > 0:
                content.append(buffer[: self._left])
                buffer, self._left = buffer[self._left :], self._left - len(content[-1]) or -1
                continue
            line, found, after = buffer.partition(b"\r\n")
            if len(line) > LONGEST_LINE:
                raise ChunkError("a line is too long")
            if not found:
                self._rest = buffer
                break
            buffer = after
            self._line(line)
        self.surplus = self.ended and bool(buffer)
        return b"".join(content)

    def _line(self, line: bytes) -> None:
        if self._left < 0:
            if line:
                raise ChunkError("a chunk is longer than it said")
            self._left = 0
        elif self._lines >= 0:
            self._lines += 1
            self.ended = not line
            if self._lines > MOST_LINES:
                raise ChunkError("the trailer is too long")
        elif match := _SIZE.fullmatch(line):
            self._left = int(match[1], 16)
            self._lines = -1 if self._left else 0
        else:
            raise ChunkError("a chunk has no size")
