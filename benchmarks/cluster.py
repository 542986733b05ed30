"""Blocking invocations through a cluster, over HTTP and through Kafka, beside a bare produce → consume → produce → consume loop.

  python -m benchmarks.cluster [--seconds 5] [--clients 1,16] [--nodes 1,2,4] [--ways http,kafka] [--rounds 1]

Kafka and the database (CouchDB's protocol: pouchdb-server) are started for it on loopback, with their data on disk. Everything
shares this machine: the load generator, the controller, the nodes, their containers (processes), broker and database.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import statistics
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import uvloop

from benchmarks.load import closed_loop, quantile
from benchmarks.warm import CODE, line
from config.credentials import GUEST
from services import couchdb, kafka
from services.cluster import Member
from services.couchdb import CouchDb
from services.kafka import Kafka
from transport.kafka import Access, ensure_topics
from transport.kafka_consumer import LATEST, Record, TopicConsumer
from transport.kafka_producer import TopicProducer

SERVICES = Path(os.environ.get("REWHISK_SERVICES", ".services")).absolute()
VALUE = b"x" * 650  # as large as a recorded activation message
KIND = "python:3"


class Bare:
    """Two topics: a message to the first comes back through the second, as an invocation and its acknowledgement would."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._count = 0

    async def open(self) -> None:
        there, back = self.access.topic("invoker", "bare"), self.access.topic("completed", "bare")
        await asyncio.to_thread(ensure_topics, self.access, {there: "invoker", back: "completed"})
        self._there, self._back = there, back
        self._producers = [TopicProducer(self.access, f"bare-{each}") for each in ("there", "back")]
        placed = asyncio.Event()
        seen: set[object] = set()

        def told(step, facts):
            if step == "kafka position":
                seen.add(facts["topic"])
                if len(seen) == 2:
                    placed.set()

        self._consumers = [
            TopicConsumer(self.access, topic, topic, deliver, instrument=told, window=None)
            for topic, deliver in ((there, self._echo), (back, self._came))
        ]
        for consumer in self._consumers:
            consumer.start(LATEST)
        await placed.wait()

    def _echo(self, records: list[Record]) -> None:
        for record in records:
            self._producers[1].send(self._back, record.value, lambda outcome: None)

    def _came(self, records: list[Record]) -> None:
        for record in records:
            self._waiting.pop(record.value[:8]).set_result(None)

    async def run(self, clients: int, seconds: float) -> list[float]:
        times: list[float] = []
        until = time.perf_counter() + seconds

        async def client() -> None:
            while (began := time.perf_counter()) < until:
                self._count += 1
                key = b"%08d" % self._count
                self._waiting[key] = done = asyncio.get_running_loop().create_future()
                self._producers[0].send(self._there, key + VALUE, lambda outcome: None)
                await done
                times.append(time.perf_counter() - began)

        await asyncio.gather(*(client() for _ in range(clients)))
        return times

    async def close(self) -> None:
        for each in (*self._consumers, *self._producers):
            await each.close()


