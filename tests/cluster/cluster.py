"""Controllers and nodes as processes on one broker and one database."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from config.credentials import GUEST
from services.kafka import Kafka
from tests.cluster.couch import Couch
from tests.crash.node import Answer, Node, request, until
from tests.crash.runner import bare_runtimes

QUICK = {
    "REWHISK_RUN_AHEAD_AFTER": "0s",
    "REWHISK_RETENTION_EVERY": "1h",
}
"""Settings of every process here: what is slow by default, and not what is tested."""


class Process(Node):
    """A controller or a node of a cluster; all speak as guest with the published key."""

    @property
    def auth(self) -> str:
        """The credentials of guest."""
        return GUEST

    def ask(self, method: str, path: str, *, timeout: float = 60.0) -> Answer:
        """A request outside the versioned API."""
        return request(self.url, method, path, auth=GUEST, timeout=timeout)


class Cluster:
    """Starts and ends processes; `prefix` keeps its topics and databases apart from other tests'."""

    def __init__(self, directory: Path, broker: Kafka, couch: Couch, prefix: str) -> None:
        self.directory = directory
        self.broker = broker
        self.couch = couch
        self.prefix = prefix
        self.environment: dict[str, str] = dict(QUICK)
        self._stack = contextlib.ExitStack()
        self._runtimes = bare_runtimes(directory)

    def _flags(self, number: int, kafka: str | None, store: str | None) -> list[str]:
        return [
            "--id", str(number), "--kafka", kafka or self.broker.address, "--store", store or self.couch.address,
            "--topic-prefix", self.prefix, "--db-prefix", self.prefix.replace("-", "_"), "--runtimes", self._runtimes,
        ]  # fmt: skip

    def controller(self, number: int = 0, *flags: str, store: str | None = None, kafka: str | None = None, **more: str) -> Process:
        """Start a controller and wait until it answers."""
        rates = [f"--{rate}=none" for rate in ("invocations-per-minute", "concurrent-invocations", "fires-per-minute")]
        given = [*self._flags(number, kafka, store), "--auth", "guest", *rates, *flags]
        return self._started(f"controller{number}", given, more, "controller").wait_ready()

    def node(
        self, number: int = 0, *flags: str, store: str | None = None, kafka: str | None = None, wait: bool = True, **more: str
    ) -> Process:
        """Start a node; `more` are settings as REWHISK_ variables. It is ready unless `wait` is false."""
        given = [*self._flags(number, kafka, store), "--memory", "1024m", *flags]
        node = self._started(f"node{number}", given, more, "node")
        return node.wait_ready() if wait else node

    def _started(self, name: str, flags: list[str], more: dict[str, str], command: str) -> Process:
        environment = {**self.environment, **{f"REWHISK_{key.upper()}": value for key, value in more.items()}}
        process = Process(self.directory / name, *flags, environment=environment, command=command, logs=self.directory)
        return self._stack.enter_context(process)

    def close(self) -> None:
        """Kill whatever still lives."""
        self._stack.close()


def invokers(controller: Process) -> dict[str, Any]:
    """`/invokers`."""
    return dict(controller.ask("GET", "/invokers").body)


def up(controller: Process) -> int:
    """How many invokers take work."""
    return list(invokers(controller).values()).count("up")


def wait_up(controller: Process, count: int, seconds: float = 30.0) -> None:
    """Until so many invokers take work."""
    until(lambda: up(controller) >= count, seconds, lambda: f"{invokers(controller)}")
