"""Arguments of web actions: what the recording lacks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.errors import ApiError
from controller.media import MediaType, parse
from controller.web_request import merged_arguments, parse_path, raw_arguments


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("web/guest/default/a", ("guest", "", "a", ".http", "")),
        ("web/guest/p/a.text/x//y/", ("guest", "p", "a", ".text", "/x//y/")),
        ("web/guest/default/a.b.svg", ("guest", "", "a.b", ".svg", "")),
        ("web/guest/default/a.JSON", ("guest", "", "a.JSON", ".http", "")),
        ("web/g%20x/default/a/%41%2f%c3%a9%ff", ("g x", "", "a", ".http", "/A%2F%C3%A9%FF")),
    ],
)
def test_paths(path: str, expected: tuple[str, ...]) -> None:
    found = parse_path(path.split("/"))
    assert found is not None
    assert (found.namespace, found.package, found.action, found.extension, found.rest) == expected


_NO_ACTION = ("web", "web/guest/a", "web/guest/default/", "web//p/a", "web/guest/p/.json", "web/gu%2Fest/p/a", "namespaces/a/b/c")


@pytest.mark.parametrize("path", _NO_ACTION)
def test_paths_that_name_no_web_action(path: str) -> None:
    assert parse_path(path.split("/")) is None


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.a+json"])
def test_an_object_in_any_json_type_is_arguments(kind: str) -> None:
    """openwhisk-controller.md 4.8: `application/json` and `*+json`."""
    assert list(merged_arguments(b"a=1", b'{"b": 2}', parse(kind), ())) == ["a", "b"]


def test_a_charset_is_obeyed() -> None:
    assert merged_arguments(b"", "é".encode("latin-1"), parse("text/plain; charset=iso-8859-1"), ()) == {"__ow_body": "é"}


@pytest.mark.parametrize("kind", ["text/plain; charset=frob", "text/plain; charset=rot13", "text/plain; charset=utf-7"])
def test_no_charset_breaks_anything(kind: str) -> None:
    text = merged_arguments(b"", b"+2AA- \xff", parse(kind), ())["__ow_body"]
    assert isinstance(text, str)
    text.encode()


@pytest.mark.parametrize("name", ["__ow_method", "__ow_headers", "__ow_path", "__ow_user", "__ow_query", "__ow_body", "mine"])
@pytest.mark.parametrize("where", ["query", "form", "json"])
def test_reserved_and_locked_names_are_refused(name: str, where: str) -> None:
    """openwhisk-controller.md 4.8."""
    query, body, kind = {
        "query": (f"{name}=1".encode(), b"", None),
        "form": (b"", f"{name}=1".encode(), MediaType("application/x-www-form-urlencoded")),
        "json": (b"", f'{{"{name}": 1}}'.encode(), MediaType("application/json")),
    }[where]
    with pytest.raises(ApiError, match="Request defines parameters that are not allowed") as caught:
        merged_arguments(query, body, kind, {"mine"})
    assert caught.value.status == 400


_KINDS = ("text/plain", "application/json", "image/png", "application/x-www-form-urlencoded")


@given(st.binary(), st.binary(), st.sampled_from(_KINDS))
def test_any_bytes_are_arguments_or_refused(query: bytes, body: bytes, kind: str) -> None:
    media_type = parse(kind)
    raw_arguments(query, body, media_type)
    try:
        merged_arguments(query, body, media_type, ())
    except ApiError as error:
        assert error.status == 400
