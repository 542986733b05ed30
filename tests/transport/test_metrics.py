"""What is counted, and how Prometheus gets to see it."""

from __future__ import annotations

import pytest

from messages.events import Finished
from transport.metrics import BUCKETS, Metrics


def finished(ms: int, status_code: int = 0, wait: int = 3) -> dict[str, object]:
    return {"finished": Finished("0" * 32, 0, status_code, start=1000, end=1000 + ms, wait_time=wait)}


def lines(metrics: Metrics) -> dict[str, float]:
    shown = (line.rsplit(" ", 1) for line in metrics.text().decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in shown}


def test_counts_by_what_happened() -> None:
    """Ends by status, starts by kind, failures by actor; what never happened is zero."""
    metrics = Metrics(live=lambda: 7)
    metrics.observe("finished", finished(4))
    metrics.observe("finished", finished(9, 2))
    metrics.observe("placed", {"start": "warm"})
    metrics.observe("actor failed", {"actor": "LogReader"})
    metrics.observe("start failed", {})
    metrics.observe("something else", {})
    shown = lines(metrics)
    assert shown['rewhisk_activations_total{status="success"}'] == 1
    assert shown['rewhisk_activations_total{status="action_developer_error"}'] == 1
    assert shown['rewhisk_activations_total{status="whisk_internal_error"}'] == 0
    assert shown['rewhisk_container_starts_total{start="warm"}'] == 1
    assert shown['rewhisk_actor_failures_total{actor="LogReader"}'] == 1
    assert shown["rewhisk_containers_not_created_total"] == 1
    assert shown["rewhisk_live_activations"] == 7


def test_cold_starts_by_stage() -> None:
    """What each stage took, also one that no table names."""
    metrics = Metrics()
    for create in (10.5, 20.5):
        metrics.observe("up", {"stages": {"create": create, "start": 110.0, "thaw": 1.0}})
    shown = lines(metrics)
    assert shown['rewhisk_cold_start_seconds_sum{stage="create"}'] == 0.031
    assert shown['rewhisk_cold_start_seconds_bucket{le="0.025",stage="create"}'] == 2
    assert shown['rewhisk_cold_start_seconds_count{stage="thaw"}'] == 2
    assert shown['rewhisk_cold_start_seconds_count{stage="init"}'] == 0


@pytest.mark.parametrize("ms", [0, 1, 2, 3, 299_999, 300_000, 300_001])
def test_histograms_are_cumulative(ms: int) -> None:
    """A bucket counts what is at most its bound, in seconds; the last one everything."""
    metrics = Metrics()
    metrics.observe("finished", finished(ms))
    shown = lines(metrics)
    for bound in BUCKETS:
        assert shown[f'rewhisk_duration_seconds_bucket{{le="{bound / 1000:g}"}}'] == (ms <= bound)
    assert shown['rewhisk_duration_seconds_bucket{le="+Inf"}'] == shown["rewhisk_duration_seconds_count"] == 1
    assert shown["rewhisk_duration_seconds_sum"] == ms / 1000