class Cluster:
    """One controller and some nodes; `way` http or kafka."""

    def __init__(self, way: str, nodes: int, broker: Kafka, database: CouchDb, place: Path) -> None:
        prefix = f"{way}{nodes}"
        shared = ["--port", "0", "--kafka", broker.address, "--store", database.address, "--topic-prefix", prefix]
        shared += ["--db-prefix", f"{prefix}_", "--log-level", "warning"]
        os.environ["REWHISK_INVOKE_OPEN"] = "0" if way == "kafka" else "256"
        place.mkdir()
        self.access = Access((broker.address,), prefix)
        self.services = (broker, database)
        self.members = []
        for n in range(nodes):
            flags = ["--id", str(n), "--driver", "process", "--data-dir", str(place / f"n{n}"), *shared]
            self.members.append(Member(f"node{n}", ["node", *flags], place / f"n{n}.log"))
        rates = [f"--{each}=none" for each in ("invocations-per-minute", "concurrent-invocations", "fires-per-minute")]
        self.controller = Member(
            "controller0", ["controller", "--auth", "guest", "--data-dir", str(place / "c0"), *shared, *rates], place / "c0.log"
        )
        self.members.append(self.controller)
        self.place = place
        self.nodes = nodes

    async def ready(self) -> None:
        over = threading.Event()
        for member in self.members:
            await asyncio.to_thread(member.wait, over)
        until = time.monotonic() + 60
        while json.loads(self._ask("GET", "/invokers/healthy/count")) < self.nodes:
            assert time.monotonic() < until, self._ask("GET", "/invokers")
            await asyncio.sleep(0.2)
        self._ask("PUT", "/api/v1/namespaces/_/actions/hello?overwrite=true", {"exec": {"kind": KIND, "code": CODE[KIND]}})
        for n in range(4 * self.nodes):  # one home alone would leave the other nodes idle: one action for each
            self._ask("PUT", f"/api/v1/namespaces/_/actions/hello{n}?overwrite=true", {"exec": {"kind": KIND, "code": CODE[KIND]}})

    def request(self, number: int) -> bytes:
        body = b'{"name":"bench"}'
        head = (
            f"POST /api/v1/namespaces/_/actions/hello{number}?blocking=true HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Basic {base64.b64encode(GUEST.encode()).decode()}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def load(self, clients: int, seconds: float) -> list[float]:
        port = int(self.controller.url.rsplit(":", 1)[1])
        actions = 4 * self.nodes if clients > 1 else 1
        shares = [clients // actions + (n < clients % actions) for n in range(actions)]
        loops = [closed_loop(port, self.request(n), share, seconds) for n, share in enumerate(shares) if share]
        return [each for times in await asyncio.gather(*loops) for each in times]

    def written(self) -> dict[str, int]:
        """Journal documents of all nodes, and messages of the topics, so far."""
        found = {"journal": 0, "kafka": 0, "offsets": 0}
        for member in self.members[: self.nodes]:
            key = (self.place / f"n{member.name[4:]}" / "admin.key").read_text().strip()
            status = json.loads(self._ask("GET", "/admin/status", url=member.url, key=f"Bearer {key}"))
            found["journal"] += status["journal"]["documents"]
        topics = [self.access.topic("invoker", n) for n in range(self.nodes)] + [self.access.topic("completed", 0)]
        ends = _ends(self.access, topics)
        found["kafka"], found["offsets"] = sum(ends[topic] for topic in topics), ends["__consumer_offsets"]
        return found

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU so far, by part; of the nodes' own processes, not their containers."""
        own = [member.process.pid for member in self.members[: self.nodes]]
        broker, database = (service.pid for service in self.services)
        return {
            "controller": _cpu(self.controller.process.pid), "nodes": sum(map(_cpu, own)),
            "broker": _cpu(broker), "database": _cpu(database),
        }  # fmt: skip

    def _ask(self, method: str, path: str, body: object = None, url: str = "", key: str = "") -> bytes:
        data = None if body is None else json.dumps(body).encode()
        auth = key or f"Basic {base64.b64encode(GUEST.encode()).decode()}"
        headers = {"Authorization": auth, "Content-Type": "application/json"}
        request = urllib.request.Request((url or self.controller.url) + path, data, headers, method=method)
        return urllib.request.urlopen(request).read()

    def stop(self) -> None:
        for member in reversed(self.members):
            member.stop()


def _cpu(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ends(access: Access, topics: list[str]) -> dict[str, int]:
    """End offsets of topics, and of the broker's own topic of commits."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(**access.options("bench"))
    try:
        wanted = {topic: [0] for topic in topics}
        wanted["__consumer_offsets"] = sorted(consumer.partitions_for_topic("__consumer_offsets") or ())
        ends = consumer.end_offsets([TopicPartition(topic, n) for topic, parts in wanted.items() for n in parts])
        return {topic: sum(ends[TopicPartition(topic, n)] for n in parts) for topic, parts in wanted.items()}
    finally:
        consumer.close()


async def measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="rewhisk-bench-", dir="/var/tmp") as directory:
        place = Path(directory)
        broker = Kafka(kafka.install(SERVICES), place / "kafka")
        database = CouchDb(couchdb.install(SERVICES), place / "couchdb")
        for service in (broker, database):
            service.start()
        bare = Bare(Access((broker.address,), "bench"))
        try:
            await bare.open()
            await bare.run(4, 1.0)
            for nodes in options.nodes:
                for way in options.ways:
                    await _one(options, way, nodes, bare, broker, database, place / f"{way}{nodes}")
        finally:
            await bare.close()
            for service in (database, broker):
                service.kill()


async def _one(
    options: argparse.Namespace, way: str, nodes: int, bare: Bare, broker: Kafka, database: CouchDb, place: Path
) -> None:
    cluster = Cluster(way, nodes, broker, database, place)
    try:
        await cluster.ready()
        await cluster.load(max(options.clients), 2.0)
        for clients in options.clients:
            ratios = []
            for _ in range(options.rounds):
                reference = await bare.run(clients, options.seconds)
                before, burnt = cluster.written(), cluster.cpu()
                times = await cluster.load(clients, options.seconds)
                after, burned = cluster.written(), cluster.cpu()
                each = {key: (after[key] - before[key]) / len(times) for key in after}
                print(line(f"bare loop, {clients} in flight", reference, options.seconds))
                more = f"  each: {1 + each['journal']:.2f} documents, {each['kafka']:.2f} messages, {each['offsets']:.2f} commits"
                print(line(f"{way}, {nodes} nodes, {clients} clients", times, options.seconds, more), flush=True)
                shown = "  ".join(f"{part} {(burned[part] - burnt[part]) / len(times) * 1000:.1f}" for part in burned)
                print(f"  ms of CPU each: {shown}", flush=True)
                ratios.append(quantile(times, 0.5) / quantile(reference, 0.5))
            print(f"  p50 is {statistics.median(ratios):.1f} of the bare loop's (median)", flush=True)
    finally:
        await asyncio.to_thread(cluster.stop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--clients", type=lambda text: [int(n) for n in text.split(",")], default=[1, 16])
    parser.add_argument("--nodes", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--ways", type=lambda text: text.split(","), default=["http", "kafka"])
    uvloop.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
