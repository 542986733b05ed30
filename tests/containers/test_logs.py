"""Every byte of a container's output lands in the right activation or is counted as cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from containers.logs import (
    BETWEEN_LIMIT,
    DEVELOPER_ERROR,
    ISSUE,
    LINE_FRAMING,
    SENTINEL,
    Collected,
    LogDemux,
    log_line,
    log_time,
    notes_for,
)

T = "2025-01-01T00:00:00.512345678Z"
END = SENTINEL + b"\n"
MB = 1_048_576


def out(text: str) -> str:
    return f"{T} stdout: {text}"


def err(text: str) -> str:
    return f"{T} stderr: {text}"


def one_run(stdout: bytes, stderr: bytes = b"", limit: int = 10 * MB) -> tuple[Collected, LogDemux]:
    demux = LogDemux()
    demux.begin("a", limit)
    demux.feed("stdout", stdout + END, T)
    demux.feed("stderr", stderr + END, T)
    assert demux.is_complete("a")
    return demux.collect("a", T), demux


def test_a_line_is_time_stream_and_text() -> None:
    assert log_time(1735689600_512345678) == T
    assert log_time(1735689600_000000001) == "2025-01-01T00:00:00.000000001Z"
    assert log_line("2025-01-01T00:00:00.5Z", "stderr", "x") == "2025-01-01T00:00:00.5Z         stderr: x"


def test_the_recorded_run_gives_the_recorded_lines() -> None:
    """Group logs of the recording: text without a newline shares the sentinel's line and is dropped with it."""
    collected, demux = one_run(b"one\nthree\nfour\n\nno newline", b"two\n")
    assert collected == Collected([out("one"), out("three"), out("four"), out(""), err("two")], True, False)
    assert demux.cut_bytes == len("no newline")


def test_lines_of_both_streams_stand_in_order_of_arrival() -> None:
    demux = LogDemux()
    demux.begin("a", MB)
    demux.feed("stdout", b"1\n2", T)
    demux.feed("stderr", b"3\n", T)
    demux.feed("stdout", b"\n", T)
    assert demux.collect("a", T).lines == [out("1"), err("3"), out("2")]


def test_bytes_that_are_not_utf8_are_replaced_one_by_one() -> None:
    """The recorded case out-bytes, and a character cut in its middle."""
    assert one_run(b"f\xff\xfe\x00\xc3\n\xe2\x82\n")[0].lines == [out("f\ufffd\ufffd\x00\ufffd"), out("\ufffd\ufffd")]


def test_windows_line_ends_are_line_ends_and_other_control_characters_text() -> None:
    assert one_run(b"a\r\nb\rc\x1b[31m\x07\n")[0].lines == [out("a"), out("b\rc\x1b[31m\x07")]


def test_a_line_of_a_megabyte_is_one_line() -> None:
    collected, _ = one_run(b"x" * MB + b"\n")
    assert collected == Collected([out("x" * MB)], True, False)


def test_the_limit_cuts_where_upstream_does() -> None:
    """1100 lines of 1024 bytes against 1 MB: 958 lines in the recording (and its note)."""
    collected, demux = one_run((b"x" * 1023 + b"\n") * 1100, limit=MB)
    assert len(collected.lines) == 958
    assert (collected.truncated, collected.complete) == (True, True)
    assert demux.cut_bytes == (1100 - 958) * 1024


def test_after_the_line_that_crosses_the_limit_nothing_is_kept() -> None:
    room = 2 * (LINE_FRAMING + 2)
    collected, demux = one_run(b"a\n" + b"x" * 500 + b"\nb\n", b"c\n", limit=room)
    assert collected == Collected([out("a")], True, True)
    assert demux.cut_bytes == 501 + 2 + 2


def test_limit_zero_keeps_nothing_and_says_nothing() -> None:
    collected, demux = one_run(b"a\n" + b"x" * 99, limit=0)
    assert collected == Collected([], True, False)
    assert notes_for(collected, sentinels=True, developer_error=True, limit=0, time=T) == []
    assert demux.cut_bytes == 101


def test_an_endless_line_takes_no_memory_and_its_sentinel_is_found() -> None:
    demux = LogDemux()
    demux.begin("a", 1000)
    for _ in range(200):
        demux.feed("stdout", b"x" * 65_536, T)
        assert len(demux._streams["stdout"].partial) <= 65_536
    demux.feed("stdout", SENTINEL[:20], T)
    demux.feed("stdout", SENTINEL[20:] + b"\n", T)
    demux.feed("stderr", END, T)
    assert demux.is_complete("a")
    assert demux.collect("a", T) == Collected([], True, False)
    assert demux.cut_bytes == 200 * 65_536


def test_an_endless_line_that_ends_in_no_sentinel_is_a_truncation() -> None:
    demux = LogDemux()
    demux.begin("a", 1000)
    demux.feed("stdout", b"x" * 5000, T)
    demux.feed("stdout", b"\nafter\n", T)
    assert demux.collect("a", T) == Collected([], False, True)
    assert demux.cut_bytes == 5000 + 1 + 6


