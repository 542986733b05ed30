"""What starting a container of the process driver costs, by stage, beside a bare process with the same proxy.

    python benchmarks/process_start.py [--rounds 40]

The bare process is `subprocess` with the same interpreter, the same proxy and a connected socket, without any isolation
or limit. All figures are p50 in milliseconds of interleaved rounds, so that other load on the machine hits all alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from containers.client import ActionClient
from containers.contract import Answer, ContainerSpec
from containers.process import RUNTIMES, ProcessDriver
from containers.template import ENVIRONMENT

PLACE = tempfile.TemporaryDirectory(prefix="rewhisk-bench-")
"""Where the bare processes put their files; gone at the end."""

CODE = {"python:3": "def main(args):\n    return {'ok': True}", "nodejs:20": "function main(args) { return { ok: true } }"}
STAGES = ("create", "start", "ready", "init", "run", "total", "remove")


def body(kind: str) -> bytes:
    value = {"name": "hello", "main": "main", "binary": False, "code": CODE[kind], "env": {}}
    return json.dumps({"value": value}).encode()


def checked(answer: object) -> None:
    if not (isinstance(answer, Answer) and answer.status == 200):
        raise SystemExit(f"the action failed: {answer}")


async def contained(driver: ProcessDriver, kind: str) -> dict[str, float]:
    """One container from nothing to its first result and away again."""
    began = time.perf_counter()
    spec = ContainerSpec(kind=kind, memory=256, name="bench")
    container = await driver.create(spec, lambda *_: None, lambda: None)
    created = time.perf_counter()
    checked(await container.init(body(kind), 30, 1 << 20))
    ready = time.perf_counter()
    checked(await container.run(b'{"value": {}}', 30, 1 << 20))
    done = time.perf_counter()
    await container.remove()
    parts = {"init": ready - created, "run": done - ready, "total": done - began, "remove": time.perf_counter() - done}
    return container.stages | {name: seconds * 1000 for name, seconds in parts.items()}


async def bare(driver: ProcessDriver, kind: str, program: list[str]) -> dict[str, float]:
    """The same with a bare process."""
    began = time.perf_counter()
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [*program, "--fd", str(theirs.fileno())],
        pass_fds=[theirs.fileno()], env=ENVIRONMENT, cwd=PLACE.name, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    theirs.close()
    client = ActionClient.over_socket(ours)
    started = time.perf_counter()
    checked(await client.post("/init", body(kind), 30, 1 << 20))
    ready = time.perf_counter()
    checked(await client.post("/run", b'{"value": {}}', 30, 1 << 20))
    done = time.perf_counter()
    client.close()
    process.kill()
    process.wait()
    parts = {"start": started - began, "init": ready - started, "run": done - ready, "total": done - began}
    parts["remove"] = time.perf_counter() - done
    return {name: seconds * 1000 for name, seconds in parts.items()}


async def main(rounds: int) -> None:
    networks = ("host", "none") if os.geteuid() == 0 else ("host",)
    drivers = {network: ProcessDriver("benchmark", network, network=network) for network in networks}
    for driver in drivers.values():
        await driver.open()
        for note in driver.notes():
            print(note)
    versions = next(iter(drivers.values())).versions()
    print(f"{rounds} rounds, p50 in ms;", ", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{'':34}", *(f"{stage:>7}" for stage in STAGES), "  ratio to bare")
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    programs = {
        "python:3": [python, "-I", str(RUNTIMES / "python" / "proxy.py")],
        "nodejs:20": ["node", str(RUNTIMES / "nodejs" / "proxy.js")],
    }
    for kind, program in programs.items():
        if kind.partition(":")[0] not in versions:
            continue
        results: dict[str, list[dict[str, float]]] = {}
        for _ in range(rounds):
            results.setdefault("bare process", []).append(await bare(drivers["host"], kind, program))
            for network, driver in drivers.items():
                results.setdefault(f"container, network {network}", []).append(await contained(driver, kind))
        base = statistics.median(one["total"] for one in results["bare process"])
        for name, each in results.items():
            medians = {stage: statistics.median(one.get(stage, 0.0) for one in each) for stage in STAGES}
            row = " ".join(f"{medians[stage]:7.2f}" for stage in STAGES)
            print(f"{kind + ' ' + name:34}", row, f"{medians['total'] / base:15.2f}")
    for driver in drivers.values():
        await driver.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    asyncio.run(main(parser.parse_args().rounds))
