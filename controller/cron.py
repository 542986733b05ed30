"""Times by five fields, as cron has them: minute, hour, day of the month, month, day of the week; UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from controller.entities import Pair

ANNOTATION = "cron"
MINUTE = 60_000
"""Milliseconds."""

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))


class Schedule(Struct, frozen=True):
    """The values of each field. Where both kinds of day are restricted, either suffices (cron's rule); Sunday is 0 and 7."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def matches(self, at: int) -> bool:
        """Whether the minute that begins at `at` (epoch ms) is one of them."""
        when = datetime.fromtimestamp(at / 1000, UTC)
        day, weekday = when.day in self.days, when.isoweekday() % 7 in self.weekdays
        today = (day or weekday) if self.either else (day and weekday)
        return today and when.minute in self.minutes and when.hour in self.hours and when.month in self.months

    def between(self, first: int, last: int) -> list[int]:
        """The minutes that begin from `first` to `last`, both included; epoch ms."""
        begin = -(-first // MINUTE) * MINUTE
        return [at for at in range(begin, last + 1, MINUTE) if self.matches(at)]


def parse(text: str) -> Schedule:
    """The times of `*/5 8-18 * * 1-5`. Raises ValueError that says which field is wrong."""
    parts = text.split()
    if len(parts) != len(FIELDS):
        raise ValueError(f"{text!r} has {len(parts)} fields, a schedule has five: minute, hour, day, month, day of the week")
    values = [_field(part, *field) for part, field in zip(parts, FIELDS, strict=True)]
    weekdays = frozenset(day % 7 for day in values[4])
    either = not parts[2].startswith("*") and not parts[4].startswith("*")
    return Schedule(values[0], values[1], values[2], values[3], weekdays, either)


def _field(text: str, name: str, least: int, most: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        low, high = (least, most) if span == "*" else (_number(first), _number(last) if dash else _number(first))
        if slash and not dash and span != "*":
            high = most
        by = _number(step) if slash else 1
        if low is None or high is None or not by or not least <= low <= high <= most:
            raise ValueError(f"{part!r} is no {name}: {least} to {most}, a range, `*`, or one of these with /step")
        found |= set(range(low, high + 1, by))
    return frozenset(found)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else None


def text_of(annotations: list[Pair]) -> str | None:
    """The annotation `cron`, None if there is none that is a text."""
    for pair in annotations:
        if pair.key == ANNOTATION:
            value = msgspec.json.decode(pair.value)
            return value if isinstance(value, str) else None
    return None
