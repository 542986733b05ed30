"""System limits of the API: OpenWhisk's defaults (its application.conf), where the settings don't say otherwise."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from config.settings import Settings

MB = 1 << 20


class Bounds(Struct, frozen=True):
    """Smallest, standard and largest value of an action limit."""

    min: int
    std: int
    max: int


class SystemLimits(Struct, frozen=True):
    """Timeouts in ms, memory and logs in MB, sizes in bytes, rates per namespace (None: not limited)."""

    timeout: Bounds = Bounds(100, 60_000, 300_000)
    memory: Bounds = Bounds(128, 256, 512)
    logs: Bounds = Bounds(0, 10, 10)
    concurrency: Bounds = Bounds(1, 1, 1)
    payload: int = MB
    truncation: int = MB
    parameters: int = MB
    annotations: int = MB
    exec_size: int = 48 * MB
    body: int = 50 * MB
    uri: int = 8 << 10
    body_timeout: float = 30.0
    blocking_wait: int = 60_000
    sequence_length: int = 50
    list_default: int = 30
    list_max: int = 200
    invocations_per_minute: int | None = None
    concurrent_invocations: int | None = None
    fires_per_minute: int | None = None


CLUSTER_RATES = {"invocations_per_minute": 60, "concurrent_invocations": 30, "fires_per_minute": 60}
"""Upstream's defaults: what a cluster allows each namespace unless its settings say otherwise."""


def system_limits(settings: Settings, *, cluster: bool = False) -> SystemLimits:
    """The limits that these settings ask for. A standard value is never above its maximum."""
    rates: dict[str, Any] = {
        "invocations_per_minute": settings.invocations_per_minute,
        "concurrent_invocations": settings.concurrent_invocations,
        "fires_per_minute": settings.fires_per_minute,
    }
    if cluster:
        rates |= {name: rate for name, rate in CLUSTER_RATES.items() if name not in settings.given}

    def bounds(low: int, standard: int, high: int) -> Bounds:
        return Bounds(min(low, high), min(standard, high), high)

    return SystemLimits(
        timeout=bounds(100, 60_000, round(settings.max_action_timeout * 1000)),
        memory=bounds(128, 256, settings.max_action_memory),
        logs=bounds(0, 10, settings.max_action_logs),
        concurrency=bounds(1, 1, settings.max_concurrency),
        blocking_wait=round(settings.blocking_wait * 1000),
        body_timeout=settings.body_timeout,
        **rates,
    )
