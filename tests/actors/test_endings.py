"""Ends that no container made."""

from __future__ import annotations

from msgspec import UNSET

from actors import endings
from messages.record import record_of
from tests.support.actor_bench import action, message


def test_an_end_without_a_run_is_upstreams_fallback_record() -> None:
    """Start and end are the same moment, the kind is unknown, the error is the result."""
    finished = endings.failed(message(), None, 3, "no", 5000, 2)
    record = record_of(message(), finished, [])
    assert (record.start, record.end, record.duration, record.version) == (5000, 5000, 0, "0.0.1")
    assert bytes(record.response.result) == b'{"error":"no"}'
    annotations = {pair.key: pair.value for pair in record.annotations}
    assert annotations == {"path": "guest/hello", "kind": "unknown", "attempts": 2}


def test_an_end_of_a_known_action_tells_its_kind_and_limits() -> None:
    """As far as they are known."""
    finished = endings.failed(message(), action(memory=512), 3, "no", 5000)
    assert (finished.kind, finished.version) == ("python:3", "0.0.1")
    assert finished.limits is not UNSET
    assert finished.limits.memory == 512


def test_texts_name_what_people_need() -> None:
    """Ages, sizes and counts."""
    assert "90 seconds" in endings.too_old(90_000, 60)
    assert "4096 MB" in endings.too_large(4096, 2048)
    assert "2048 MB" in endings.too_large(4096, 2048)
    assert "3 times" in endings.GIVEN_UP.format(attempts=3)


def test_lost_logs_are_one_line_as_upstream_writes_it() -> None:
    """Time, stream, text."""
    (line,) = endings.logs_lost(1_000)
    assert line == "1970-01-01T00:00:01.000000000Z stderr: There was an issue while collecting your logs. Data might be missing."
