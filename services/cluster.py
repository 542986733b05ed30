"""`python -m services.cluster`: a whole cluster on this machine, until Ctrl-C: Kafka, CouchDB's protocol, controllers, nodes.

What runs already is used and left running; what this starts it stops: controllers, then nodes, which drain, then the services.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from services.__main__ import HOME, KNOWN
from services.errors import ServiceError
from services.process import Service

ROOT = Path(__file__).resolve().parent.parent
READY = re.compile(r"^ready after ")
URL = re.compile(r"^API host\s+(\S+)")
START_TIMEOUT = 120.0
STOP_TIMEOUT = 60.0
"""Seconds for a process to drain and end; more than its own drain timeout."""
LOOK_EVERY = 0.05


class Member:
    """One process of the cluster. Its lines are printed with its name in front once it is not being waited for any more."""

    def __init__(self, name: str, arguments: list[str], log: Path) -> None:
        self.name = name
        self.url = ""
        self.ready = threading.Event()
        self.log = log
        command = [sys.executable, str(ROOT / "run.py"), *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read, name=name, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.log.open("a") as file:
            for line in self.process.stdout:
                file.write(line)
                file.flush()
                if found := URL.match(line):
                    self.url = found[1]
                if self.ready.is_set():
                    print(f"{self.name}: {line}", end="", flush=True)
                elif READY.match(line):
                    self.ready.set()

    def wait(self, over: threading.Event) -> None:
        """Until it is ready, or the start is called off. Raises ServiceError if it ends or takes too long."""
        until = time.monotonic() + START_TIMEOUT
        while not self.ready.wait(LOOK_EVERY) and not over.is_set():
            if self.process.poll() is not None or time.monotonic() > until:
                end = "".join(f"\n  {line}" for line in self.log.read_text().splitlines()[-8:])
                raise ServiceError(f"{self.name} did not start; the end of {self.log}:{end}")

    def stop(self) -> None:
        """Drain and end; kill what doesn't."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5.0)
        if self.process.stdout is not None:
            self.process.stdout.close()


class LocalCluster:
    """Started by `start`, ended by `stop`, whatever happened in between."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.over = threading.Event()
        self._members: list[Member] = []
        self._started: list[Service] = []

    def start(self) -> str:
        """The API's address. Raises ServiceError."""
        kafka = self.options.kafka or self._service("kafka")
        shared = ["--kafka", kafka, "--store", self.options.store or self._service("couchdb")]
        data = self.options.data_dir.absolute()
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(self.options.nodes):
            given = ["node", "--id", str(number), "--port", "0", "--data-dir", str(data / f"node{number}"), *shared]
            self._member(f"node{number}", [*given, "--memory", self.options.memory, "--driver", self.options.driver], data)
        for number in range(self.options.controllers):
            port = str(self.options.port + number) if self.options.port else "0"
            given = ["controller", "--id", str(number), "--port", port, "--data-dir", str(data / f"controller{number}"), *shared]
            self._member(f"controller{number}", [*given, "--auth", self.options.auth], data)
        for member in self._members:
            member.wait(self.over)
            self._say(f"{member.name}: {member.url}")
        return next((member.url for member in self._members if member.name == "controller0"), "")

    def wait(self) -> int:
        """Until it is called off (0) or a process ends by itself (1)."""
        while not self.over.wait(0.2):
            for member in self._members:
                if member.process.poll() is not None:
                    self._say(f"error: {member.name} ended with {member.process.returncode}; {member.log} has what it said")
                    return 1
        return 0

    def stop(self) -> None:
        """Everything that this started, in an order in which nothing waits for what is gone."""
        for member in reversed(self._members):
            member.stop()
        for service in reversed(self._started):
            with contextlib.suppress(ServiceError):
                service.stop()
        self._say("stopped")

    def _service(self, name: str) -> str:
        """The address of a service, which is started if it doesn't run. Raises ServiceError."""
        service = KNOWN[name](HOME.absolute())
        if service.start():
            self._started.append(service)
        self._say(f"{name}: {service.address}")
        return service.address

    def _member(self, name: str, arguments: list[str], data: Path) -> None:
        if not self.over.is_set():
            self._members.append(Member(name, arguments, data / f"{name}.log"))

    def _say(self, text: str) -> None:
        print(text, flush=True)


NEXT = """
The cluster is up. Try it:

  curl -sS {url}/invokers
  {run} action put hello FILE --apihost {url} --auth {auth}
  {run} invoke hello -r --apihost {url} --auth {auth}
  {run} status {url}

Ctrl-C drains and stops everything.
"""


def options(arguments: list[str]) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="make cluster ARGS=…", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--controllers", type=int, default=1)
    parser.add_argument("--port", type=int, default=3233, help="of the first controller; 0: free ones")
    parser.add_argument("--memory", default="1024m", help="for actions, of each node")
    parser.add_argument("--driver", default="auto", choices=("auto", "docker", "process"))
    parser.add_argument("--auth", default="guest", help="UUID:KEY, or guest for the pair that OpenWhisk publishes")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a broker that there is already")
    parser.add_argument("--store", metavar="URL", help="a CouchDB that there is already")
    parser.add_argument("--data-dir", type=Path, default=Path("data/cluster"))
    given = parser.parse_args(arguments)
    if given.nodes < 1 or given.controllers < 1:
        parser.error("a cluster has at least one node and one controller")
    return given


def main(arguments: list[str]) -> int:
    """Exit code 0 after Ctrl-C or SIGTERM, 1 if something could not be started or ended by itself."""
    given = options(arguments)
    cluster = LocalCluster(given)
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: cluster.over.set()) for number in numbers]
    try:
        url = cluster.start()
        if not cluster.over.is_set():
            auth = _auth(given)
            print(NEXT.format(url=url, auth=auth, run=os.path.relpath(ROOT / "run.py")), flush=True)
        return cluster.wait()
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        cluster.stop()
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _auth(given: argparse.Namespace) -> str:
    """The pair itself, as commands take it."""
    from config.credentials import GUEST

    return GUEST if given.auth == "guest" else str(given.auth)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
