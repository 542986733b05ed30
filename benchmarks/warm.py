"""Warm blocking invocations over HTTP, journal on, against a bare client of the same kind of containers in the same run.

  python -m benchmarks.warm [--seconds 5] [--clients 1,16] [--kind python:3|nodejs:20] [--rounds 3] [--driver process|docker]
  python -m benchmarks.warm --driver docker --image IMAGE --kind nodejs:20     # any image that keeps the action interface

The reference calls `/run` of containers that the same driver makes, from this process, without node, journal or HTTP API: as
many processes as clients, at most 4, or one Docker container, one call at a time. `--image double` is a Node.js image that
answers and prints as OpenWhisk's own was recorded to.
Traffic stays on loopback and inherited sockets (processes) or sockets inside of the containers' network namespaces (Docker).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

import uvloop

from benchmarks.load import closed_loop, quantile
from containers.contract import Answer, ContainerSpec, Driver
from containers.docker import DockerDriver
from containers.image_files import pack
from containers.process import ProcessDriver

CODE = {
    "python:3": "def main(args):\n    return {'greeting': 'Hello ' + args.get('name', 'world')}\n",
    "nodejs:20": "function main(args) { return { greeting: 'Hello ' + (args.name || 'world') } }\n",
}
ROOT = Path(__file__).resolve().parent.parent
DOUBLE = "rewhisk-bench/nodejs:double"
ENGINE = {"dockerd": "engine", "containerd": "engine", "containerd-shim": "shims"}
"""Name of a program → what its time is counted for."""


class Node:
    """A node of its own, in a process, on a data directory that goes with it."""

    def __init__(self, program: str = "run.py", driver: str = "process", images: dict[str, str] | None = None) -> None:
        self.dir = tempfile.mkdtemp(prefix="rewhisk-bench-")
        flags = ["--port", "0", "--driver", driver, "--data-dir", self.dir, "--log-level", "warning"]
        if images:
            kinds = {
                kind.partition(":")[0]: [{"kind": kind, "default": True, "image": image_parts(image)}]
                for kind, image in images.items()
            }
            (Path(self.dir) / "runtimes.json").write_text(json.dumps({"runtimes": kinds}))
            flags += ["--runtimes", f"{self.dir}/runtimes.json"]
        command = [sys.executable, program, "node", *flags]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.url = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("API host"):
                self.url = line.split()[-1]
            if line.startswith("ready"):
                break
        self.port = int(self.url.rsplit(":", 1)[1])
        self.auth = base64.b64encode((Path(self.dir) / "guest.auth").read_bytes().strip()).decode()

    def put(self, kind: str) -> None:
        body = json.dumps({"exec": {"kind": kind, "code": CODE[kind]}}).encode()
        request = urllib.request.Request(
            f"{self.url}/api/v1/namespaces/_/actions/hello?overwrite=true", body, self._headers(), method="PUT"
        )
        urllib.request.urlopen(request).read()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Basic {self.auth}", "Content-Type": "application/json"}

    def request(self) -> bytes:
        body = b'{"name":"bench"}'
        head = (
            "POST /api/v1/namespaces/_/actions/hello?blocking=true HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.port}\r\nAuthorization: Basic {self.auth}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def cpu(self) -> float:
        """Seconds of CPU of the node's own process."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def memory(self) -> float:
        """Resident megabytes of the node's own process."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096 / 2**20

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(40)
        shutil.rmtree(self.dir)


def image_parts(image: str) -> dict[str, str]:
    """As manifests name images."""
    path, _, tag = image.rpartition(":")
    prefix, _, name = path.rpartition("/")
    return {"prefix": prefix, "name": name, "tag": tag}


def make_double() -> str:
    """The image of a runtime that answers and prints as upstream's Node.js runtime."""
    from docker import from_env

    double = (ROOT / "tests/doubles/nodejs.js").read_bytes()
    recipe = b"FROM rewhisk/nodejs:20\nUSER 0:0\nCOPY nodejs.js /nodejs.js\nENTRYPOINT []\nCMD [\"node\", \"/nodejs.js\"]\n"
    files = pack([("Dockerfile", recipe, 0o644), ("nodejs.js", double, 0o644)])
    from_env().api.build(fileobj=io.BytesIO(files), custom_context=True, tag=DOUBLE, rm=True, forcerm=True, quiet=True)
    return DOUBLE


