from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.errors import ApiError
from controller.query import Page, Query


def test_the_first_of_several_counts() -> None:
    """As upstream; plus is a blank, percent escapes are decoded."""
    query = Query(b"a=1&a=2&b=x+y%20z&c")
    assert (query.get("a"), query.get("b"), query.get("c"), query.get("d")) == ("1", "x y z", "", None)


@given(st.binary(max_size=200))
def test_any_query_string_is_answered(raw: bytes) -> None:
    """Nothing but ApiError 400 comes out of any conversion."""
    query = Query(raw)
    for convert in (
        lambda: query.flag("a"), lambda: query.page("actions", 200, 30), lambda: query.instant("a"), lambda: query.wait(60_000),
        query.activation_name,
    ):  # fmt: skip
        try:
            convert()
        except ApiError as error:
            assert error.status == 400


def test_thousands_of_parameters_are_no_trouble() -> None:
    """What fits the longest URI is decoded at once."""
    assert Query(b"&".join(b"a%d=1" % i for i in range(2000)) + b"&limit=7").page("actions", 200, 30) == Page(7, 0, False)


@pytest.mark.parametrize("text", ["2147483648", "99999999999999999999", "1.5", "", "abc", "\u0661", "1 ", "0x1", "--1"])
def test_numbers_are_32_bit_decimals(text: str) -> None:
    """Everything else is named in the error."""
    with pytest.raises(ApiError) as raised:
        Query(f"limit={text}".encode()).page("rules", 200, 30)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    ("raw", "seconds"), [(b"", 60.0), (b"timeout=1", 0.001), (b"timeout=60000", 60.0), (b"timeout=%2B5", 0.005)]
)
def test_wait_is_given_in_milliseconds(raw: bytes, seconds: float) -> None:
    """1 to the most, the most if absent."""
    assert Query(raw).wait(60_000) == seconds


@pytest.mark.parametrize("name", ["a", "p/a", "p/", "a@b.c"])
def test_activation_names(name: str) -> None:
    """One or two segments that can be names."""
    assert Query(f"name={name}".encode()).activation_name() == name.rstrip("/")


@pytest.mark.parametrize("name", ["a/b/c", "/a", "a*b", "/guest/p/a", "%00", "a" * 257, "/"])
def test_bad_activation_names(name: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ApiError):
        Query(f"name={name}".encode()).activation_name()
