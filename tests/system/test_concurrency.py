"""Several activations of one action in one container of a real node, with both drivers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.node import Node, until

CODE = """
let open = 0, most = 0
exports.main = ({ n, ms = 0, exit = false }) => new Promise(resolve => {
  most = Math.max(most, ++open)
  console.log('begin', n)
  setTimeout(() => { if (exit) process.exit(1); open--; console.log('end', n); resolve({ n, most, pid: process.pid }) }, ms)
})
"""
PYTHON = "import os, time\ndef main(args):\n    time.sleep(0.2)\n    return {'n': args['n'], 'pid': os.getpid()}\n"


def runtimes(directory: Path) -> str:
    """Both kinds, a stem cell of Node.js."""
    kinds = {
        "nodejs": {"kind": "nodejs:20", "image": {"prefix": "rewhisk", "name": "nodejs", "tag": "20"}},
        "python": {"kind": "python:3", "image": {"prefix": "rewhisk", "name": "python", "tag": "3.11"}},
    }
    kinds["nodejs"]["stemCells"] = [{"initialCount": 1, "memory": "256 MB"}]
    path = directory / "runtimes.json"
    path.write_text(json.dumps({"runtimes": {family: [{"default": True, **kind}] for family, kind in kinds.items()}}))
    return str(path)


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    flags = ("--driver", request.param, "--runtimes", runtimes(tmp_path), "--action-network", "none")
    with Node(tmp_path / "data", *flags) as node:
        node.wait_ready()
        until(lambda: node.status()["memory"]["prewarm"] == 256, 30, lambda: node.output)
        yield node
        assert node.stop().left == []


def at_once(node: Node, name: str, *arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of blocking invocations that are sent together."""
    records: list[dict[str, Any]] = [{} for _ in arguments]

    def ask(place: int) -> None:
        records[place] = node.api("POST", f"actions/{name}?blocking=true", {"n": place, **arguments[place]}).body

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(arguments))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return records


def whole(node: Node, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stored records of these, with their logs."""
    node.wait_quiet()
    return [node.api("GET", f"activations/{record['activationId']}").body for record in records]


def results(records: list[dict[str, Any]]) -> list[Any]:
    return [record["response"]["result"] for record in records]


def notes(record: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: each["value"] for each in record["annotations"]}


@pytest.mark.nodejs
def test_several_at_once_in_one_container(node: Node) -> None:
    """A stem cell becomes a container that takes them all; logs are whole and said to be shared; failures are each one's own."""
    node.put_action("many", "nodejs:20", CODE, limits={"concurrency": 8, "timeout": 6000})
    (first,) = at_once(node, "many", {})
    pid = first["response"]["result"]["pid"]
    records = at_once(node, "many", *({"ms": 2000} for _ in range(6)))
    assert {result["pid"] for result in results(records)} == {pid}
    assert max(result["most"] for result in results(records)) == 6
    stored = whole(node, records)
    assert all(notes(record)["sharedLogs"] is True for record in stored)
    assert "sharedLogs" not in notes(*whole(node, [first]))
    lines = sorted(line.partition("stdout: ")[2] for record in stored for line in record["logs"])
    assert lines == sorted([f"begin {n}" for n in range(6)] + [f"end {n}" for n in range(6)])

    *good, late = at_once(node, "many", {"ms": 200}, {"ms": 2500}, {"ms": 60_000})
    assert [record["response"]["success"] for record in good] == [True, True], "others go on beside one that is too late"
    assert "exceeded its time limits of 6000 milliseconds" in late["response"]["result"]["error"]
    (after,) = at_once(node, "many", {})
    assert after["response"]["result"]["most"] == 1, "one that was too late costs the container"


@pytest.mark.nodejs
def test_a_container_that_ends_ends_all_that_run_in_it(node: Node) -> None:
    """Each with a record of its own that says so; the next one is fine."""
    node.put_action("many", "nodejs:20", CODE, limits={"concurrency": 8})
    at_once(node, "many", {})
    records = at_once(node, "many", {"ms": 20_000}, {"ms": 20_000}, {"ms": 2000, "exit": True})
    assert [record["response"]["status"] for record in records] == ["action developer error"] * 3
    assert len({record["activationId"] for record in whole(node, records)}) == 3
    (after,) = at_once(node, "many", {})
    assert after["response"]["success"] is True


def test_a_python_container_takes_one_at_a_time(node: Node) -> None:
    """Whatever the limit says: more containers are used instead, and all succeed."""
    node.put_action("many", "python:3", PYTHON, limits={"concurrency": 5})
    records = at_once(node, "many", *({} for _ in range(4)))
    assert sorted(result["n"] for result in results(records)) == [0, 1, 2, 3]
    assert not any("sharedLogs" in notes(record) for record in whole(node, records))