def test_output_of_init_and_between_runs_is_the_next_runs() -> None:
    demux = LogDemux()
    demux.feed("stdout", b"boot\n", T)
    demux.begin("a", MB)
    demux.feed("stdout", b"a\n" + END + b"late\n", T)
    demux.feed("stderr", END, T)
    assert demux.collect("a", T).lines == [out("boot"), out("a")]
    demux.feed("stderr", b"timer\npart", T)
    demux.begin("b", MB)
    demux.feed("stderr", b"ial\n", T)
    assert demux.collect("b", T).lines == [out("late"), err("timer"), err("partial")]
    assert demux.cut_bytes == 0


def test_output_between_runs_is_bounded_and_its_loss_is_told() -> None:
    demux = LogDemux()
    flood = b"x" * 999 + b"\n"
    for _ in range(3 * BETWEEN_LIMIT // 1000):
        demux.feed("stdout", flood, T)
    demux.begin("a", 10 * MB)
    demux.feed("stdout", END, T)
    demux.feed("stderr", END, T)
    collected = demux.collect("a", T)
    assert 0 < len(collected.lines) <= BETWEEN_LIMIT // 1000
    assert not collected.complete
    assert demux.cut_bytes + 1000 * len(collected.lines) == 3 * BETWEEN_LIMIT // 1000 * 1000


def test_a_forged_sentinel_cuts_its_own_run_and_shifts_no_other() -> None:
    """What follows the forged one is the next run's, as upstream; the true one, being there when that begins, is dropped."""
    demux = LogDemux()
    demux.begin("a", MB)
    demux.feed("stdout", b"before\n" + END + b"after it\n" + END, T)
    demux.feed("stderr", END, T)
    assert demux.collect("a", T) == Collected([out("before")], True, False)
    demux.begin("b", MB)
    demux.feed("stdout", b"mine\n", T)
    assert not demux.is_complete("b")
    demux.feed("stdout", END, T)
    demux.feed("stderr", END, T)
    assert demux.collect("b", T) == Collected([out("after it"), out("mine")], True, False)


def test_a_short_run_beside_a_long_one_waits_for_no_sentinel_but_its_own() -> None:
    """Who ends takes what was printed up to the oldest sentinel, whoever began first."""
    demux = LogDemux()
    demux.begin("long", MB)
    demux.begin("short", MB)
    demux.feed("stdout", b"1\n2\n" + END, T)
    demux.feed("stderr", END, T)
    assert demux.is_complete("short")
    assert demux.collect("short", T) == Collected([out("1"), out("2")], True, False)
    assert not demux.is_complete("long")
    demux.feed("stdout", b"3\n" + END, T)
    demux.feed("stderr", END, T)
    assert demux.collect("long", T) == Collected([out("3")], True, False)


def test_a_run_that_never_ended_takes_no_sentinel_of_another() -> None:
    """It gets what was printed since the newest one; what is complete is for those whose code came to its end."""
    demux = LogDemux()
    for each in ("hangs", "a", "b"):
        demux.begin(each, MB)
    demux.feed("stdout", b"1\n" + END + b"2\n", T)
    demux.feed("stderr", END, T)
    assert demux.collect("hangs", T, marked=False) == Collected([out("2")], False, False)
    assert demux.collect("b", T) == Collected([out("1")], True, False)
    assert not demux.is_complete("a")


def test_runs_at_the_same_time_share_by_order() -> None:
    """Nothing tells concurrent runs apart: each stream is cut at its sentinels."""
    demux = LogDemux()
    demux.begin("a", MB)
    demux.begin("b", MB)
    demux.feed("stdout", b"1\n" + END + b"2\n" + END, T)
    demux.feed("stderr", END + END, T)
    assert (
        repr(demux) == "<LogDemux [a, b: 1 lines, ended ['stderr', 'stdout'], 1 lines, ended ['stderr', 'stdout']] between 0 cut 0>"
    )
    assert demux.collect("a", T).lines == [out("1")]
    assert demux.collect("b", T).lines == [out("2")]


def test_output_that_no_running_one_owns_is_the_next_to_begins() -> None:
    """Also while another still waits for its other stream."""
    demux = LogDemux()
    demux.begin("a", MB)
    demux.feed("stdout", b"1\n" + END + b"2\n", T)
    demux.begin("b", MB)
    demux.feed("stdout", b"3\n" + END, T)
    demux.feed("stderr", END + END, T)
    assert demux.collect("a", T).lines == [out("1")]
    assert demux.collect("b", T).lines == [out("2"), out("3")]


def test_a_stream_that_ends_gives_its_unfinished_line() -> None:
    demux = LogDemux()
    demux.begin("a", MB)
    demux.feed("stdout", b"last words", T)
    demux.feed("stdout", b"", T)
    demux.feed("stderr", b"", T)
    assert demux.collect("a", T) == Collected([out("last words")], False, False)


def test_collecting_without_a_sentinel_takes_the_unfinished_line() -> None:
    demux = LogDemux()
    demux.begin("a", MB)
    demux.feed("stdout", b"hang", T)
    demux.feed("stderr", b"e" + END + b"next", T)
    assert demux.collect("a", T) == Collected([out("hang")], False, False)
    demux.begin("b", MB)
    assert demux.collect("b", T).lines == [err("next")]


def test_an_unknown_activation_has_no_logs() -> None:
    assert LogDemux().collect("nobody", T) == Collected([], False, False)


def test_notes_follow_upstreams_table() -> None:
    def notes(complete: bool, truncated: bool, sentinels: bool, developer_error: bool) -> list[str]:
        collected = Collected([], complete, truncated)
        lines = notes_for(collected, sentinels=sentinels, developer_error=developer_error, limit=10 * MB, time=T)
        assert all(line.startswith(f"{T} stderr: ") for line in lines)
        return [line.removeprefix(f"{T} stderr: ") for line in lines]

    cut = "Logs were truncated because the total bytes size exceeds the limit of 10485760 bytes."
    assert notes(True, False, True, False) == []
    assert notes(False, False, True, False) == [ISSUE]
    assert notes(False, False, False, False) == []
    assert notes(True, True, True, False) == [cut]
    assert notes(False, False, True, True) == [DEVELOPER_ERROR]
    assert notes(False, True, True, True) == [cut, DEVELOPER_ERROR]


PIECES = st.sampled_from(
    [b"a", b"bc", b"\n", b"\n", SENTINEL, SENTINEL[:5], SENTINEL[5:], END, b"XXX", b"\xff", b"\r", "é€😀".encode(), b"z" * 60]
)
STREAM = st.lists(PIECES, max_size=12).map(b"".join)


def feed_in_pieces(demux: LogDemux, data: bytes, stream: str, cuts: list[int]) -> None:
    places = sorted({c % (len(data) + 1) for c in cuts} | {0, len(data)})
    for begin, end in pairwise(places):
        demux.feed(stream, data[begin:end], T)


@given(STREAM, st.lists(st.integers(0, 5000), max_size=30), st.sampled_from([0, 80, 150, 400, MB]))
def test_where_chunks_are_cut_does_not_matter(data: bytes, cuts: list[int], limit: int) -> None:
    whole, pieces = LogDemux(), LogDemux()
    for demux in (whole, pieces):
        demux.begin("a", limit)
    whole.feed("stdout", data, T) if data else None
    feed_in_pieces(pieces, data, "stdout", cuts)
    assert whole.collect("a", T) == pieces.collect("a", T)
    assert (whole.cut_bytes, whole.framing_bytes) == (pieces.cut_bytes, pieces.framing_bytes)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["stdout", "stderr", "begin", "collect", "end"]),
            STREAM.filter(bool),
            st.sampled_from([0, 100, 300, MB]),
        ),
        max_size=25,
    )
)
def test_no_byte_is_lost_uncounted(steps: list[tuple[str, bytes, int]]) -> None:
    """Bytes fed = bytes of kept lines with their newlines + cut + sentinels, whatever happens in whatever order."""
    demux = LogDemux()
    fed = kept = number = 0
    for step, data, limit in steps:
        if step == "begin":
            demux.begin(str(number), limit)
            number += 1
        elif step == "collect" and demux._ids:
            oldest = demux._shares[0]
            demux.collect(demux._ids[-1], T)
            kept += oldest.used - LINE_FRAMING * len(oldest.lines)
        elif step == "end":
            demux.feed("stdout", b"", T)
        elif step in ("stdout", "stderr"):
            demux.feed(step, data, T)
            fed += len(data)
    demux.feed("stdout", b"", T)
    demux.feed("stderr", b"", T)
    kept += sum(a.used - LINE_FRAMING * len(a.lines) for a in demux._shares)
    waiting = sum(len(line) + newline for _, line, newline, _ in demux._between)
    assert fed == kept + waiting + demux.cut_bytes + demux.framing_bytes


@given(st.lists(st.tuples(STREAM, STREAM), min_size=1, max_size=4), st.lists(st.integers(0, 500), max_size=10))
def test_each_run_gets_its_own_output_when_nothing_is_forged(runs: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    demux = LogDemux()
    for number, printed in enumerate(runs):
        demux.begin(str(number), 100 * MB)
        expected = []
        for stream, data in zip(("stdout", "stderr"), printed, strict=True):
            clean = data.replace(SENTINEL, b"").replace(b"X", b"x")
            feed_in_pieces(demux, clean + END, stream, cuts)
            *lines, _ = clean.split(b"\n")  # what shares the sentinel's line is dropped
            expected += [(stream, len(line) - line.endswith(b"\r") if line.isascii() else None) for line in lines]
        assert demux.is_complete(str(number))
        collected = demux.collect(str(number), T)
        assert (collected.complete, collected.truncated) == (True, False)
        assert len(collected.lines) == len(expected)
        for line, (stream, length) in zip(collected.lines, expected, strict=True):
            text = line.removeprefix(f"{T} {stream}: ")
            assert text != line
            assert length is None or len(text) == length
