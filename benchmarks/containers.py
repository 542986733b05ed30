"""What Docker containers cost: cold starts by stage beside the bare engine, pausing, output, warm invocations over HTTP.

    python -m benchmarks.containers [cold] [pause] [logs] [warm] [--rounds 20] [--kind python:3|nodejs:20] [--seconds 4]

The bare engine is the `docker` package alone: create, start, then connections to the runtime until one is made, with the same
image and limits. Rounds of everything compared take turns, so that other load on the machine hits all alike. All figures are
p50 in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import time
from typing import Any

import uvloop

from benchmarks import warm
from containers.contract import Answer, ContainerSpec
from containers.docker import DockerDriver
from containers.docker_config import DockerOptions
from containers.docker_container import DockerContainer

CODE = {
    "python:3": "def main(args):\n    for i in range(args.get('lines', 0)):\n        print('a line of output', i)\n    return {}",
    "nodejs:20": "function main({ lines = 0 }) { for (let i = 0; i < lines; i++) console.log('a line of output', i)\nreturn {} }",
}
STAGES = ("queue", "network", "create", "start", "ready", "init", "run", "total", "remove")
PARTS = ("cold", "pause", "logs", "warm")


def init_body(kind: str) -> bytes:
    return json.dumps({"value": {"name": "b", "main": "main", "binary": False, "code": CODE[kind], "env": {}}}).encode()


def checked(answer: object) -> None:
    if not (isinstance(answer, Answer) and answer.status == 200):
        raise SystemExit(f"the action failed: {answer}")


async def drivers() -> dict[str, DockerDriver]:
    made = {network: DockerDriver(secrets.token_hex(4), network, DockerOptions(network=network)) for network in ("none", "bridge")}
    for driver in made.values():
        await driver.open()
    return made


async def contained(driver: DockerDriver, kind: str) -> dict[str, float]:
    """One container from nothing to its first result, and away again."""
    began = time.perf_counter()
    container = await driver.create(ContainerSpec(kind, 256, "bench"), lambda *_: None, lambda: None)
    made = time.perf_counter()
    checked(await container.init(init_body(kind), 30, 1 << 20))
    ready = time.perf_counter()
    checked(await container.run(b'{"value": {}}', 30, 1 << 20))
    done = time.perf_counter()
    await container.remove()
    parts = {"init": ready - made, "run": done - ready, "total": done - began, "remove": time.perf_counter() - done}
    return container.stages | {name: seconds * 1000 for name, seconds in parts.items()}


async def bare(driver: DockerDriver, kind: str) -> dict[str, float]:
    """The same by the engine alone; its network is the engine's own part of the start."""
    spec = ContainerSpec(kind, 256, "bare")
    image = await driver.images.own({"python:3": "rewhisk/python:3.11", "nodejs:20": "rewhisk/nodejs:20"}[kind])
    place = await driver._network.place()
    config = driver._config(spec, image, place)

    def start() -> tuple[str, int, float, float, float]:
        from docker import APIClient

        client: Any = APIClient()
        client.version()
        began = time.perf_counter()
        identity = client.create_container_from_config(config)["Id"]
        created = time.perf_counter()
        client.start(identity)
        started = time.perf_counter()
        pid = client.inspect_container(identity)["State"]["Pid"]
        client.close()
        return identity, pid, began, created, started

    identity, pid, began, created, started = await asyncio.to_thread(start)
    connect = await driver._network.door(place, identity, pid)
    while True:
        try:
            (await connect()).close()
            break
        except OSError:
            await asyncio.sleep(0.001)
    ready = time.perf_counter()
    await driver.engine.remove_container(identity)
    gone = time.perf_counter()
    await driver._network.leave(place)
    parts = {"create": created - began, "start": started - created, "ready": ready - started, "total": ready - began}
    parts["remove"] = gone - ready
    return {name: seconds * 1000 for name, seconds in parts.items()}


