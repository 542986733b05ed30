"""Idle containers of a real node are frozen after the grace time and thawed for the next run, with both drivers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.crash.node import Node, request, until
from tests.crash.test_docker import own_runtimes

CODE = "def main(args):\n    print('ran')\n    return {'n': args['n']}\n"


def freezes(node: Node) -> dict[str, float]:
    """What the node's metrics say of freezing."""
    key = (node.data_dir / "admin.key").read_text().strip()
    text = request(node.url, "GET", "/metrics", headers={"Authorization": f"Bearer {key}"}).body
    found = re.findall(r'^rewhisk_container_freezes_total\{result="(\w+)"\} (\S+)', text, re.MULTILINE)
    return {result: float(value) for result, value in found}


@pytest.mark.parametrize("driver", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_frozen_when_idle_and_warm_all_the_same(driver: str, tmp_path: Path) -> None:
    """Frozen again and again, each next run finds it initialised, with its logs; a frozen one is no hindrance to the end."""
    flags = ("--driver", driver, "--runtimes", own_runtimes(tmp_path), "--action-network", "none")
    with Node(tmp_path / "data", *flags, environment={"REWHISK_PAUSE_GRACE": "0.1s"}) as node:
        node.wait_ready()
        node.put_action("work", "python:3", CODE)
        for n in range(3):
            record = node.api("POST", "actions/work?blocking=true", {"n": n}).body
            assert record["response"]["result"] == {"n": n}
            assert ("initTime" in {each["key"] for each in record["annotations"]}) is (n == 0)
            until(lambda n=n: freezes(node)["paused"] == n + 1, 30, lambda: f"{freezes(node)} {node.output}")
        assert freezes(node) == {"paused": 3, "resumed": 2, "failed": 0}
        assert len(node.api("GET", f"activations/{record['activationId']}").body["logs"]) == 1
        ended = node.stop()
    assert (ended.code, ended.left) == (0, [])
