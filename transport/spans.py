"""OpenTelemetry spans of activations, an optional extra: one span an activation, its stages as children, sent by OTLP over HTTP.

Sending is the library's own thread's; a collector that is slow or gone costs spans, never activations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from config.errors import ConfigError
from transport.history import Past

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

EXTRA = "the libraries for it are an extra: pip install -r requirements-otlp.txt"
NS = 1_000_000
"""Nanoseconds of a millisecond."""

PATIENCE = 2_000
"""Milliseconds that the end of a node waits for spans to be sent."""


class Exporter(Protocol):
    """Takes activations that have ended."""

    def add(self, past: Past) -> None:
        """One more."""

    def close(self) -> None:
        """Send what is left, at most PATIENCE long."""


def open_spans(endpoint: str | None, node: str) -> Exporter | None:
    """An exporter to `endpoint` (http://HOST:4318), None without one. Raises ConfigError if the extra isn't installed."""
    if not endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError([f"otlp: {EXTRA}"]) from None
    provider = TracerProvider(resource=Resource.create({"service.name": "rewhisk", "service.instance.id": node}))
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=PATIENCE / 1000)
    provider.add_span_processor(BatchSpanProcessor(exporter))

    def close() -> None:
        provider.force_flush(PATIENCE)
        provider.shutdown()

    return Spans(provider.get_tracer("rewhisk"), close)


class Spans:
    """An Exporter on a tracer."""

    def __init__(self, tracer: Tracer, close: Callable[[], None]) -> None:
        self._tracer = tracer
        self._close = close

    def add(self, past: Past) -> None:
        """Exporter.add."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        start = past.end - sum(took for stage, took in past.stages.items() if stage != "commit")
        attributes: dict[str, Any] = {
            "openwhisk.activation_id": past.id, "openwhisk.namespace": past.namespace, "openwhisk.status_code": past.status_code,
            "openwhisk.start": past.start, "openwhisk.attempts": past.attempts,
        }  # fmt: skip
        whole = self._tracer.start_span(past.action, start_time=round(start * NS), attributes=attributes)
        if past.status_code:
            whole.set_status(Status(StatusCode.ERROR))
        context = set_span_in_context(whole)
        at = start
        for stage, took in past.stages.items():
            span = self._tracer.start_span(stage, context, start_time=round(at * NS))
            at += took
            span.end(round(at * NS))
        whole.end(round(at * NS))

    def close(self) -> None:
        """Exporter.close."""
        self._close()
