"""The node's state as Prometheus gauges, read off the document of `/admin/status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

UPSTREAM = {"busy": "active", "idle": "idles", "prewarm": "prewarm"}
"""State of containers → its part of upstream's gauges (openwhisk-controller.md 9.2)."""


def gauges(status: Mapping[str, Any]) -> Iterator[Metric]:
    """What a state tells; nothing while the node starts."""
    ready = GaugeMetricFamily("rewhisk_ready", "1 if new work is taken")
    ready.add_metric([], float(status.get("ready") is True))
    yield ready
    if "memory" not in status:
        return
    yield from _pool(status)
    waiting = GaugeMetricFamily("rewhisk_queued_activations", "Accepted and waiting for a container")
    waiting.add_metric([], sum(queue["waiting"] for queue in status["queued"]))
    running = GaugeMetricFamily("rewhisk_running_activations", "In a container")
    running.add_metric([], status["running"])
    yield from (waiting, running)
    yield from _journal(status["journal"])
    healthy = GaugeMetricFamily("rewhisk_part_healthy", "1 if nothing is wrong with it", labels=["part"])
    for name, problem in status["parts"].items():
        healthy.add_metric([name], float(problem is None))
    yield healthy


def _pool(status: Mapping[str, Any]) -> Iterator[Metric]:
    memory = GaugeMetricFamily("rewhisk_pool_memory_megabytes", "Memory of containers", labels=["state"])
    count = GaugeMetricFamily("rewhisk_pool_containers", "Containers", labels=["state"])
    counts = Counter(container["state"] for container in status["containers"])
    for state, used in status["memory"].items():
        if state in ("total", "used"):
            continue
        memory.add_metric([state], used)
        count.add_metric([state], counts[state])
    total = GaugeMetricFamily("rewhisk_pool_memory_limit_megabytes", "Memory for all containers")
    total.add_metric([], status["memory"]["total"])
    yield from (memory, count, total)
    for state, name in UPSTREAM.items():
        for what, value in (("Count", counts[state]), ("Size", status["memory"].get(state, 0))):
            family = GaugeMetricFamily(f"gauge_containerPool_{name}{what}_counter", f"Upstream's name of the pool's {state}")
            family.add_metric([], value)
            yield family


def _journal(journal: Mapping[str, Any]) -> Iterator[Metric]:
    for name, text, value in (
        ("documents", "Number of the newest document", journal["documents"]),
        ("waiting_events", "Events not yet durable", journal["waiting"]),
        ("commit_seconds", "How long the newest commit took", journal["commit_ms"] / 1000),
        ("stalled_seconds", "How long the commit under way has had no answer", journal["stalled"]),
    ):
        family = GaugeMetricFamily(f"rewhisk_journal_{name}", text)
        family.add_metric([], value)
        yield family
