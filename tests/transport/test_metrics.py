"""What is counted, and how Prometheus gets to see it."""

from __future__ import annotations

import pytest
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from messages.events import Finished
from messages.wire import Limits
from tests.console.test_status import STATUS
from tests.support.actor_bench import message
from transport.action_metrics import user_code
from transport.metrics import Metrics
from transport.times import BUCKETS


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


def test_actions_are_counted_under_upstreams_names() -> None:
    """By the action's namespace, its caller and its name."""
    metrics = Metrics()
    first = Finished("0" * 32, 0, 0, start=1000, end=1040, wait_time=3, init_time=20, kind="python:3", size=7, limits=Limits())
    metrics.observe("finished", {"finished": first, "message": message()})
    result = Raw(b'{"error": {"statusCode": 418}}')
    second = Finished("1" * 32, 0, 1, start=1000, end=1004, result=result, kind="python:3", limits=Limits())
    metrics.observe("finished", {"finished": second, "message": message()})
    shown = lines(metrics)
    labels = 'action="hello",initiator="guest",namespace="guest"'
    ended = 'action="hello",initiator="guest",kind="python:3",memory="256",namespace="guest"'
    assert shown[f"openwhisk_action_activations_total{{{ended}}}"] == 2
    assert shown[f"openwhisk_action_coldStarts_total{{{labels}}}"] == 1
    assert shown[f'openwhisk_action_status_total{{{labels},status="application_error"}}'] == 1
    assert shown[f'openwhisk_action_status_code_total{{{labels},status="418"}}'] == 1
    assert shown[f"openwhisk_action_duration_seconds_sum{{{labels}}}"] == 0.044
    assert shown[f"openwhisk_action_response_size_bytes_total{{{labels}}}"] == 7
    assert shown["histogram_invoker_activationInit_finish_seconds_count"] == 1


def test_names_can_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes beyond the bound is one action more, called other."""
    monkeypatch.setattr("transport.action_metrics.MOST", 2)
    metrics = Metrics()
    for name in ("a", "b", "c", "d", "a"):
        called = replace(message(), action=replace(message().action, name=name))
        metrics.observe("finished", {**finished(1), "message": called})
    found = {name: value for name, value in lines(metrics).items() if name.startswith("openwhisk_action_activations_total")}
    assert sorted(name.split('"')[1] for name in found) == ["a", "b", "other"]
    assert sum(found.values()) == 5


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (b'{"statusCode": 204}', "204"), (b'{"error": {"statusCode": 500}}', "500"), (b'{"statusCode": "no"}', "400"),
        (b'{"statusCode": true}', "400"), (b'{"x": "\\"statusCode\\""}', None), (b"[]", None),
        (b'["statusCode"]', None), (UNSET, None),
    ],
)  # fmt: skip
def test_the_code_that_an_action_gave(result: bytes | UnsetType, code: str | None) -> None:
    """Its own, or its error's; 400 where it is no number."""
    raw = UNSET if isinstance(result, UnsetType) else Raw(result)
    assert user_code(Finished("0" * 32, 0, 0, start=0, end=1, result=raw)) == code


def test_the_state_as_gauges() -> None:
    """Of a node that runs, and of one that starts."""
    shown = lines(Metrics(status=lambda: {**STATUS, "parts": {"store": None, "disk": "full"}}))
    assert shown['rewhisk_pool_memory_megabytes{state="busy"}'] == 512
    assert shown['rewhisk_pool_containers{state="prewarm"}'] == 1
    assert (shown["gauge_containerPool_activeCount_counter"], shown["gauge_containerPool_activeSize_counter"]) == (1, 512)
    assert (shown["rewhisk_queued_activations"], shown["rewhisk_running_activations"]) == (2, 8)
    assert (shown["rewhisk_journal_waiting_events"], shown["rewhisk_journal_commit_seconds"]) == (4, 0.0015)
    assert [shown[f'rewhisk_part_healthy{{part="{part}"}}'] for part in ("store", "disk")] == [1, 0]
    assert lines(Metrics(status=lambda: {"ready": False}))["rewhisk_ready"] == 0
