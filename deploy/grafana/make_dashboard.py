"""`python deploy/grafana/make_dashboard.py` writes rewhisk.json beside it: panels are a table, adding one is a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "rewhisk.json"
NODE = 'instance=~"$node"'

PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("Activations per second by how they ended", "ops", (
        (f"sum by (status) (rate(rewhisk_activations_total{{{NODE}}}[1m]))", "{{status}}"),
    )),
    ("Init and run", "s", tuple(
        (f"histogram_quantile({share}, sum by (le) (rate(rewhisk_duration_seconds_bucket{{{NODE}}}[1m])))", name)
        for share, name in ((0.5, "p50"), (0.99, "p99"))
    )),
    ("From the request to user code", "s", tuple(
        (f"histogram_quantile({share}, sum by (le) (rate(rewhisk_wait_seconds_bucket{{{NODE}}}[1m])))", name)
        for share, name in ((0.5, "p50"), (0.99, "p99"))
    )),
    ("Starts per second", "ops", ((f"sum by (start) (rate(rewhisk_container_starts_total{{{NODE}}}[1m]))", "{{start}}"),)),
    ("Cold start by stage, mean", "s", (
        (f"sum by (stage) (rate(rewhisk_cold_start_seconds_sum{{{NODE}}}[5m])) / "
         f"sum by (stage) (rate(rewhisk_cold_start_seconds_count{{{NODE}}}[5m]))", "{{stage}}"),
    )),
    ("Memory of containers", "decmbytes", (
        (f"sum by (state) (rewhisk_pool_memory_megabytes{{{NODE}}})", "{{state}}"),
        (f"sum(rewhisk_pool_memory_limit_megabytes{{{NODE}}})", "limit"),
    )),
    ("Waiting and running", "short", (
        (f"sum(rewhisk_queued_activations{{{NODE}}})", "queued"), (f"sum(rewhisk_running_activations{{{NODE}}})", "running"),
        (f"sum(rewhisk_live_activations{{{NODE}}})", "unfinished"),
    )),
    ("Journal: commit and stall", "s", (
        (f"max by (instance) (rewhisk_journal_commit_seconds{{{NODE}}})", "commit {{instance}}"),
        (f"max by (instance) (rewhisk_journal_stalled_seconds{{{NODE}}})", "stalled {{instance}}"),
    )),
    ("Health of parts", "short", ((f"min by (instance, part) (rewhisk_part_healthy{{{NODE}}})", "{{instance}} {{part}}"),)),
    ("Activations per second by action", "ops", (
        ("topk(10, sum by (namespace, action) (rate(openwhisk_action_activations_total[1m])))", "{{namespace}}/{{action}}"),
    )),
    ("Cold starts per second by action", "ops", (
        ("topk(10, sum by (namespace, action) (rate(openwhisk_action_coldStarts_total[5m])))", "{{namespace}}/{{action}}"),
    )),
    ("Duration by action, p99", "s", (
        ("topk(10, histogram_quantile(0.99, sum by (le, namespace, action) (rate(openwhisk_action_duration_seconds_bucket[5m]))))",
         "{{namespace}}/{{action}}"),
    )),
)  # fmt: skip
"""Title, unit, (expression, legend)."""


def panel(number: int, title: str, unit: str, targets: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """One panel, three in a row."""
    return {
        "id": number + 1, "type": "timeseries", "title": title, "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {"h": 8, "w": 8, "x": number % 3 * 8, "y": number // 3 * 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(65 + i), "expr": expression, "legendFormat": legend} for i, (expression, legend) in enumerate(targets)
        ],
    }  # fmt: skip


def dashboard() -> dict[str, Any]:
    """What Grafana imports."""
    return {
        "title": "rewhisk", "uid": "rewhisk", "schemaVersion": 39, "version": 1, "refresh": "10s", "editable": True,
        "time": {"from": "now-30m", "to": "now"}, "tags": ["openwhisk", "rewhisk"],
        "templating": {"list": [
            {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"},
            {
                "name": "node", "type": "query", "label": "Node", "datasource": {"type": "prometheus", "uid": "${source}"},
                "query": "label_values(rewhisk_ready, instance)", "includeAll": True, "multi": True, "allValue": ".*",
                "current": {"text": "All", "value": "$__all"},
            },
        ]},
        "panels": [panel(number, *each) for number, each in enumerate(PANELS)],
    }  # fmt: skip


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=1) + "\n")
