"""Histograms of milliseconds, as plain numbers until somebody asks."""

from __future__ import annotations

from bisect import bisect_left

from prometheus_client.core import HistogramMetricFamily, Metric

BUCKETS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000)
"""Upper bounds in ms."""


class Times:
    """A histogram of milliseconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def add(self, ms: float) -> None:
        """Count one."""
        self._counts[bisect_left(BUCKETS, ms)] += 1
        self._sum += ms

    def family(self, name: str, text: str) -> Metric:
        """As Prometheus has it: seconds, cumulative."""
        return HistogramMetricFamily(name, text, buckets=self.buckets(), sum_value=self.total())

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound in seconds → how many were not above it."""
        total, buckets = 0, []
        for bound, count in zip([*(f"{bound / 1000:g}" for bound in BUCKETS), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets

    def total(self) -> float:
        """Their sum in seconds."""
        return self._sum / 1000
