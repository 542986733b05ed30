"""`kill -9` before and after every step with a Docker container, the first one or a later one; then a restart.

`make crash-full` plays them all; otherwise every step once, the positions and the other factor in turn.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from store.failpoint import CONTAINER_STEPS, STEP_POSITIONS
from tests.crash.node import NoAnswer, Node, until
from tests.crash.test_docker import Engine, engine, flags, foreign, free_port, frozen, installation, running

pytestmark = pytest.mark.docker

FULL = os.environ.get("REWHISK_CRASH_FULL") == "1"
ROUNDS = 4
"""Rounds at most until the place has come where the node ends itself."""
CODE = "runs = 0\ndef main(args):\n    global runs\n    runs += 1\n    print('run')\n    return {'runs': runs}\n"
EXITS = "import os\ndef main(args):\n    os._exit(3)\n"


@dataclass(frozen=True)
class Case:
    """Where it dies: at this step with any container for the first or, `warm`, the second time."""

    step: str
    position: str
    warm: bool

    @property
    def name(self) -> str:
        return f"{self.step}-{self.position}-{'warm' if self.warm else 'cold'}"

    @property
    def failpoint(self) -> str:
        return f"{self.step}:{self.position}:{2 if self.warm and self.step != 'adopt' else 1}"


def cases() -> list[Case]:
    """All, or each step once with half of the others' values each."""
    everything = [Case(*values) for values in product(CONTAINER_STEPS, STEP_POSITIONS, (False, True))]
    if FULL:
        return everything
    return [everything[4 * n + (n + n // 4) % 4] for n in range(len(CONTAINER_STEPS))]


class Work:
    """What was accepted, and work that comes past every step: created, initialised, run, frozen, thawed, removed."""

    def __init__(self) -> None:
        self.accepted: list[str] = []

    def invoke(self, node: Node, name: str) -> None:
        """Until it has ended. Raises NoAnswer if the node does."""
        asked = node.api("POST", f"actions/{name}").body["activationId"]
        self.accepted.append(asked)
        until(lambda: node.api("GET", f"activations/{asked}").status == 200, 60, lambda: node.output)

    def until_frozen(self, node: Node, times: int) -> None:
        until(lambda: frozen(node) >= times, 60, lambda: node.output)

    def go_on(self, node: Node) -> None:
        """Round after round until the node is dead."""
        try:
            for n in range(ROUNDS):
                self.invoke(node, "work")
                self.until_frozen(node, 2 * n + 1)
                self.invoke(node, "work")
                self.until_frozen(node, 2 * n + 2)
                self.invoke(node, "exits")
        except NoAnswer:
            return


def put_actions(node: Node) -> None:
    node.put_action("work", "python:3", CODE)
    node.put_action("exits", "python:3", EXITS)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_killed_at(case: Case, tmp_path: Path, engine: Engine, foreign: str) -> None:
    """Nothing accepted is lost or recorded twice; no container is left that the next process does not know; it works."""
    work, port, options = Work(), free_port(), flags(tmp_path, "bridge" if case.warm else "none")
    environment = {"REWHISK_PAUSE_GRACE": "0.05s"}
    deadly = {**environment, "REWHISK_FAILPOINT": case.failpoint}

    def node(more: dict[str, str]) -> Node:
        return Node(tmp_path / "data", *options, port=port, environment=more)

    if case.step == "adopt":
        with node(environment) as first:
            put_actions(first.wait_ready())
            work.invoke(first, "work")
            if case.warm:
                work.until_frozen(first, 1)
            first.kill()
        with node(deadly) as second:
            assert second.wait_dead().code == -signal.SIGKILL
    else:
        with node(deadly) as first:
            put_actions(first.wait_ready())
            work.go_on(first)
            assert first.wait_dead().code == -signal.SIGKILL
    with node(environment) as last:
        last.wait_ready().wait_quiet()
        check(last, engine, work)
        work.invoke(last, "work")
        check(last, engine, work)
        owner = installation(last)
        ended = last.stop()
    assert (ended.code, ended.left) == (0, [])
    assert engine.containers(owner) == {}
    assert running(engine, foreign)


def check(node: Node, engine: Engine, work: Work) -> None:
    """Every accepted id has one record, and the engine has the containers that the node counts, no others."""
    stored = [record["activationId"] for record in node.api("GET", "activations?limit=200").body]
    assert len(stored) == len(set(stored))
    assert set(work.accepted) <= set(stored)
    owner, deadline = installation(node), time.monotonic() + 30
    while True:
        there = sum(role == "action" for role in engine.containers(owner).values())
        counted = len(node.status()["containers"])
        if there == counted:
            return
        assert time.monotonic() < deadline, f"{there} containers, the node counts {counted}: {node.status()}"
        time.sleep(0.1)


__all__ = ["engine", "foreign"]
