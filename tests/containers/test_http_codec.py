"""The codec of /init and /run: what counts as a response, however its bytes arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.contract import Answer, Failure, Result
from containers.http_codec import MAX_HEAD, ResponseParser, request_head

BROKEN = Failure.BROKEN


def response(body: bytes = b"{}", status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def parse(data: bytes, limit: int = 1000) -> tuple[Result | None, ResponseParser]:
    parser = ResponseParser(limit)
    return parser.feed(data), parser


def test_a_request_is_as_the_runtimes_expect_it() -> None:
    assert request_head("/run", 2) == (
        b"POST /run HTTP/1.1\r\nHost: action\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
        b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\n"
    )


def test_an_answer_is_status_body_and_length() -> None:
    result, parser = parse(response(b'{"a":1}', "502 Bad Gateway", "X-Powered-By: Express"))
    assert result == Answer(502, b'{"a":1}', 7)
    assert parser.reusable
    assert parser.started


def test_a_body_beyond_the_limit_is_read_but_not_kept() -> None:
    result, parser = parse(response(b"x" * 5000), limit=7)
    assert result == Answer(200, b"x" * 7, 5000)
    assert isinstance(result, Answer)
    assert result.truncated
    assert parser.reusable


def test_an_endless_body_is_drained_in_constant_memory() -> None:
    parser = ResponseParser(10)
    assert parser.feed(response(b"", length=1 << 20)) is None
    for _ in range(15):
        assert parser.feed(b"y" * 65_536) is None
    assert len(parser._body) == 10
    assert parser.feed(b"y" * 65_536) == Answer(200, b"y" * 10, 1 << 20)


def test_interim_responses_are_skipped() -> None:
    result, _ = parse(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\n" + response(b"[1]"))
    assert result == Answer(200, b"[1]", 3)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;" + b"x" * 5000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 70,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
        b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/2 200\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_what_is_no_response_is_broken_at_once(data: bytes) -> None:
    assert parse(data)[0] is BROKEN


def test_a_head_without_end_is_broken() -> None:
    parser = ResponseParser(10)
    result = parser.feed(b"HTTP/1.1 200 OK\r\n")
    fed = 0
    while result is None and fed < 2 * MAX_HEAD:
        result = parser.feed(b"X: " + b"y" * 1000 + b"\r\n")
        fed += 1005
    assert result is BROKEN
    assert fed <= MAX_HEAD + 1005


def test_an_end_before_the_whole_body_is_broken() -> None:
    for data in (b"", b"HTTP/1.1 2", response(b"", length=5) + b"1234"):
        parser = ResponseParser(10)
        if data:
            assert parser.feed(data) is None
        assert parser.started == bool(data)
        assert parser.eof() is BROKEN


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nconnection:  Keep-Alive \r\n", True),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.1 200\r\n", True),
        (b"HTTP/1.1 200 \r\nX-Content-Length: 7\r\n", True),
    ],
)
def test_connections_are_reused_as_http_says(head: bytes, reusable: bool) -> None:
    result, parser = parse(head + b"content-length:2\r\n\r\n{}")
    assert result == Answer(200, b"{}", 2)
    assert parser.reusable is reusable


def test_bytes_that_nobody_asked_for_spoil_the_connection_not_the_answer() -> None:
    result, parser = parse(response() + b"HTTP/1.1 200 OK")
    assert result == Answer(200, b"{}", 2)
    assert not parser.reusable


def feed_all(data: bytes, cuts: list[int], limit: int) -> Result | None:
    parser = ResponseParser(limit)
    places = sorted({c % (len(data) + 1) for c in cuts} | {0, len(data)})
    for begin, end in pairwise(places):
        result = parser.feed(data[begin:end])
        if result is not None:
            return result
    return None


@given(
    st.binary(max_size=300),
    st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    st.lists(st.integers(0, 1000), max_size=40),
    st.integers(0, 300),
    st.booleans(),
)
def test_where_chunks_are_cut_does_not_matter(body: bytes, status: int, cuts: list[int], limit: int, interim: bool) -> None:
    data = (b"HTTP/1.1 100 Continue\r\n\r\n" if interim else b"") + response(body, f"{status} Why", "A: b")
    assert feed_all(data, cuts, limit) == Answer(status, body[:limit], len(body))


@given(
    st.lists(st.binary(min_size=1, max_size=60), max_size=6),
    st.lists(st.integers(0, 1000), max_size=40),
    st.integers(0, 300),
    st.sampled_from([b"", b";a=b"]),
    st.sampled_from([b"", b"Trailer: x\r\n"]),
)
def test_chunked_answers_count(pieces: list[bytes], cuts: list[int], limit: int, extension: bytes, trailer: bytes) -> None:
    """Wherever they are cut, with extensions and a trailer; kept up to the limit, their whole length told."""
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailer + b"\r\n"
    body = b"".join(pieces)
    assert feed_all(data, cuts, limit) == Answer(200, body[:limit], len(body))


def test_connections_of_chunked_answers_are_reused() -> None:
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    assert [parse(data + more)[1].reusable for more in (b"", b"x")] == [True, False]
    parser = ResponseParser(10)
    assert parser.feed(data[:-2]) is None
    assert parser.eof() is BROKEN


@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(0, 200), max_size=10))
def test_garbage_never_raises(data: bytes, cuts: list[int]) -> None:
    assert feed_all(data, cuts, 10) in (None, BROKEN)


@given(st.integers(0, 60), st.binary(min_size=1, max_size=3))
def test_a_damaged_head_gives_an_answer_or_broken(place: int, damage: bytes) -> None:
    good = response(b"{}")
    data = good[:place] + damage + good[place:]
    result, parser = parse(data)
    assert (result if result is not None else parser.eof()) is BROKEN or isinstance(result, Answer)
