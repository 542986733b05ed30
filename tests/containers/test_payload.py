"""The bodies of /init and /run are what upstream's runtimes expect: context as text, arguments untouched."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from containers.payload import context, init_body, run_body, split_arguments
from messages.action import Executable
from messages.wire import ActionName, ActivationMessage, ControllerId, Identity, Limits, Namespace

ID = "9c1f0a52d2b74c3e9f0a52d2b7ac3e11"


def message(content: bytes | None = b"{}", init_args: tuple[str, ...] = (), **changes: Any) -> ActivationMessage:
    fields: dict[str, Any] = {
        "transid": ["k3dY", 1735689600123],
        "action": ActionName("guest/imagetools", "resize", "0.0.7"),
        "revision": "1-a",
        "user": Identity("alice@example.org", Namespace("alice", "u"), {"api_key": "u:k"}),
        "activation_id": ID,
        "root_controller_index": ControllerId("0"),
        "blocking": True,
        "content": UNSET if content is None else Raw(content),
        "init_args": list(init_args),
    }
    return ActivationMessage(**(fields | changes))


def action(**changes: Any) -> Executable:
    fields: dict[str, Any] = {
        "fqn": "guest/imagetools/resize", "revision": "1-a", "version": "0.0.7", "kind": "nodejs:20", "main": "handler",
        "code": "UEsDBBQ", "binary": True, "image": "", "limits": Limits(), "provide_api_key": False, "replay": "rerun",
    }  # fmt: skip
    return Executable(**(fields | changes))


CONTEXT = {
    "namespace": "alice",
    "action_name": "/guest/imagetools/resize",
    "action_version": "0.0.7",
    "activation_id": ID,
    "transaction_id": "k3dY",
    "deadline": "1735689660455",
}


def test_run_has_arguments_and_context_as_text() -> None:
    body = json.loads(run_body(message(b'{"url": "x", "n": 1.0}'), action(), 1735689660455))
    assert body == {"value": {"url": "x", "n": 1.0}, **CONTEXT}


def test_init_has_code_and_environment() -> None:
    body = json.loads(init_body(message(b'{"API_TOKEN":"abc","a":1}', ("API_TOKEN",)), action(), 1735689660455))
    value = body["value"]
    env = {"API_TOKEN": "abc"} | {f"__OW_{name.upper()}": text for name, text in CONTEXT.items()}
    assert value == {"name": "resize", "main": "handler", "binary": True, "code": "UEsDBBQ", "env": env}
    assert list(body) == ["value"]


def test_code_is_left_out_where_there_is_none() -> None:
    value = json.loads(init_body(message(), action(code="", binary=False), 1))["value"]
    assert "code" not in value
    assert value["binary"] is False


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, b"{}"),
        (b'[1, {"A": 2}]', b'[1, {"A": 2}]'),
        (b' {"b" : 1.10, "n":12345678901234567890123}', b'{"b":1.10,"n":12345678901234567890123}'),
    ],
)
def test_what_becomes_of_content(content: bytes | None, expected: bytes) -> None:
    split = split_arguments(message(content, ("A",)))
    assert json.loads(split.value) == json.loads(expected)
    assert b"1.10" not in expected or b"1.10" in split.value
    assert split.env == {}


def test_without_init_args_content_is_spliced_in_byte_by_byte() -> None:
    odd = b'{"a": 1e3,  "a":\t2}'
    assert b'{"value":' + odd + b',"namespace"' in run_body(message(odd), action(), 1)


def test_environment_values_are_text() -> None:
    content = {"s": "é x", "null": None, "t": True, "n": 1.5, "big": 12345678901234567890123, "o": {"a": [1, "b"]}, "l": []}
    split = split_arguments(message(json.dumps(content).encode(), (*content, "missing")))
    assert split.env == {
        "s": "é x", "null": "", "t": "true", "n": "1.5", "big": "12345678901234567890123", "o": '{"a":[1,"b"]}', "l": "[]",
    }  # fmt: skip
    assert split.value == b"{}"


def test_the_key_is_told_only_to_actions_that_want_it() -> None:
    assert context(message(), action(), 5) == CONTEXT | {"deadline": "5"}
    wants = action(provide_api_key=True)
    assert context(message(), wants, 5)["api_key"] == "u:k"
    assert json.loads(init_body(message(), wants, 5))["value"]["env"]["__OW_API_KEY"] == "u:k"
    bare = Identity("alice@example.org", Namespace("alice", "u"))
    assert "api_key" not in context(message(user=bare), wants, 5)
    assert "api_key" not in context(message(), action(), 5)


def test_every_value_beside_the_arguments_is_text() -> None:
    """A number or null there kills upstream's Python runtime."""
    odd = Identity("alice@example.org", Namespace("alice", "u"), {"api_key": "u:k", "other": 5, "none": None})
    noversion = message(user=odd, action=ActionName("guest", "x"), transid=[7, 1])
    body = json.loads(run_body(noversion, action(provide_api_key=True), 5))
    assert all(isinstance(text, str) for name, text in body.items() if name != "value")
    assert body["action_version"] == ""
    assert body["transaction_id"] == "7"


def test_content_that_is_no_json_is_told_apart() -> None:
    with pytest.raises(msgspec.DecodeError):
        split_arguments(message(b'{"a":', ("a",)))


JSON = (
    st.none() | st.integers() | st.text() | st.lists(st.text(), max_size=3) | st.dictionaries(st.text(), st.integers(), max_size=3)
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=6), st.lists(st.text(max_size=5), max_size=4))
def test_every_member_goes_to_exactly_one_side(content: dict[str, object], names: list[str]) -> None:
    split = split_arguments(message(json.dumps(content).encode(), (*names, *list(content)[:2])))
    value = json.loads(split.value)
    assert set(value) | set(split.env) == set(content)
    assert not set(value) & set(split.env)
    assert all(value[name] == content[name] for name in value)


def test_null_content_is_no_content() -> None:
    """Upstream reads null as absent, and its Node.js runtime is lost by a `value` that is no object."""
    assert json.loads(run_body(message(b"null"), action(), 1))["value"] == {}
