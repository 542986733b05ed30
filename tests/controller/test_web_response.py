"""Results as HTTP answers: what the recording lacks. The recorded ones are replayed in tests/system/test_golden_rest.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from controller.errors import ApiError
from controller.web_response import answer, pretty


def http(result: Any) -> Any:
    return answer(".http", Raw(json.dumps(result).encode()))


def refused(result: Any) -> str:
    with pytest.raises(ApiError) as caught:
        http(result)
    assert caught.value.status == 400
    return caught.value.text


@pytest.mark.parametrize(
    "headers",
    [{"x\r\ny": "1"}, {"x": "1\r\nset-cookie: a=b"}, {"": "1"}, {"a b": "1"}, {"x": "\x00"}, {"x": ["ok", "no\n"]}, {"é": "1"}],
)
def test_an_action_cant_write_headers_of_its_own_making(headers: dict[str, Any]) -> None:
    """No header or answer is smuggled in by line breaks."""
    assert refused({"headers": headers, "body": "x"}) == "Response is not valid 'message/http'."


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Server", "Date"])
def test_headers_of_the_server_stay_its_own(name: str) -> None:
    assert http({"headers": {name: "5"}, "body": "x"}).headers == ()


@pytest.mark.parametrize("status", [100, 199, 600, -200, True, [], {}, "4040", "4 4", 1e300, "²"])
def test_statuses_that_no_answer_can_have(status: Any) -> None:
    """A final answer is 200 to 599 (openwhisk-controller.md 4.8: other types and codes are 400)."""
    assert refused({"statusCode": status}) == "Response is not valid 'message/http'."


def test_an_empty_list_is_no_header() -> None:
    assert http({"headers": {"x": []}}).headers == ()


@pytest.mark.parametrize("kind", ["image/svg+xml", "application/vnd.x+json", "application/json"])
def test_text_that_upstream_takes_for_base64_is_sent_as_it_is(kind: str) -> None:
    """docs/compatibility.md: upstream answers 400 for the first two."""
    shown = http({"headers": {"content-type": kind}, "body": "<svg/> {}"})
    assert (shown.status, shown.body, shown.content_type) == (200, b"<svg/> {}", kind)


@pytest.mark.parametrize("body", ["***", "AAA", "A===", "é"])
def test_binary_types_need_base64(body: str) -> None:
    text = "Response type in header did not match generated content type."
    assert refused({"headers": {"content-type": "image/png"}, "body": body}) == text


def test_json_of_a_vendor_is_printed_for_people() -> None:
    shown = http({"headers": {"content-type": "application/vnd.x+json"}, "body": {"a": {"b": [1, {"c": 2}]}, "d": {}}})
    assert shown.body.decode() == '{\n  "a": {\n    "b": [1, {\n      "c": 2\n    }]\n  },\n  "d": {\n\n  }\n}'
    assert json.loads(shown.body) == {"a": {"b": [1, {"c": 2}]}, "d": {}}


def test_numbers_come_out_as_they_went_in() -> None:
    assert answer(".json", Raw(b'{"n": 1e2, "m": 12345678901234567890.5}')).body == b'{"n":1e2,"m":12345678901234567890.5}'
    assert answer(".text", Raw(b'{"body": 1.50}')).body == b"1.50"


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
fields = st.sampled_from(["statusCode", "headers", "body", "html"])


@given(json_values)
def test_pretty_text_is_the_same_json(value: Any) -> None:
    assert json.loads(pretty(Raw(json.dumps(value).encode()))) == value


@given(st.sampled_from([".http", ".json", ".html", ".svg", ".text"]), st.dictionaries(fields, json_values))
def test_any_result_is_an_answer_or_a_refusal(extension: str, result: dict[str, Any]) -> None:
    """No result of an action makes the server fail."""
    try:
        shown = answer(extension, Raw(json.dumps(result).encode()))
    except ApiError as error:
        assert error.status in (400, 404)
    else:
        assert 200 <= shown.status <= 599
        assert b"\n" not in b"".join(name + value for name, value in shown.headers)
