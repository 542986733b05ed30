"""Prometheus metrics, fed by the core's instrument."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from messages.commands import Job
from messages.events import Finished

STATUS = ("success", "application_error", "action_developer_error", "whisk_internal_error")
"""Upstream's names of the status codes in metrics (openwhisk-invoker.md 2.5)."""

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Seconds."""


class Metrics:
    """Counts what the core does. `observe` is an Instrument."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._ended = Counter("rewhisk_activations", "Activations that ended", ["status"], registry=self.registry)
        self._starts = Counter("rewhisk_container_starts", "Runs by how they got a container", ["start"], registry=self.registry)
        self._failures = Counter("rewhisk_actor_failures", "Actors that failed", ["actor"], registry=self.registry)
        self._not_created = Counter("rewhisk_containers_not_created", "Failed creations", registry=self.registry)
        self._wait = Histogram(
            "rewhisk_wait_seconds", "From the request to user code", buckets=BUCKETS, registry=self.registry
        )
        self._run = Histogram(
            "rewhisk_duration_seconds", "Init and run of an activation", buckets=BUCKETS, registry=self.registry
        )
        self._by_status = [self._ended.labels(status) for status in STATUS]
        self._by_start = {start: self._starts.labels(start) for start in ("warm", "prewarmed", "cold")}
        self._live = Gauge("rewhisk_live_activations", "Accepted and not over", registry=self.registry)

    def observe(self, step: str, facts: Mapping[str, object]) -> None:
        """Take one step of the core."""
        if step == "finished":
            finished = facts["finished"]
            assert isinstance(finished, Finished)
            self._by_status[finished.status_code].inc()
            self._run.observe((finished.end - finished.start) / 1000)
            if isinstance(finished.wait_time, int):
                self._wait.observe(finished.wait_time / 1000)
        elif step == "placed":
            assert isinstance(facts["job"], Job)
            self._by_start[str(facts["start"])].inc()
        elif step == "actor failed":
            self._failures.labels(str(facts["actor"])).inc()
        elif step == "start failed":
            self._not_created.inc()

    def live_from(self, count: Callable[[], int]) -> None:
        """Where the number of live activations is asked for at each scrape."""
        self._live.set_function(count)

    def text(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self.registry)
