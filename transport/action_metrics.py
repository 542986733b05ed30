"""Metrics by action, under the names of OpenWhisk's monitoring service, so that dashboards made for it show this node.

Names and labels: openwhisk-controller.md 9.3. `namespace` is the action's, `initiator` the caller's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from msgspec import UNSET
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from messages.events import Finished
from messages.wire import ActivationMessage
from transport.times import Times

MOST = 1000
"""Actions counted apart; what comes beyond is counted as action `other`, so that names can't fill the memory."""

STATUS = ("success", "application_error", "action_developer_error", "whisk_internal_error")
"""Upstream's names of the status codes in metrics (openwhisk-invoker.md 2.5)."""

LABELS = ["namespace", "initiator", "action"]
Key = tuple[str, str, str]


class _Action:
    """What is counted of one action for one caller."""

    __slots__ = ("bytes", "codes", "cold", "duration", "ended", "init", "memory", "statuses", "wait")

    def __init__(self) -> None:
        self.ended: Counter[tuple[str, str]] = Counter()
        self.statuses: Counter[int] = Counter()
        self.codes: Counter[str] = Counter()
        self.cold = 0
        self.memory = 0
        self.bytes = 0.0
        self.wait, self.init, self.duration = Times(), Times(), Times()


class ActionMetrics:
    """`add` for each activation that has ended, `collect` for each scrape."""

    def __init__(self) -> None:
        self._actions: dict[Key, _Action] = {}

    def add(self, finished: Finished, message: ActivationMessage) -> None:
        """Count one."""
        counted = self._counted(message)
        memory = 0 if finished.limits is UNSET else finished.limits.memory
        counted.ended[finished.kind, str(memory)] += 1
        counted.statuses[finished.status_code] += 1
        counted.memory = memory
        counted.bytes += 0 if finished.size is UNSET else finished.size
        counted.duration.add(max(0, finished.end - finished.start))
        if finished.wait_time is not UNSET:
            counted.wait.add(finished.wait_time)
        if finished.init_time is not UNSET:
            counted.cold += 1
            counted.init.add(finished.init_time)
        if (code := user_code(finished)) is not None:
            counted.codes[code] += 1

    def _counted(self, message: ActivationMessage) -> _Action:
        namespace, _, action = message.action.fqn.partition("/")
        key = (namespace, message.user.namespace.name, action)
        if key not in self._actions and len(self._actions) >= MOST:
            key = ("other", "other", "other")
        found = self._actions.get(key)
        if found is None:
            found = self._actions[key] = _Action()
        return found

    def collect(self) -> Iterator[Metric]:
        """All families."""
        ended = CounterMetricFamily("openwhisk_action_activations", "Activations that ended", labels=[*LABELS, "kind", "memory"])
        status = CounterMetricFamily("openwhisk_action_status", "How they ended", labels=[*LABELS, "status"])
        codes = CounterMetricFamily("openwhisk_action_status_code", "Status codes that actions gave", labels=[*LABELS, "status"])
        cold = CounterMetricFamily("openwhisk_action_coldStarts", "Activations that waited for /init", labels=LABELS)
        memory = GaugeMetricFamily("openwhisk_action_memory", "Memory limit in MB", labels=LABELS)
        size = CounterMetricFamily("openwhisk_action_response_size_bytes", "Bytes of results", labels=LABELS)
        times = {
            name: HistogramMetricFamily(f"openwhisk_action_{name}_seconds", text, labels=LABELS)
            for name, text in (("waitTime", "Request to user code"), ("initTime", "/init"), ("duration", "Init and run"))
        }
        for key, each in self._actions.items():
            for (kind, limit), count in each.ended.items():
                ended.add_metric([*key, kind, limit], count)
            for code, count in each.statuses.items():
                status.add_metric([*key, STATUS[code] if 0 <= code < len(STATUS) else str(code)], count)
            for given, count in each.codes.items():
                codes.add_metric([*key, given], count)
            cold.add_metric(list(key), each.cold)
            memory.add_metric(list(key), each.memory)
            size.add_metric(list(key), each.bytes)
            for name, found in (("waitTime", each.wait), ("initTime", each.init), ("duration", each.duration)):
                times[name].add_metric(list(key), found.buckets(), found.total())
        yield from (ended, status, codes, cold, memory, size, *times.values())


def user_code(finished: Finished) -> str | None:
    """The `statusCode` that an action put into its result or its error, 400 for one that is no number; None without one."""
    if finished.result is UNSET or b'"statusCode"' not in bytes(finished.result):
        return None
    result = json.loads(bytes(finished.result))
    for place in (result, result.get("error") if isinstance(result, dict) else None):
        if isinstance(place, dict) and "statusCode" in place:
            given = place["statusCode"]
            return str(given) if isinstance(given, int) and not isinstance(given, bool) else "400"
    return None
