from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.json_text import MAX_DEPTH, JsonError, read_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_valid_json_is_passed_on_byte_for_byte(value: object) -> None:
    """Whatever a JSON library writes is accepted, keeps its bytes, and means the same (lone surrogates aside)."""
    body = json.dumps(value, ensure_ascii=True).encode()
    kept, read = read_json(body)
    assert kept == body
    assert read == json.loads(body)


@given(st.binary())
def test_any_bytes_are_read_or_refused_with_a_text(body: bytes) -> None:
    """No input raises anything but JsonError, and what is passed on is always valid JSON in UTF-8."""
    try:
        kept, _ = read_json(body)
    except JsonError as error:
        assert str(error)
    else:
        json.loads(kept.decode())


@given(st.text(alphabet='{}[]:,"\\ \n0123456789.eE+-truefalsn\ud800u', max_size=40))
def test_what_python_reads_is_accepted(text: str) -> None:
    """On texts made of JSON's own characters this parser and Python's agree about what is JSON, numbers out of range aside."""
    body = text.encode("utf-8", "replace")
    try:
        json.loads(body.decode(), parse_constant=lambda name: pytest.fail(name))
        valid = True
    except ValueError:
        valid = False
    try:
        read_json(body)
    except JsonError as error:
        assert not valid or "out of range" in str(error)
    else:
        assert valid


@pytest.mark.parametrize(
    ("body", "summary"),
    [
        (b"", "Unexpected end-of-input at input index 0 (line 1, position 1), expected JSON Value:\n\n^\n"),
        (b"[1,]", "Unexpected character ']' at input index 3 (line 1, position 4), expected JSON Value:\n[1,]\n   ^\n"),
        (b'{"a" 1}', "Unexpected character '1' at input index 5 (line 1, position 6), expected ':':\n"),
        (b'{"a":\n tru}', "Unexpected character '}' at input index 7 (line 2, position 2), expected JSON Value:\n tru}\n ^\n"),
        (b'"a\x00"', "Unexpected character '\\u0000' at input index 2 (line 1, position 3), expected '\"':\n\"a?\"\n  ^\n"),
        (b"-", "Unexpected end-of-input at input index 1 (line 1, position 2), expected DIGIT:\n-\n ^\n"),
        (b"{} x", "Unexpected character 'x' at input index 3 (line 1, position 4), expected end-of-input:\n"),
        (b'"\\x"', "Unexpected character 'x' at input index 2 (line 1, position 3), expected JSON escape sequence:\n"),
        (b'"\\u12g4"', "Unexpected character 'g' at input index 5 (line 1, position 6), expected hex digit:\n"),
    ],
)
def test_the_text_says_where_and_what(body: bytes, summary: str) -> None:
    """Index, line, position and what was expected are upstream's parser's."""
    with pytest.raises(JsonError) as raised:
        read_json(body)
    assert str(raised.value).startswith(summary)


@pytest.mark.parametrize("open_, close", [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_has_a_limit_that_no_stack_reaches(open_: bytes, close: bytes) -> None:
    """MAX_DEPTH levels are read, one more is refused, a hundred thousand neither crash nor take long."""
    inner = b"1" if close == b"}" else b""
    read_json(open_ * MAX_DEPTH + inner + close * MAX_DEPTH)
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(JsonError, match="nested too deeply"):
            read_json(open_ * depth + inner + close * depth)
    with pytest.raises(JsonError):
        read_json(open_ * 100_000)


def test_brackets_in_strings_and_flat_lists_are_no_depth() -> None:
    """Many brackets alone don't refuse a text."""
    read_json(b'"' + b"[{" * 5000 + b'"')
    read_json(b"[" + b"[]," * 5000 + b"{}]")


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"a":"\\ud800"}', b'{"a":"\\ufffd"}'),
        (b'{"a":"\\ud83d\\ude00\\udc00"}', b'{"a":"\\ud83d\\ude00\\ufffd"}'),
        (b'{"a":"\\\\ud800 \\ud800"}', b'{"a":"\\\\ud800 \\ufffd"}'),
        (b'{"a":"\xff\xfe"}', '{"a":"\ufffd\ufffd"}'.encode()),
    ],
)
def test_characters_that_cannot_be_stored_become_fffd(body: bytes, kept: bytes) -> None:
    """Lone surrogates and invalid UTF-8 are replaced, pairs and escaped backslashes are left alone."""
    assert read_json(body)[0] == kept


@pytest.mark.parametrize("number", [b"1e400", b"-1e999", b"1" * 5000])
def test_numbers_beyond_what_can_be_held_are_refused(number: bytes) -> None:
    """They would be lost or changed further on."""
    with pytest.raises(JsonError, match="out of range"):
        read_json(b'{"a":' + number + b"}")


def test_the_text_repeats_only_a_part_of_a_long_line() -> None:
    """An error about a line of megabytes stays small."""
    with pytest.raises(JsonError) as raised:
        read_json(b'"' + b"x" * 1_000_000 + b"\n")
    assert len(str(raised.value)) < 1_000
