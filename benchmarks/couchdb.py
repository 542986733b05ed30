"""What an invocation costs on CouchDB: requests and documents written, and how long it takes, beside a bare PUT in the same run.

python -m benchmarks.couchdb [--store URL] [--invocations 300] [--clients 10]. Without --store a server is started.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.couchdb import CouchDb, install
from store.couchdb_client import Client, parse_url
from tests.crash.node import Node
from tests.crash.runner import bare_runtimes

CODE = "def main(args): return args"


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[int(len(times) * share)] * 1000


@contextmanager
def server(url: str, directory: Path) -> Iterator[str]:
    """The URL of a server: the one named, or one of our own."""
    if url:
        yield url
        return
    own = CouchDb(install(Path(os.environ.get("REWHISK_SERVICES", ".services")).absolute()), directory / "couchdb")
    own.start()
    try:
        yield own.address
    finally:
        own.kill()


def bare(url: str, count: int) -> list[float]:
    """Seconds of each PUT of 1 KB, one after the other."""
    client = Client(parse_url(url, "bench_"))
    client.ask("PUT", ("bench_bare",))
    times = []
    for i in range(count):
        begun = time.perf_counter()
        client.database("bare").put(f"doc{i}", b'{"x":"' + b"x" * 1000 + b'"}')
        times.append(time.perf_counter() - begun)
    client.ask("DELETE", ("bench_bare",))
    client.close()
    return times


def invoke(node: Node, count: int, clients: int) -> list[float]:
    """Seconds of each blocking invocation."""
    times: list[float] = []

    def client() -> None:
        for _ in range(count // clients):
            begun = time.perf_counter()
            answer = node.api("POST", "actions/a?blocking=true&result=true", {"x": 1})
            assert answer.status == 200, answer
            times.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def measure(node: Node, count: int, clients: int) -> str:
    """One line of the result."""
    before, begun = node.status()["store"], time.perf_counter()
    times = invoke(node, count, clients)
    seconds = time.perf_counter() - begun
    node.wait_quiet()
    time.sleep(0.2)  # the last records
    after = node.status()["store"]
    each = {name: (after[name] - before[name]) / len(times) for name in after}
    speed = f"{len(times) / seconds:7.0f}/s  p50 {percentile(times, 0.5):6.1f} ms  p99 {percentile(times, 0.99):6.1f} ms"
    return f"{clients:3} clients  {speed}  each {each['requests']:.2f} requests, {each['documents']:.2f} documents"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="", metavar="URL")
    parser.add_argument("--invocations", type=int, default=300)
    parser.add_argument("--clients", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place, server(given.store, Path(place)) as url:
        times = bare(url, given.invocations)
        print(f"bare PUT of 1 KB         p50 {percentile(times, 0.5):6.1f} ms  p99 {percentile(times, 0.99):6.1f} ms")
        environment = {"REWHISK_STORE": url, "REWHISK_DB_PREFIX": f"bench{os.getpid()}_"}
        with Node(Path(place) / "data", "--runtimes", bare_runtimes(Path(place)), environment=environment) as node:
            node.wait_ready()
            node.put_action("a", "python:3", CODE)
            invoke(node, 20, 10)
            for clients in (1, given.clients):
                print(measure(node, given.invocations, clients))
            node.stop()


if __name__ == "__main__":
    main()