def spent() -> Counter[str]:
    """Seconds of CPU that engine, its helpers and all containers have used."""
    found: Counter[str] = Counter()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name, fields = (path / "stat").read_text().split("(", 1)[1].rsplit(") ", 1)
            group = ENGINE.get(name) or ("containers" if "/docker" in (path / "cgroup").read_text() else "")
        except OSError:
            continue
        if group:
            times = fields.split()
            found[group] += (int(times[11]) + int(times[12])) / 100
    return found


async def bare(kind: str, clients: int, seconds: float, name: str = "process", image: str = "") -> list[float]:
    """The reference: as many processes as clients, at most 4, or one Docker container; each called directly."""
    installation = secrets.token_hex(4)
    driver: Driver = DockerDriver(installation, "bare") if name == "docker" else ProcessDriver(installation, "bare")
    await driver.open()
    times: list[float] = []
    try:
        count = min(clients, 4) if name == "process" else 1
        specs = [ContainerSpec(kind, 256, f"bare{n}", image) for n in range(count)]
        made = [await driver.create(spec, lambda stream, data: None, lambda: None) for spec in specs]
        init = json.dumps({"value": {"name": "hello", "main": "main", "binary": False, "code": CODE[kind], "env": {}}}).encode()
        run = b'{"value":{"name":"bench"},"namespace":"guest","action_name":"/guest/hello","activation_id":"0","deadline":"0"}'
        for container in made:
            await container.init(init, 10, 1 << 20)
        until = time.perf_counter() + seconds

        async def call(container):
            while (began := time.perf_counter()) < until:
                answer = await container.run(run, 10, 1 << 20)
                assert isinstance(answer, Answer) and answer.status == 200, answer
                times.append(time.perf_counter() - began)

        await asyncio.gather(*(call(container) for container in made))
    finally:
        await driver.close()
    return times


def line(what: str, times: list[float], seconds: float, more: str = "") -> str:
    rate = len(times) / seconds
    return f"{what:34} {rate:8.0f}/s  p50 {quantile(times, 0.5):7.2f} ms  p99 {quantile(times, 0.99):7.2f} ms{more}"


async def measure(options: argparse.Namespace) -> None:
    image = make_double() if options.image == "double" else options.image
    node = Node(driver=options.driver, images={options.kind: image} if image else None)
    try:
        node.put(options.kind)
        await closed_loop(node.port, node.request(), 16, 1.0)
        rounds = f"{options.rounds} rounds of {options.seconds} s each"
        print(f"{options.kind}, driver {options.driver}, {rounds}, reference and node in turn")
        for clients in options.clients:
            ratios, added = [], []
            for _ in range(options.rounds):
                reference = await bare(options.kind, clients, options.seconds, options.driver, image)
                await closed_loop(node.port, node.request(), clients, 0.5)
                before, others = node.cpu(), spent()
                times = await closed_loop(node.port, node.request(), clients, options.seconds)
                cpu = (node.cpu() - before) / len(times) * 1e6
                more = "".join(f", {group} {seconds / len(times) * 1e6:.0f}" for group, seconds in (spent() - others).items())
                print(line("bare /run", reference, options.seconds))
                print(line(f"node, {clients} clients", times, options.seconds, f"  CPU us: node {cpu:.0f}{more}"))
                ratios.append(len(times) / len(reference))
                added.append(quantile(times, 0.5) - quantile(reference, 0.5))
            print(f"  ratio {statistics.median(ratios):.2f} of bare, p50 added {statistics.median(added):.2f} ms (medians)")
        print(f"resident memory of the node {node.memory():.0f} MB")
    finally:
        node.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=sorted(CODE), default="python:3")
    parser.add_argument("--driver", choices=["process", "docker"], default="process")
    parser.add_argument("--image", default="", help="with Docker: what runs the kind; `double`: as OpenWhisk's own Node.js runtime")
    parser.add_argument("--clients", type=lambda text: [int(n) for n in text.split(",")], default=[1, 16])
    uvloop.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
