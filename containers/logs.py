"""One container's two output streams cut into the logs of its activations. Does no I/O.

Rules (openwhisk-invoker.md 5.5, logs of a real OpenWhisk and of upstream's runtimes):

* A stream is cut into lines at newlines, however the bytes arrive. A line that contains the sentinel ends the stream for
  the activation and is dropped whole: upstream drops text that was printed before it without a newline, too.
* What comes after a stream's sentinel belongs to the activation that comes next, as upstream. Unlike upstream a sentinel
  that lies there when the next activation begins is dropped: it can't be that activation's, so a forged one doesn't shift
  all later logs.
* Bytes that aren't UTF-8 become U+FFFD, one for each.
* The limit counts bytes as printed plus LINE_FRAMING for each line, as upstream counts its engine's JSON framing: with 1 MB of
  1024-byte lines both keep 958, and endless empty lines can't fill the memory. Sentinel lines and JSON's escapes are not
  counted. The line that crosses the limit is dropped, and all that follows. A limit of 0 keeps nothing and is no truncation.
* Between activations at most BETWEEN_LIMIT bytes are kept. Every byte ends in a line of an activation or in `cut_bytes`; the
  newline that ends a kept line counts as kept with it, those of sentinel lines as framing, in `framing_bytes`.

With concurrent activations in one container nothing tells their lines apart (upstream has no answer either, 4.3): each stream is
cut at the sentinels, and who ends takes the oldest cut. So every line is in one log, an activation mostly has what was printed
shortly before its end, and none waits for a sentinel that another one took.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from msgspec import Struct

SENTINEL = b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
STREAMS = ("stdout", "stderr")
BETWEEN_LIMIT = 1_048_576
LINE_FRAMING = 70
"""What Docker's json-file log adds to a line and its newline: `{"log":"…\\n","stream":"stdout","time":"<30>"}`."""
TIME_WIDTH = 30

ISSUE = "There was an issue while collecting your logs. Data might be missing."
DEVELOPER_ERROR = "The action did not initialize or run as expected. Log data might be missing."


def truncation_text(limit: int) -> str:
    """What stands in place of the lines beyond `limit` bytes."""
    return f"Logs were truncated because the total bytes size exceeds the limit of {limit} bytes."