async def cold(options: argparse.Namespace) -> None:
    """By stage. `total` of the bare engine ends when a connection can be made, the driver's with the first result."""
    made = await drivers()
    results: dict[str, list[dict[str, float]]] = {}
    try:
        for _ in range(options.rounds):
            for network, driver in made.items():
                results.setdefault(f"bare engine, {network}", []).append(await bare(driver, options.kind))
                results.setdefault(f"driver, {network}", []).append(await contained(driver, options.kind))
                await asyncio.sleep(0.3)  # the next network namespace is made meanwhile
    finally:
        for driver in made.values():
            await driver.close()
    print(f"cold starts, {options.kind}, {options.rounds} rounds, p50 in ms\n{'':22}" + "".join(f"{stage:>9}" for stage in STAGES))
    for name, rounds in results.items():
        shown = (f"{statistics.median([one[s] for one in rounds]):9.1f}" if s in rounds[0] else f"{'':>9}" for s in STAGES)
        print(f"{name:22}" + "".join(shown))
    for network in made:
        alone = statistics.median([one["total"] for one in results[f"bare engine, {network}"]])
        ours = statistics.median([one["total"] - one["init"] - one["run"] for one in results[f"driver, {network}"]])
        print(f"own share of a cold start, {network}: {ours - alone:.1f} ms (driver until it listens, less the bare engine's)")


async def pause(options: argparse.Namespace) -> None:
    """Freezing and thawing, and from frozen to a result, by the kernel's freezer and by the engine."""
    made = await drivers()
    times: dict[str, list[float]] = {}
    try:
        container = await made["none"].create(ContainerSpec(options.kind, 256, "bench"), lambda *_: None, lambda: None)
        assert isinstance(container, DockerContainer)
        checked(await container.init(init_body(options.kind), 30, 1 << 20))
        for _ in range(options.rounds):
            for way in ("freezer", "engine"):
                if container._cgroup is not None:
                    container._cgroup.writable = way == "freezer"
                began = time.perf_counter()
                await container.pause()
                paused = time.perf_counter()
                await container.resume()
                resumed = time.perf_counter()
                checked(await container.run(b'{"value": {}}', 30, 1 << 20))
                ran = time.perf_counter()
                steps = {"pause": paused - began, "resume": resumed - paused, "frozen to result": ran - paused}
                for what, seconds in steps.items():
                    times.setdefault(f"{what}, {way}", []).append(seconds * 1000)
    finally:
        for driver in made.values():
            await driver.close()
    for what, all_times in sorted(times.items()):
        print(f"{what:28} {statistics.median(all_times):8.2f} ms")


async def logs(options: argparse.Namespace) -> None:
    """Lines a second from user code to the node's callback."""
    lines = 200_000
    made = await drivers()
    seen = bytearray()
    try:
        spec = ContainerSpec(options.kind, 256, "bench")
        container = await made["none"].create(spec, lambda _, data: seen.extend(data), lambda: None)
        checked(await container.init(init_body(options.kind), 30, 1 << 20))
        rates = []
        for _ in range(3):
            seen.clear()
            began = time.perf_counter()
            checked(await container.run(json.dumps({"value": {"lines": lines}}).encode(), 60, 1 << 20))
            while seen.count(b"\n") < lines + 2:  # and both sentinels
                await asyncio.sleep(0.001)
            rates.append(lines / (time.perf_counter() - began))
        print(f"output, {options.kind}: {statistics.median(rates):.0f} lines/s")
    finally:
        for driver in made.values():
            await driver.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--image", default="", help="for `warm`: see benchmarks.warm")
    parser.add_argument("--kind", choices=sorted(CODE), default="python:3")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}")
    wanted = options.parts or PARTS
    for name, part in (("cold", cold), ("pause", pause), ("logs", logs)):
        if name in wanted:
            uvloop.run(part(options))
    if "warm" in wanted:
        options.driver, options.clients, options.rounds = "docker", [1, 4, 16], 3
        uvloop.run(warm.measure(options))


if __name__ == "__main__":
    main()
