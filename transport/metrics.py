"""Prometheus metrics, fed by the core's instrument: plain numbers when something happens, families when somebody scrapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import UNSET
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from messages.events import Finished
from messages.wire import ActivationMessage
from transport.action_metrics import STATUS, ActionMetrics
from transport.gauges import gauges
from transport.times import Times

STAGES = ("queue", "network", "create", "start", "ready", "init")
"""Of a cold start, in their order: waiting for a turn, the network's part, the engine's two, the runtime's boot, /init."""

KAFKA = {
    "posted": "taken", "unreadable": "unreadable", "ack shrunk": "ack_shrunk", "ack failed": "ack_failed",
    "event lost": "event_lost", "kafka reading failed": "reading_failed",
}  # fmt: skip
"""Step of the core → label of the counter."""


UPSTREAM_STARTS = {"warm": "warmed", "prewarmed": "prewarmed", "cold": "cold"}


class Metrics(Collector):
    """Counts what the core does. `observe` is an Instrument; `live` and `status`, the node's state, are asked at each scrape."""

    def __init__(self, live: Callable[[], int] = lambda: 0, status: Callable[[], Mapping[str, Any]] = dict) -> None:
        self._live = live
        self._status = status
        self._ended = [0] * len(STATUS)
        self._starts = dict.fromkeys(("warm", "prewarmed", "cold"), 0)
        self._actor_failures: Counter[str] = Counter()
        self._not_created = 0
        self._composed: Counter[str] = Counter()
        self._freezes: Counter[str] = Counter({"paused": 0, "resumed": 0, "failed": 0})
        self._kafka: Counter[str] = Counter(dict.fromkeys(KAFKA.values(), 0))
        self._gone = 0
        self._invoked: Counter[str] = Counter({"200": 0})
        self._wait, self._run = Times(), Times()
        self._actions = ActionMetrics()
        self._stages: dict[str, Times] = {name: Times() for name in STAGES}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def observe_composition(self, step: str, facts: Mapping[str, object]) -> None:
        """Take one step of the composer: its activations ran nothing themselves, so their times are no runs."""
        if step == "finished":
            finished = facts["finished"]
            assert isinstance(finished, Finished)
            self._composed[finished.kind if finished.whole is UNSET else finished.whole.form] += 1

    def observe(self, step: str, facts: Mapping[str, object]) -> None:
        """Take one step of the core."""
        if step == "finished":
            self._finished(facts["finished"], facts.get("message"))
        elif step == "placed":
            self._starts[str(facts["start"])] += 1
        elif step == "up":
            stages = facts["stages"]
            assert isinstance(stages, dict)
            for name, ms in stages.items():
                self._stages.setdefault(name, Times()).add(ms)
        elif step == "actor failed":
            self._actor_failures[str(facts["actor"])] += 1
        elif step == "start failed":
            self._not_created += 1
        elif step in KAFKA:
            self._kafka[KAFKA[step]] += int(str(facts.get("count", 1)))
        elif step == "kafka position":
            self._gone += int(str(facts["gone"]))
        elif step == "invoked":
            self._invoked[str(facts["status"])] += 1
        elif step in ("paused", "resumed"):
            self._freezes[step if facts["done"] else "failed"] += 1

    def _finished(self, finished: object, message: object) -> None:
        assert isinstance(finished, Finished)
        self._ended[finished.status_code] += 1
        self._run.add(finished.end - finished.start)
        if isinstance(finished.wait_time, int):
            self._wait.add(finished.wait_time)
        if isinstance(finished.init_time, int):
            self._stages["init"].add(finished.init_time)
        if isinstance(message, ActivationMessage):
            self._actions.add(finished, message)

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        yield _counters("rewhisk_activations", "Activations that ended", "status", dict(zip(STATUS, self._ended, strict=True)))
        yield _counters("rewhisk_container_starts", "Runs by how they got a container", "start", self._starts)
        yield _counters("rewhisk_actor_failures", "Actors that failed", "actor", self._actor_failures)
        yield _counters("rewhisk_container_freezes", "Idle containers frozen and thawed again", "result", self._freezes)
        yield _counters("rewhisk_compositions", "Sequences, conductors and fired triggers that ended", "form", self._composed)
        yield CounterMetricFamily("rewhisk_containers_not_created", "Failed creations", value=self._not_created)
        yield _counters("rewhisk_kafka_events", "Messages of the node's topic and what befell them", "event", self._kafka)
        yield CounterMetricFamily("rewhisk_kafka_messages_gone", "Messages that were deleted unread", value=self._gone)
        yield _counters("rewhisk_invoke_requests", "Requests at /invoke", "status", self._invoked)
        yield GaugeMetricFamily("rewhisk_live_activations", "Accepted and not over", value=self._live())
        cold = HistogramMetricFamily("rewhisk_cold_start_seconds", "Making a container ready for its first run", labels=["stage"])
        for name, times in self._stages.items():
            cold.add_metric([name], times.buckets(), times.total())
        yield cold
        yield self._wait.family("rewhisk_wait_seconds", "From the request to user code")
        yield self._run.family("rewhisk_duration_seconds", "Init and run of an activation")
        yield self._run.family("histogram_invoker_activationRun_finish_seconds", "Upstream's name of rewhisk_duration_seconds")
        init = self._stages["init"]
        yield init.family("histogram_invoker_activationInit_finish_seconds", "Upstream's name of the stage init")
        starts = {UPSTREAM_STARTS[start]: count for start, count in self._starts.items()}
        name = "counter_invoker_containerStart_counter"
        yield _counters(name, "Upstream's name of rewhisk_container_starts", "containerState", starts)
        yield from self._actions.collect()
        yield from gauges(self._status())

    def text(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self._registry)


def _counters(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