def log_time(ns: int) -> str:
    """Epoch nanoseconds as logs show them: `2025-01-01T00:00:00.512345678Z`."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest:09d}Z"


@lru_cache(16)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _each_byte(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("rewhisk.each-byte", _each_byte)


def log_line(time: str, stream: str, text: str) -> str:
    """A line as stored: the time padded to 30 characters, the stream, the text."""
    return f"{time if len(time) == TIME_WIDTH else time.ljust(TIME_WIDTH)} {stream}: {text}"


class Collected(Struct, frozen=True):
    """The logs of one activation. `complete`: both sentinels were seen; `truncated`: the limit was hit."""

    lines: list[str]
    complete: bool
    truncated: bool


def notes_for(collected: Collected, *, sentinels: bool, developer_error: bool, limit: int, time: str) -> list[str]:
    """The lines that upstream adds at the end (stderr, at `time`), by how the collection and the activation ended.

    `sentinels`: whether the runtime writes them at all. After a developer error they are not waited for, so their lack is not
    reported beside it. `limit` in bytes; with 0 there are no logs at all, so nothing to note.
    """
    if limit == 0:
        return []
    texts = []
    if collected.truncated:
        texts.append(truncation_text(limit))
    elif sentinels and not collected.complete and not developer_error:
        texts.append(ISSUE)
    if developer_error:
        texts.append(DEVELOPER_ERROR)
    return [log_line(time, "stderr", text) for text in texts]


class _Share:
    """Lines up to one sentinel of each stream, for one activation."""

    __slots__ = ("ended", "incomplete", "limit", "lines", "truncated", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.lines: list[str] = []
        self.ended: set[str] = set()
        self.truncated = False
        self.incomplete = False


class _Stream:
    """The unfinished line of one stream. When it grew beyond what may be kept only enough to find a sentinel is."""

    __slots__ = ("name", "overflow", "partial")

    def __init__(self, name: str) -> None:
        self.name = name
        self.partial = bytearray()
        self.overflow = False

    def take(self) -> tuple[bytes, bool]:
        """The unfinished line, and whether it had been cut; the next one begins."""
        line, overflow = bytes(self.partial), self.overflow
        self.partial.clear()
        self.overflow = False
        return line, overflow


class LogDemux:
    """Feed it what a container prints; `begin` before /init or /run of an activation, `collect` after it."""

    def __init__(self, streams: Sequence[str] = STREAMS) -> None:
        self._streams = {name: _Stream(name) for name in streams}
        self._ids: list[str] = []  # who has begun
        self._shares: list[_Share] = []  # as many; those that are complete come first
        self._between: list[tuple[str, bytes, int, str]] = []
        self._between_size = 0
        self._between_cut = False
        self.cut_bytes = 0
        """Bytes that are in no activation's log: over a limit, beside a sentinel, or between activations beyond the bound."""
        self.framing_bytes = 0
        """Bytes of sentinels and of the newlines that end their lines."""

    def __repr__(self) -> str:
        shares = ", ".join(f"{len(share.lines)} lines, ended {sorted(share.ended)}" for share in self._shares)
        return f"<LogDemux [{', '.join(self._ids)}: {shares}] between {self._between_size} cut {self.cut_bytes}>"

    def begin(self, activation_id: str, limit: int) -> None:
        """An activation starts, with a log limit in bytes; what was printed since the one before is its own."""
        share = _Share(limit)
        share.incomplete = self._between_cut
        between, self._between = self._between, []
        self._between_size, self._between_cut = 0, False
        for stream, line, newline, time in between:
            self._keep(share, stream, line, newline, time)
        self._ids.append(activation_id)
        self._shares.append(share)

    def feed(self, stream: str, data: bytes, time: str) -> None:
        """Bytes of a stream as they came, at `time` (as `log_time` writes it); b"" when the stream has ended."""
        state = self._streams[stream]
        if not data:
            self._flush(state, time)
            return
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and (state.partial or state.overflow):
            self._extend(state, lines.pop(0))
            self._end_line(state, time)
        for line in lines:
            if SENTINEL in line:
                self._sentinel(stream, line)
            else:
                self._line(stream, line, 1, time)
        if rest:
            self._extend(state, rest)

    def is_complete(self, activation_id: str) -> bool:
        """Whether all streams have ended for this activation: nothing more is to be waited for."""
        return activation_id in self._ids and self._is_whole(self._shares[0])

    def lines(self, activation_id: str) -> list[str]:
        """What has come so far for one that has begun; of several at the same time, what its own will probably be."""
        return self._shares[self._ids.index(activation_id)].lines if activation_id in self._ids else []

    def collect(self, activation_id: str, time: str, *, marked: bool = True) -> Collected:
        """End the activation and return its lines; an unfinished line of a stream that had no sentinel is one of them.

        `marked`: its runtime marks the end with sentinels, so that it takes the oldest share; one whose code did not come to its
        end leaves complete shares to those whose code did. An id that was not begun gives nothing, incomplete.
        """
        if activation_id not in self._ids:
            return Collected([], False, False)
        self._ids.remove(activation_id)
        open_shares = (share for share in self._shares if not self._is_whole(share))
        share = self._shares[0] if marked else next(open_shares, self._shares[-1])
        for state in self._streams.values():
            if self._owner(state.name) is share:
                self._flush(state, time)
        self._shares.remove(share)
        return Collected(share.lines, self._is_whole(share) and not share.incomplete, share.truncated)

    def _is_whole(self, share: _Share) -> bool:
        return len(share.ended) == len(self._streams)

    def _owner(self, stream: str) -> _Share | None:
        for share in self._shares:
            if stream not in share.ended:
                return share
        return None

    def _extend(self, state: _Stream, data: bytes) -> None:
        """Add to the unfinished line, keeping memory bounded by what the line's owner may still keep."""
        state.partial += data
        owner = self._owner(state.name)
        room = BETWEEN_LIMIT - self._between_size if owner is None else 0 if owner.truncated else owner.limit - owner.used
        if state.overflow or len(state.partial) + 1 + LINE_FRAMING > room:
            self._overflow(state)

    def _overflow(self, state: _Stream) -> None:
        """Cut all of the line but what may be, or become, a sentinel."""
        state.overflow = True
        at = state.partial.find(SENTINEL)
        if at >= 0:
            self.cut_bytes += len(state.partial) - len(SENTINEL)
            state.partial[:] = SENTINEL
        elif len(state.partial) >= len(SENTINEL):
            cut = len(state.partial) - len(SENTINEL) + 1
            self.cut_bytes += cut
            del state.partial[:cut]

    def _end_line(self, state: _Stream, time: str) -> None:
        line, overflow = state.take()
        if SENTINEL in line:
            self._sentinel(state.name, line)
        elif overflow:
            self._cut(state.name, len(line) + 1)
        else:
            self._line(state.name, line, 1, time)

    def _flush(self, state: _Stream, time: str) -> None:
        """The unfinished line is all there will be of it."""
        line, overflow = state.take()
        if SENTINEL in line:
            self._sentinel(state.name, line, newline=0)
        elif overflow:
            self._cut(state.name, len(line))
        elif line:
            self._line(state.name, line, 0, time)

    def _sentinel(self, stream: str, line: bytes, newline: int = 1) -> None:
        self.cut_bytes += len(line) - len(SENTINEL)
        self.framing_bytes += len(SENTINEL) + newline
        owner = self._owner(stream)
        if owner is not None:
            owner.ended.add(stream)

    def _line(self, stream: str, line: bytes, newline: int, time: str) -> None:
        owner = self._owner(stream)
        if owner is not None:
            self._keep(owner, stream, line, newline, time)
        elif self._between_size + len(line) + newline + LINE_FRAMING > BETWEEN_LIMIT or self._between_cut:
            self._cut(stream, len(line) + newline)
        else:
            self._between.append((stream, line, newline, time))
            self._between_size += len(line) + newline + LINE_FRAMING

    def _cut(self, stream: str, size: int) -> None:
        self.cut_bytes += size
        owner = self._owner(stream)
        if owner is None:
            self._between_cut = True
        else:
            owner.truncated = owner.limit > 0

    def _keep(self, share: _Share, stream: str, line: bytes, newline: int, time: str) -> None:
        size = len(line) + newline
        if share.truncated or share.used + size + LINE_FRAMING > share.limit:
            share.truncated = share.limit > 0
            self.cut_bytes += size
            return
        share.used += size + LINE_FRAMING
        text = line[:-1] if line.endswith(b"\r") else line
        share.lines.append(log_line(time, stream, text.decode("utf-8", "rewhisk.each-byte")))
