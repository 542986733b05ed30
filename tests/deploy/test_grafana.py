"""The Grafana dashboard shows what the node has: every metric that it asks for is one that the node gives."""

from __future__ import annotations

import importlib.util
import json
import re
from typing import Any

from messages.events import Finished
from messages.wire import Limits
from tests.console.test_status import STATUS
from tests.fences import ROOT
from tests.support.actor_bench import message
from transport.metrics import Metrics

PLACE = ROOT / "deploy" / "grafana"


def made() -> Any:
    spec = importlib.util.spec_from_file_location("make_dashboard", PLACE / "make_dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dashboard()


def test_the_file_is_the_table() -> None:
    """`python deploy/grafana/make_dashboard.py` writes it again."""
    assert json.loads((PLACE / "rewhisk.json").read_text()) == made()


def test_every_metric_is_given() -> None:
    """With the labels that it is asked by."""
    metrics = Metrics(status=lambda: {**STATUS, "parts": {"store": None}})
    ended = Finished("0" * 32, 0, 0, start=1000, end=1040, wait_time=3, init_time=20, kind="python:3", limits=Limits())
    metrics.observe("finished", {"finished": ended, "message": message()})
    text = metrics.text().decode()
    given = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    asked = {
        name
        for panel in made()["panels"]
        for target in panel["targets"]
        for name in re.findall(r"\b(?:rewhisk|openwhisk)_\w+", target["expr"])
    }
    assert len(asked) > 10
    assert asked <= given, asked - given
