"""A controller's Prometheus metrics: what it sent by which way, how it ended, the invokers' states and room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sized

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.balancer.balancer import Balancer


class ClusterMetrics(Collector):
    """`observe` is an Instrument; what `watch` was given is asked at each scrape."""

    def __init__(self) -> None:
        self._sent: Counter[str] = Counter({"http": 0, "kafka": 0})
        self._ended: Counter[str] = Counter({"success": 0, "system error": 0, "timeout": 0})
        self._http_failed: Counter[str] = Counter({"certain": 0, "unknown": 0})
        self._no_invoker = 0
        self._kafka_failed = 0
        self._balancer: Balancer | None = None
        self._waiting: Sized = ()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def watch(self, balancer: Balancer, waiting: Sized) -> None:
        """Whom to ask."""
        self._balancer, self._waiting = balancer, waiting

    def observe(self, step: str, facts: Mapping[str, object]) -> None:
        """Take one step."""
        if step == "sent":
            self._sent[str(facts["by"])] += 1
        elif step == "ended":
            self._ended[str(facts["outcome"])] += 1
        elif step == "http failed":
            self._http_failed["certain" if facts["certain"] else "unknown"] += 1
        elif step == "no invoker":
            self._no_invoker += 1
        elif step == "kafka reading failed":
            self._kafka_failed += 1

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        yield _counters("rewhisk_controller_sent", "Activations given to invokers, by way", "way", self._sent)
        yield _counters("rewhisk_controller_ended", "Activations that ended, as invokers are judged by", "outcome", self._ended)
        yield _counters("rewhisk_controller_http_failed", "Requests to nodes without a receipt", "kind", self._http_failed)
        yield CounterMetricFamily("rewhisk_controller_no_invoker", "Invocations refused for want of one", value=self._no_invoker)
        yield CounterMetricFamily("rewhisk_controller_kafka_failures", "Readings that began anew", value=self._kafka_failed)
        yield GaugeMetricFamily("rewhisk_controller_waiting", "Activations that callers wait for", value=len(self._waiting))
        if self._balancer is not None:
            yield from self._of_balancer(self._balancer)

    def text(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self._registry)

    @staticmethod
    def _of_balancer(balancer: Balancer) -> Iterator[Metric]:
        yield GaugeMetricFamily("rewhisk_controllers", "Controllers that share the load", value=balancer.controllers)
        yield GaugeMetricFamily("rewhisk_controller_in_flight", "Sent and not known to have ended", value=balancer.in_flight())
        yield CounterMetricFamily("rewhisk_controller_overloads", "Sent although no invoker had room", value=balancer.overloads)
        states = Counter(str(each.health.state) for each in balancer.invokers)
        found = GaugeMetricFamily("rewhisk_controller_invokers", "Invokers by state", labels=["state"])
        for state in ("up", "unhealthy", "unresponsive", "down"):
            found.add_metric([state], states[state])
        yield found
        room = GaugeMetricFamily("rewhisk_controller_memory_bytes", "Memory of usable invokers, by use", labels=["use"])
        usable = [each.slots for each in balancer.invokers if each.health.usable]
        room.add_metric(["used"], sum(slots.used for slots in usable) << 20)
        room.add_metric(["total"], sum(slots.total for slots in usable) << 20)
        yield room


def _counters(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
