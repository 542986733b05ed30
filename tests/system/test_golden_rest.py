"""What a real OpenWhisk answered, replayed against a whole node that runs the recorded actions as processes."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.golden_replay import DEVIATIONS, GOLDEN, GROUPS, KEYS, THROTTLE_GROUPS, replay, rows
from tests.system.conftest import ROOT, NodeProcess, StartNode

SETTINGS = (
    "--driver", "process", "--auth", "guest", "--cors", "*", "--runtimes", str(GOLDEN / "golden-runtimes.json"),
    "--max-concurrency", "1", "--concurrent-invocations", "100",
)  # fmt: skip
"""As the recording was made: its manifest, one activation a container, 100 concurrent invocations."""

THROTTLED = (*SETTINGS[:-2], "--invocations-per-minute", "3", "--concurrent-invocations", "2", "--fires-per-minute", "3")
"""As the groups of throttles were recorded."""


def _add_namespace(node: NodeProcess, name: str) -> None:
    command = [sys.executable, str(ROOT / "run.py"), "user", "create", name, "--auth", KEYS[name], "--data-dir", str(node.data_dir)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


@pytest.mark.parametrize("group", GROUPS)
def test_group_is_answered_as_recorded(start_node: StartNode, group: str) -> None:
    """Every exchange of the group is answered as OpenWhisk did, apart from the deviations on purpose, all of which are used."""
    node = start_node(*SETTINGS)
    _add_namespace(node, "other")
    _replay(node, group)


def test_throttles_are_answered_as_recorded(start_node: StartNode) -> None:
    """Both groups at once, each against a node of its own, since they wait for the next minute of the clock."""
    nodes = [start_node(*THROTTLED) for _ in THROTTLE_GROUPS]
    for node in nodes:
        _add_namespace(node, "other")
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(_replay, nodes, THROTTLE_GROUPS))


def _replay(node: NodeProcess, group: str) -> None:
    good, wrong = replay(*node.address, group)
    expected = {name.partition("/")[2] for name in DEVIATIONS if name.partition("/")[0] == group}
    report = "\n".join(f"{group}/{name}: {text}" for name, text in wrong.items() if name not in expected)
    assert not report, report
    assert set(wrong) == expected, "a deviation that is none any more"
    assert good == len(list(rows(group))) - len(expected)


def test_every_deviation_is_documented() -> None:
    """What is answered otherwise on purpose is a line of the compatibility page, and an exchange that exists."""
    page = Path(ROOT, "docs", "compatibility.md").read_text()
    for name in DEVIATIONS:
        group, _, exchange = name.partition("/")
        assert f"`{name}`" in page
        assert group in GROUPS
        assert exchange in {row["name"] for row in rows(group)}
