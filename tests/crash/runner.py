"""Plays one crash case with real processes and judges it."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

from tests.crash.cases import Case
from tests.crash.node import Node, until
from tests.crash.story import Asked, Story
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted

SNAPSHOT_EVERY = 4
TIMEOUT_MS = 1_000
ACTION = "crash"
EXPECT = {"success": {0}, "application error": {1}, "timeout": {2}}
MORE = 12
"""Further invocations at most until an event that isn't any activation's own (a snapshot) has come."""


def bare_runtimes(directory: Path) -> str:
    """A manifest without stem cells: what is cold starts cold."""
    path = directory / "runtimes.json"
    family = {"python": "python:3", "nodejs": "nodejs:20"}
    path.write_text(json.dumps({"runtimes": {
        name: [{"kind": kind, "default": True, "image": {"prefix": "p", "name": name, "tag": "1"}}] for name, kind in family.items()
    }}))  # fmt: skip
    return str(path)


class Play:
    """One case in a directory of its own. `store`: the URL of a CouchDB, empty for the data directory's SQLite."""

    def __init__(self, case: Case, directory: Path, store: str = "") -> None:
        self.case = case
        self.data_dir = directory / "data"
        self.store = store
        self.flags = ("--runtimes", bare_runtimes(directory), *(("--store", store) if store else ()))
        self.environment = {"REWHISK_SNAPSHOT_EVERY": str(SNAPSHOT_EVERY), "REWHISK_RUN_AHEAD_AFTER": "0s"}

    def run(self) -> None:
        """The whole play. Raises AssertionError for anything that the contract forbids."""
        with Watch() as watch:
            story = Story(watch)
            if self.case.event == "claim":
                self._killed_while_it_starts(story)
            else:
                self._killed_at_work(story)
            self._restarted(story)
            story.check(self.store or self.data_dir)

    def _node(self, failpoint: str = "") -> Node:
        more = {"REWHISK_FAILPOINT": failpoint} if failpoint else {}
        return Node(self.data_dir, *self.flags, environment={**self.environment, **more})

    def _failpoint(self) -> str:
        hit = 2 if self.case.warm and self.case.event not in {"claim", "snapshot"} else 1
        return f"{self.case.event}:{self.case.position}:{hit}"

    def _killed_at_work(self, story: Story) -> None:
        with self._node(self._failpoint()) as node:
            node.wait_ready()
            self._warm_up(story, node)
            callers = [self._ask(story, node, "main")]
            for i in range(MORE if self.case.event == "snapshot" else 0):
                callers[-1].join()
                if not node.alive():
                    break
                callers.append(self._ask(story, node, f"more{i}"))
            story.ended(node.wait_dead(), -signal.SIGKILL)
            for caller in callers:
                caller.join()

    def _killed_while_it_starts(self, story: Story) -> None:
        """A claim is written once per process: killed with work under way, then at the next start's claim."""
        with self._node() as node:
            node.wait_ready()
            self._warm_up(story, node)
            caller = self._ask(story, node, "main", sleep=0.5)
            until(lambda: story.watch.started("main") > 0, 30, lambda: node.output)
            story.ended(node.kill(), -signal.SIGKILL)
            caller.join()
        with self._node(self._failpoint()) as node:
            story.ended(node.wait_dead(), -signal.SIGKILL)

    def _restarted(self, story: Story) -> None:
        with self._node() as node:
            node.wait_ready()
            node.wait_quiet()
            for asked in story.asked.values():
                if asked.id is not None:
                    answer = node.api("GET", f"activations/{asked.id}")
                    assert answer.status == 200, (asked, answer)
            story.ended(node.stop(), 0)

    def _warm_up(self, story: Story, node: Node) -> None:
        timeout = TIMEOUT_MS if self.case.outcome == "timeout" else 60_000
        node.put_action(ACTION, self.case.kind, CODE[self.case.kind], limits={"timeout": timeout})
        if self.case.warm:
            asked = story.invoke(node, ACTION, "warm-up", blocking=True, wanted=Submitted("", expect={0}))
            assert asked.outcome == "answer", asked

    def _ask(self, story: Story, node: Node, n: str, **arguments: Any) -> threading.Thread:
        wanted = Submitted("", expect=EXPECT[self.case.outcome])
        more = {"success": {}, "application error": {"fail": True}, "timeout": {"sleep": 600}}[self.case.outcome]

        def ask() -> Asked:
            return story.invoke(node, ACTION, n, blocking=self.case.blocking, wanted=wanted, **{**arguments, **more})

        thread = threading.Thread(target=ask, name=n)
        thread.start()
        return thread
