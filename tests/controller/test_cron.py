"""Schedules of five fields, minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.cron import MINUTE, parse


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("schedule", "at", "matches"),
    [
        ("* * * * *", "2026-11-23T04:05", True),
        ("*/5 * * * *", "2026-11-23T04:05", True),
        ("*/5 * * * *", "2026-11-23T04:06", False),
        ("7-59/10 * * * *", "2026-11-23T04:17", True),
        ("7/10 * * * *", "2026-11-23T04:57", True),
        ("0 8-18 * * 1-5", "2026-11-23T18:00", True),  # a Monday
        ("0 8-18 * * 1-5", "2026-11-22T18:00", False),
        ("0 0 * * 7", "2026-11-22T00:00", True),
        ("0 0 * * 0", "2026-11-22T00:00", True),
        ("0 0 23 * 0", "2026-11-23T00:00", True),  # either day suffices
        ("0 0 23 * 0", "2026-11-22T00:00", True),
        ("0 0 23 * 0", "2026-11-24T00:00", False),
        ("0 0 29 2 *", "2028-02-29T00:00", True),
        ("1,3,5 0 * * *", "2026-11-23T00:03", True),
    ],
)
def test_a_minute_is_one_of_them(schedule: str, at: str, matches: bool) -> None:
    assert parse(schedule).matches(ms(at)) is matches


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *",
     "a * * * *", "1- * * * *", "-1 * * * *", ", * * * *", "1,,2 * * * *", "*/ * * * *", "٣ * * * *", "99999 * * * *"],
)  # fmt: skip
def test_what_is_none_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"schedule has five|is no "):
        parse(text)


@given(st.text(max_size=30))
def test_any_text_is_a_schedule_or_told_to_be_none(text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        assert str(error)


def test_between_has_every_minute_once() -> None:
    """Both ends included, whole minutes only; parts add up to the whole."""
    schedule, first, last = parse("*/2 * * * *"), ms("2026-11-23T04:00"), ms("2026-11-23T04:10")
    assert schedule.between(first, last) == list(range(first, last + 1, 2 * MINUTE))
    assert schedule.between(first + 1, last - 1) == list(range(first + 2 * MINUTE, last, 2 * MINUTE))
    middle = first + 3 * MINUTE + 17
    assert schedule.between(first, middle) + schedule.between(middle + 1, last) == schedule.between(first, last)
