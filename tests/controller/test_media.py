"""Media types as upstream's HTTP library reads and prints them, and Accept headers."""

import pytest

from controller import media


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("text/plain; charset=utf-8", "text/plain; charset=UTF-8"),
        ("TEXT/HTML", "text/html"),
        ("application/json; charset=utf-8", "application/json"),
        ('multipart/form-data; boundary="a b"', 'multipart/form-data; boundary="a b"'),
        ("application/vnd.x+json", "application/vnd.x+json"),
        ("application/x-frob; charset=utf-8", "application/x-frob; charset=UTF-8"),
    ],
)
def test_types_are_shown_in_one_form(given: str, shown: str) -> None:
    found = media.parse(given)
    assert found is not None
    assert found.shown(found.charset.upper()) == shown


@pytest.mark.parametrize("given", ["", "nonsense", "a/", "/b", "a/b; c", "text/html\r\nx: y", "a b/c", "*/*", "text/html; a=b c"])
def test_what_is_no_type(given: str) -> None:
    assert media.parse(given) is None


@pytest.mark.parametrize(
    ("header", "name", "taken"),
    [
        ("*/*", "text/html", True),
        ("text/*", "text/html", True),
        ("text/html", "application/json", False),
        ("text/html, */*;q=0.1", "application/json", True),
        ("*/*, application/json;q=0", "application/json", False),
        ("application/json;q=0, */*", "text/html", True),
        ("text/html;q=x", "text/html", False),
        ("", "text/html", False),
        ("*", "text/html", True),
    ],
)
def test_the_most_specific_range_decides(header: str, name: str, taken: bool) -> None:
    assert media.accepts(header, name) is taken
