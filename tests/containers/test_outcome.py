"""What a record says of how an activation ended: cases recorded from OpenWhisk, and every table of the rules."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from containers import outcome
from containers.contract import Answer, Failure, Result
from messages.wire import Response

MB = 1_048_576


def answer(body: str | bytes, status: int = 200, length: int | None = None) -> Answer:
    data = body.encode() if isinstance(body, str) else body
    return Answer(status, data, len(data) if length is None else length)


def run(result: Result, ms: int = 5, limit: int = 60_000) -> Response:
    return outcome.run_response(result, ms, limit, MB)


def init(result: Result, ms: int = 5, limit: int = 60_000) -> Response | None:
    return outcome.init_failure(result, ms, limit, MB)


def shown(response: Response | None) -> tuple[int, object, int | None]:
    assert response is not None
    assert response.result is not UNSET
    return response.status_code, json.loads(bytes(response.result)), None if response.size is UNSET else response.size


NODE_TEXT = "The action did not return a dictionary."
PREFIX = "The action did not produce a valid JSON or JSON Array response"


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (answer('{"error":"no luck","more":1}'), (1, {"error": "no luck"}, 28)),
        (answer('{"error":{"code":5}}'), (1, {"error": {"code": 5}}, 20)),
        (answer('{"error":null}'), (1, {"error": None}, 14)),
        (answer('{"error":"An error has occurred: Error: boom"}', 502), (2, {"error": "An error has occurred: Error: boom"}, 46)),
        (Failure.BROKEN, (2, {"error": outcome.NO_RESPONSE}, None)),
        (Failure.REFUSED, (2, {"error": outcome.NO_RESPONSE}, None)),
        (Failure.MEMORY, (2, {"error": "The action exhausted its memory and was aborted."}, None)),
        (answer("[1,2]"), (0, [1, 2], 5)),
        (answer("[]"), (0, [], 2)),
        (answer("null"), (2, {"error": f"{PREFIX}: null"}, 4)),
        (answer("5"), (2, {"error": f"{PREFIX}: 5"}, 1)),
        (answer('"x"'), (2, {"error": f'{PREFIX}: "x"'}, 3)),
        (answer("not json"), (2, {"error": f"{PREFIX}: not json"}, 8)),
        (answer(""), (2, {"error": f"{PREFIX}."}, 0)),
        (answer(f'{{"error":"{NODE_TEXT}"}}', 502), (2, {"error": NODE_TEXT}, 51)),
        (answer('{"oops":1}', 500), (2, {"error": PREFIX + ': {"oops":1}'}, 10)),
        (answer("[1]", 500), (2, {"error": f"{PREFIX}: [1]"}, 3)),
        (answer("{}"), (0, {}, 2)),
        (answer('{"s":"é€😀"}'), (0, {"s": "é€😀"}, 12)),
        (answer('{"n": 2}\n'), (0, {"n": 2}, 9)),
        (
            answer('{"s":"xx', length=1_048_585),
            (
                1,
                {
                    "error": "The action produced a response that exceeded the allowed length: 1048585 > 1048576 bytes. "
                    'The truncated response was: {"s":"xx'
                },
                1_048_585,
            ),
        ),
    ],
)
def test_how_a_run_ends(result: Result, expected: tuple[int, object, int | None]) -> None:
    assert shown(run(result)) == expected


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (answer('{"error":"Initialization has failed due to: x"}', 502), (2, {"error": "Initialization has failed due to: x"}, 47)),
        (answer("no json", 502), (2, {"error": "The action failed during initialization: no json"}, 7)),
        (answer('{"e":1}', 500), (2, {"error": 'The action failed during initialization: {"e":1}'}, 7)),
        (answer("", 500), (2, {"error": "The action failed during initialization."}, 0)),
        (Failure.BROKEN, (2, {"error": "The action did not initialize and exited unexpectedly."}, None)),
        (Failure.REFUSED, (2, {"error": "The action did not initialize and exited unexpectedly."}, None)),
        (Failure.MEMORY, (2, {"error": "The action exhausted its memory and was aborted."}, None)),
        (
            answer("xy", length=2_000_000),
            (
                2,
                {
                    "error": "The action produced a response that exceeded the allowed length: 2000000 > 1048576 bytes. "
                    "The truncated response was: xy"
                },
                2_000_000,
            ),
        ),
    ],
)
def test_how_an_init_fails(result: Result, expected: tuple[int, object, int | None]) -> None:
    assert shown(init(result)) == expected


def test_an_init_that_succeeds_has_no_response_however_late() -> None:
    assert init(answer('{"ok":true}\n')) is None
    assert init(answer("anything"), ms=90_000) is None


def test_time_limits() -> None:
    """/run: also with a valid answer, at the limit exactly. /init: only if it failed."""
    text = "The action exceeded its time limits of 5000 milliseconds"
    for result in (Failure.TIMEOUT, Failure.BROKEN, Failure.REFUSED, answer("{}"), answer("{}", 502)):
        assert shown(run(result, 5000, 5000)) == (2, {"error": f"{text}."}, None)
    assert shown(run(Failure.TIMEOUT, 4999, 5000)) == (2, {"error": f"{text}."}, None)
    assert run(answer("{}"), 4999, 5000).status_code == 0
    for result in (Failure.TIMEOUT, Failure.BROKEN, answer("{}", 502)):
        assert shown(init(result, 5000, 5000)) == (2, {"error": f"{text} during initialization."}, None)
    assert shown(run(Failure.MEMORY, 9000, 5000))[1] == {"error": outcome.MEMORY_EXHAUSTED}
    assert shown(init(Failure.MEMORY, 9000, 5000))[1] == {"error": outcome.MEMORY_EXHAUSTED}
    assert outcome.timed_out(answer("{}"), 5000, 5000)
    assert not outcome.timed_out(answer("{}"), 4999, 5000)
    assert outcome.timed_out(Failure.TIMEOUT, 1, 5000)


def test_only_what_certainly_did_not_run_is_placed_again() -> None:
    busy = answer("{}", 503)
    assert outcome.is_retriable(busy, warm=False)
    assert outcome.is_retriable(busy, warm=True)
    assert outcome.is_retriable(Failure.REFUSED, warm=True)
    assert not outcome.is_retriable(Failure.REFUSED, warm=False)
    for result in (Failure.BROKEN, Failure.TIMEOUT, Failure.MEMORY, answer("{}"), answer("{}", 502)):
        assert not outcome.is_retriable(result, warm=True)


@pytest.mark.parametrize(("code", "lost"), [(0, False), (1, False), (2, True), (3, True)])
def test_which_containers_are_lost(code: int, lost: bool) -> None:
    assert outcome.is_container_lost(code) is lost
    assert outcome.is_container_lost(code, timeout=True)
    assert outcome.is_container_lost(code, log_failure=True)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"a" : 1.0 , "b": [ -0, 1e21, 12345678901234567890123 ]}\n', b'{"a":1.0,"b":[-0,1e21,12345678901234567890123]}'),
        (b'{"a": " x  y "}', b'{"a":" x  y "}'),
        (b'{"a":"\\ud800"}', b'{"a":"\\ufffd"}'),
        (b'{"\\udc00":"\\ud83d\\ude00"}', b'{"\\ufffd":"\\ud83d\\ude00"}'),
        (b'{"a":"\\\\ud800","b":"\\ud800"}', b'{"a":"\\\\ud800","b":"\\ufffd"}'),
        (b'{"a":"\xff"}', '{"a":"\ufffd"}'.encode()),
        (b'{"a":"\xed\xa0\x80"}', '{"a":"\ufffd\ufffd\ufffd"}'.encode()),
        (b'{"a":1e400}', None),
        (b'{"a":NaN}', None),
        (b'{"a":Infinity}', None),
        (b'{"a":1', None),
        (b"[" * 100_000 + b"]" * 100_000, None),
        (b"", None),
    ],
)
def test_a_result_is_made_storable_or_is_none(body: bytes, kept: bytes | None) -> None:
    assert outcome.storable_json(body) == kept


def test_a_number_that_json_cannot_hold_is_the_actions_error() -> None:
    assert shown(run(answer('{"a":1e400}'))) == (2, {"error": PREFIX + ': {"a":1e400}'}, 11)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text().filter(lambda key: key != "error"), JSON, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_every_object_survives_as_it_is(value: dict[str, object], ascii_only: bool, indent: int | None) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace")
    response = run(answer(body))
    assert response.status_code == 0
    assert response.result is not UNSET
    assert json.loads(bytes(response.result)) == json.loads(body)
    assert response.size == len(body.decode().encode("utf-16-le")) // 2


@given(JSON)
def test_every_error_value_survives(value: object) -> None:
    text = json.dumps({"a": 1, "error": value, "z": []})
    assert shown(run(answer(text)))[:2] == (1, {"error": value})
    assert shown(run(answer(text, 502)))[:2] == (2, {"error": value})
    assert shown(init(answer(text, 502)))[:2] == (2, {"error": value})


@given(st.binary(max_size=60) | st.text("\\u{}[]\"':,deDE0189abc", max_size=30).map(str.encode), st.sampled_from([200, 404, 500]))
def test_any_body_gives_a_response_that_utf8_json_can_hold(body: bytes, status: int) -> None:
    for response in (run(answer(body, status)), init(answer(body, status))):
        if response is not None:
            assert response.result is not UNSET
            msgspec.json.decode(bytes(response.result))
            bytes(response.result).decode("utf-8")
            assert response.status_code in (0, 1, 2)
