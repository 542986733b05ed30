"""A real Apache Kafka broker: one node that is its own controller (KRaft), on loopback, its data on disk.

Needs a Java runtime (17 or newer) and, once, Maven, which fetches the broker into the services' directory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from services.errors import ServiceError
from services.process import Service, free_port

VERSION = "4.3.1"
POM = Path(__file__).with_name("pom.xml")
STARTED = b"Kafka Server started"
INSTALL_TIMEOUT = 600

JAVA = ("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""One processor's worth of garbage collection and compilation: it shares the machine with the cluster that it serves."""

LOGGING = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info")


class Listener(Struct, frozen=True):
    """A further door of the broker. `advertised`: the port that clients are sent to, when a proxy stands in front of it."""

    name: str
    port: int
    advertised: int
    protocol: str = "PLAINTEXT"


def install(home: Path) -> Path:
    """The directory with the broker's jars, fetched on the first call (44 MB). Raises ServiceError."""
    libs = home / f"kafka-{VERSION}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not libs.exists():
            _fetch(home, libs)
    return libs


def _fetch(home: Path, libs: Path) -> None:
    for program, package in (("java", "default-jre-headless"), ("mvn", "maven")):
        if shutil.which(program) is None:
            raise ServiceError(f"Kafka needs `{program}`: apt-get install {package}")
    fresh = home / f"kafka-{os.getpid()}"
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies"]
    options = [f"-DoutputDirectory={fresh}", "-DincludeScope=runtime", f"-Dkafka.version={VERSION}"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False)
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        raise ServiceError(f"Maven could not fetch Kafka {VERSION}:\n{(done.stdout + done.stderr).strip()[-1000:]}")
    fresh.rename(libs)


class Kafka(Service):
    """The broker. Ports stay the same over restarts; `properties` are added to its configuration."""

    name = "kafka"

    def __init__(
        self,
        libs: Path,
        place: Path,
        port: int | None = None,
        *,
        listeners: Sequence[Listener] = (),
        properties: Mapping[str, str] | None = None,
        tied: bool = True,
    ) -> None:
        super().__init__(place, tied=tied)
        self.port = port or free_port()
        self._libs = libs
        self._controller = self._kept_port()
        self._listeners = [Listener("PLAINTEXT", self.port, self.port), *listeners]
        self._properties = dict(properties or {})

    def _kept_port(self) -> int:
        """The controller's: the data directory names it, so it can't change."""
        kept = self.place / "controller.port"
        if not kept.exists():
            self.place.mkdir(parents=True, exist_ok=True)
            kept.write_text(str(free_port()))
        return int(kept.read_text())

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Write the configuration; format the data directory once. Raises ServiceError."""
        super().prepare()
        if not self._free():
            raise ServiceError(f"port {self.port} is taken, and not by a broker of {self.place}: stop what listens there")
        (self.place / "server.properties").write_text("".join(f"{key}={value}\n" for key, value in self._configuration().items()))
        if not (self.place / "data" / "meta.properties").exists():
            self._tool("format", "--standalone", "-t", self._tool("random-uuid").split()[-1], "-c", "server.properties")

    def _free(self) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                return False
        return True

    def _configuration(self) -> dict[str, str]:
        doors = [f"{each.name}://127.0.0.1:{each.port}" for each in self._listeners]
        protocols = [f"{each.name}:{each.protocol}" for each in self._listeners]
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join([*doors, f"CONTROLLER://127.0.0.1:{self._controller}"]),
            "advertised.listeners": ",".join(f"{each.name}://127.0.0.1:{each.advertised}" for each in self._listeners),
            "listener.security.protocol.map": ",".join([*protocols, "CONTROLLER:PLAINTEXT"]),
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self.place / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # After kill -9 the broker waits for its own old registration to expire: 5 s instead of 11.
            "broker.session.timeout.ms": "1500",
            "broker.heartbeat.interval.ms": "300",
            **self._properties,
        }

    def _tool(self, *arguments: str) -> str:
        command = [*JAVA, *LOGGING, "-cp", f"{self._libs}/*", "kafka.tools.StorageTool", *arguments]
        done = subprocess.run(command, cwd=self.place, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False)
        if done.returncode:
            raise ServiceError(f"Kafka's data directory could not be made: {(done.stdout + done.stderr).strip()[-500:]}")
        return done.stdout

    def command(self) -> list[str]:
        """Java expands the star of the class path itself."""
        return [*JAVA, *LOGGING, "-cp", f"{self._libs}/*", "kafka.Kafka", "server.properties"]

    def answers(self) -> bool:
        """Said in its log after all its doors are open."""
        return STARTED in self.log.read_bytes()
