"""`kill -9` in the middle of a five-step sequence, a conductor, a trigger with three rules, at every kind of journal write.

Each finishes once under the id that was given, and no child runs twice but for the one whose code was under way.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from messages.events import ChildAssigned
from tests.crash.cases import COMPOSED
from tests.crash.node import NoAnswer, Node
from tests.crash.runner import bare_runtimes
from tests.crash.story import Stored, leaked
from tests.crash.watch import Watch
from tests.oracle import History, check

STEP = """
import os, socket

def main(args):
    with socket.create_connection(("127.0.0.1", args["watch"]), 20) as watch:
        watch.sendall(f'{os.environ["__OW_ACTIVATION_ID"]} step\\n'.encode())
        watch.recv(1)
    steps = args.get("steps", 0) + 1
    if args.get("conducts"):
        if args.get("called", 0) == 2:
            return {"params": {"steps": steps}}
        return {"action": "step", "params": {"watch": args["watch"], "steps": steps},
                "state": {"conducts": True, "watch": args["watch"], "called": args.get("called", 0) + 1}}
    return {"watch": args["watch"], "steps": steps}
"""
"""Counts itself; with `conducts` it calls `step` twice, each time with itself before and after: five steps in all."""

FORMS = {"sequence": ("actions/five", 5), "conductor": ("actions/conductor", 5), "trigger": ("triggers/fire", 3)}
"""What is asked for, and how many children it has."""


@dataclass(frozen=True)
class Case:
    form: str
    failpoint: str

    def __str__(self) -> str:
        return f"{self.form}-{self.failpoint.replace(':', '-')}"


POSITIONS = ("before", "written", "after")
CASES = [
    *(Case("sequence", f"{event}:{position}:{hit}") for event, hit in (("child_assigned", 3), ("finished", 3), ("finished", 6))
      for position in POSITIONS),
    Case("sequence", "accepted:after:1"), Case("sequence", "accepted:written:4"), Case("sequence", "recorded:after:6"),
    *(Case("conductor", f"child_assigned:{position}:2") for position in POSITIONS),
    Case("conductor", "finished:after:4"), Case("conductor", "finished:before:6"),
    *(Case("trigger", f"{event}:{position}:{hit}") for event, hit in (("accepted", 1), ("child_assigned", 2))
      for position in POSITIONS),
    Case("trigger", "accepted:after:3"), Case("trigger", "finished:before:1"), Case("trigger", "recorded:after:2"),
]  # fmt: skip
"""Events count over both journals: a sequence's own `accepted` is the first, its own `finished` the sixth."""


def test_cases_cover() -> None:
    """Every position of the events that only compositions have, for every form."""
    wanted = {(form, event, position) for form in FORMS for event in COMPOSED for position in POSITIONS}
    assert wanted <= {(case.form, *case.failpoint.split(":")[:2]) for case in CASES}


def prepare(node: Node) -> None:
    put = {
        "actions/step": {"exec": {"kind": "python:3", "code": STEP}},
        "actions/conductor": {
            "exec": {"kind": "python:3", "code": STEP},
            "annotations": [{"key": "conductor", "value": True}],
            "parameters": [{"key": "conducts", "value": True}],
        },
        "actions/five": {"exec": {"kind": "sequence", "components": ["/_/step"] * 5}},
        "triggers/fire": {},
        **{f"rules/r{n}": {"trigger": "/_/fire", "action": "/_/step"} for n in range(3)},
    }
    for path, body in put.items():
        answer = node.api("PUT", path, body)
        assert answer.status == 200, answer


def told(node: Node, case: Case, watch: Watch) -> dict[str, Any]:
    """Ask for it; what came back, if anything did."""
    path, _ = FORMS[case.form]
    try:
        return dict(node.api("POST", path, {"watch": watch.port}).body)
    except NoAnswer:
        return {}


def judge(data_dir: Path, watch: Watch, case: Case, given: str | None) -> None:
    """The oracle's verdict, and what it can't know: how many children there have to be."""
    stored, composed = Stored.read(data_dir), Stored.read(data_dir, "controller0")
    check(
        History(
            records=stored.records,
            journal=stored.journal,
            composed=composed.journal,
            runs=watch.runs,
            containers=leaked(stored.installation, "invoker0"),
        )
    )
    names = {record["activationId"]: record["name"] for record in stored.records}
    whole = [record for record in stored.records if "topmost" in str(record["annotations"]) or record["name"] == "fire"]
    if given is None and not whole:
        return  # nobody was told that it was accepted, and it was not
    [record] = whole
    assert given in (None, record["activationId"])
    assert record["response"]["statusCode"] == 0
    _, steps = FORMS[case.form]
    children = {event.child for _, event in composed.journal if isinstance(event, ChildAssigned)}
    assert len(children) == steps
    assert children == names.keys() - {record["activationId"]}
    if case.form != "trigger":
        assert record["response"]["result"]["steps"] == 5
    runs = Counter(run.id for run in watch.runs)
    assert runs.keys() == children
    assert sum(runs.values()) <= steps + (3 if case.form == "trigger" else 1), "only what ran at the kill runs again"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_killed_and_finished_once(case: Case, tmp_path: Path) -> None:
    """A restart goes on where it stood; rules that are added meanwhile change nothing of what was fired."""
    data_dir, flags = tmp_path / "data", ("--runtimes", bare_runtimes(tmp_path))
    environment = {"REWHISK_RUN_AHEAD_AFTER": "0s", "REWHISK_SNAPSHOT_EVERY": "5"}
    answers: list[dict[str, Any]] = []
    with Watch() as watch:
        with Node(data_dir, *flags, environment={**environment, "REWHISK_FAILPOINT": case.failpoint}) as node:
            node.wait_ready()
            prepare(node)
            caller = threading.Thread(target=lambda: answers.append(told(node, case, watch)))
            caller.start()
            ended = node.wait_dead()
            assert (ended.code, ended.left) == (-signal.SIGKILL, [])
            caller.join()
        with Node(data_dir, *flags, environment=environment) as node:
            node.wait_ready()
            added = node.api("PUT", "rules/late?overwrite=true", {"trigger": "/_/fire", "action": "/_/step"})
            assert added.status == 200
            node.wait_quiet()
            assert node.stop().left == []
        judge(data_dir, watch, case, answers[0].get("activationId"))
