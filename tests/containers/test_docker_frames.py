"""The engine's streams taken apart: whatever the chunks, every byte lands in its stream, in order."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.docker_frames import HEADER, LARGEST_PIECE, LONGEST_LINE, Demultiplexer, EventLines, FramingError

FRAMES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=200)), max_size=20)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` cut at these places."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=30))
def test_every_byte_lands_in_its_stream(frames: list[tuple[int, bytes]], places: list[int]) -> None:
    """Per stream the content of all frames, in order, none of the pieces empty; the order between streams is the frames'."""
    data = b"".join(HEADER.pack(number, len(content)) + content for number, content in frames)
    demultiplexer, pieces = Demultiplexer(), []
    for chunk in cut(data, places):
        pieces += demultiplexer.feed(chunk)
    assert all(piece for _, piece in pieces)
    names = {1: "stdout", 2: "stderr"}
    wanted = [(names[number], byte) for number, content in frames for byte in content]
    assert [(stream, byte) for stream, piece in pieces for byte in piece] == wanted
    assert repr(demultiplexer) == "<Demultiplexer between frames>"


@given(st.integers(0, 300_000), st.integers(1, 300_000))
def test_pieces_are_no_larger_than_a_pipe(size: int, chunk: int) -> None:
    """However large a frame and a chunk are."""
    data = HEADER.pack(1, size) + bytes(size)
    demultiplexer = Demultiplexer()
    pieces = [piece for at in range(0, len(data), chunk) for _, piece in demultiplexer.feed(data[at : at + chunk])]
    assert sum(map(len, pieces)) == size
    assert max(map(len, pieces), default=0) <= LARGEST_PIECE


def test_content_is_handed_on_before_its_frame_is_complete() -> None:
    """A frame that takes its time keeps nothing back."""
    demultiplexer = Demultiplexer()
    assert demultiplexer.feed(HEADER.pack(2, 5) + b"ab") == [("stderr", b"ab")]
    assert repr(demultiplexer) == "<Demultiplexer 3 bytes of stderr to come>"
    assert demultiplexer.feed(b"cde") == [("stderr", b"cde")]


@pytest.mark.parametrize("head", [b"\x03\0\0\0\0\0\0\x01", b"\x01\0\0\x01\0\0\0\x01", b"hello, world"])
def test_what_is_no_stream_is_refused(head: bytes) -> None:
    """As a container with a terminal would send: text without frames."""
    with pytest.raises(FramingError):
        Demultiplexer().feed(head)


EVENTS = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=8)


@given(EVENTS, st.lists(st.integers(0, 10_000), max_size=20))
def test_events_come_whole(events: list[dict[str, str]], places: list[int]) -> None:
    """One object a line, whatever the chunks."""
    data = b"".join(json.dumps(event).encode() + b"\r\n" for event in events)
    lines, found = EventLines(), []
    for chunk in cut(data, places):
        found += lines.feed(chunk)
    assert found == events


def test_lines_that_are_no_events_are_passed_over() -> None:
    """So are lines without an end, which must not fill the memory."""
    lines = EventLines()
    assert lines.feed(b'nonsense\n[1]\n\n{"a":1}\n') == [{"a": 1}]
    assert lines.feed(b"x" * (LONGEST_LINE + 1)) == []
    assert lines.feed(b'\n{"a":2}\n') == [{"a": 2}]
