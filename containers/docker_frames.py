"""The engine's streams as bytes in, facts out: the multiplexed output of an attached container, the lines of its events.

Frame: one byte stream (0 stdin, 1 stdout, 2 stderr), three zero bytes, length as four bytes, highest first, then the content.
Source: Docker Engine API, "Attach to a container", stream format.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

HEADER = struct.Struct(">B3xI")
STREAMS = {0: "stdout", 1: "stdout", 2: "stderr"}
"""Stream 0 is what a client typed in, which nobody does here."""
LARGEST_PIECE = 65_536
"""Bytes handed on at a time: what a pipe holds, so that no container's output comes in larger pieces than another driver's."""
LONGEST_LINE = 1 << 20
"""Bytes of one event; real ones have about 500."""


class FramingError(Exception):
    """What came is no multiplexed stream; the reader must end it."""


class Demultiplexer:
    """Takes frames apart. Content is handed on as it comes, not frame by frame."""

    __slots__ = ("_head", "_left", "_stream")

    def __init__(self) -> None:
        self._head = b""
        self._stream = ""
        self._left = 0  # bytes of content that the frame still has

    def __repr__(self) -> str:
        return f"<Demultiplexer {self._left} bytes of {self._stream} to come>" if self._left else "<Demultiplexer between frames>"

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Pieces (stream, bytes), none empty nor larger than LARGEST_PIECE, in their order. Raises FramingError."""
        pieces: list[tuple[str, bytes]] = []
        at, end = 0, len(data)
        while at < end:
            if not self._left:
                at = self._read_head(data, at)
                continue
            size = min(self._left, end - at, LARGEST_PIECE)
            pieces.append((self._stream, data[at : at + size]))
            self._left -= size
            at += size
        return pieces

    def _read_head(self, data: bytes, at: int) -> int:
        """Take what the header still needs; where to go on."""
        wanted = HEADER.size - len(self._head)
        self._head += data[at : at + wanted]
        if len(self._head) == HEADER.size:
            number, self._left = HEADER.unpack(self._head)
            if number not in STREAMS or self._head[1:4] != b"\0\0\0":
                raise FramingError(f"the engine's stream has a frame that begins with {self._head.hex()}")
            self._stream = STREAMS[number]
            self._head = b""
        return at + wanted


class EventLines:
    """Takes the engine's events apart: JSON objects, one a line. Lines that are none are passed over."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The events that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            self._rest = b""
        events = []
        for line in lines:
            try:
                events.append(msgspec.json.decode(line, type=dict[str, Any]))
            except msgspec.DecodeError:
                continue
        return events
