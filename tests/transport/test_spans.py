"""Spans reach a collector as OpenTelemetry's own messages; without the extra, or without a collector, nothing breaks."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from config.errors import ConfigError
from transport.history import Past
from transport.spans import open_spans

PAST = Past("a" * 32, "guest", "guest/hello", 1, "cold", 1, 10_000, {"queue": 5.0, "create": 20.0, "run": 30.0, "commit": 2.0})


class Collector:
    def __init__(self) -> None:
        self.got: list[ExportTraceServiceRequest] = []
        self.server = HTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def handler(self) -> type[BaseHTTPRequestHandler]:
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                got.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_an_activation_is_a_span_and_its_stages_are_children(collector: Collector) -> None:
    """One after another, from the request to the durable end."""
    spans = open_spans(collector.url, "invoker0")
    assert spans is not None
    spans.add(PAST)
    spans.close()
    groups = [group for request in collector.got for group in request.resource_spans]
    sent = [span for group in groups for scope in group.scope_spans for span in scope.spans]
    whole = next(span for span in sent if span.name == "guest/hello")
    attributes = {each.key: each.value for each in whole.attributes}
    assert attributes["openwhisk.activation_id"].string_value == "a" * 32
    assert whole.status.code == 2
    parts = sorted((span for span in sent if span is not whole), key=lambda span: span.start_time_unix_nano)
    assert [span.name for span in parts] == ["queue", "create", "run", "commit"]
    assert all(span.parent_span_id == whole.span_id for span in parts)
    assert (whole.start_time_unix_nano, parts[-1].end_time_unix_nano) == (9_945_000_000, 10_002_000_000)
    assert [a.end_time_unix_nano for a in parts[:-1]] == [b.start_time_unix_nano for b in parts[1:]]


def test_a_collector_that_is_gone_costs_spans_alone() -> None:
    """The end of a node does not wait for it for long."""
    spans = open_spans("http://127.0.0.1:9", "invoker0")
    assert spans is not None
    spans.add(PAST)
    spans.close()


def test_without_the_extra_it_is_said_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only if somebody asks for it."""
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert open_spans(None, "invoker0") is None
    with pytest.raises(ConfigError, match=r"pip install -r requirements-otlp\.txt"):
        open_spans("http://127.0.0.1:4318", "invoker0")
