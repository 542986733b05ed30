"""`python -m services [up|down|status|install] [NAME…]`: the services of a cluster on this machine, each known by its name.

`up` installs and starts what isn't there yet, and leaves it running; doing it again changes nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from services import couchdb
from services.couchdb import CouchDb
from services.errors import ServiceError
from services.kafka import Kafka, install
from services.process import Service

HOME = Path(os.environ.get("REWHISK_SERVICES", ".services"))
"""Where services are installed and, unless another place is named, keep their data."""

KAFKA_PORT = 9092
COUCHDB_PORT = 5984


def _kafka(home: Path) -> Service:
    return Kafka(install(home), home / "data" / "kafka", KAFKA_PORT, tied=False)


def _couchdb(home: Path) -> Service:
    return CouchDb(couchdb.install(home), home / "data" / "couchdb", COUCHDB_PORT, tied=False)


KNOWN: dict[str, Callable[[Path], Service]] = {"kafka": _kafka, "couchdb": _couchdb}
"""Name → installs the service if need be, and gives it. Raises ServiceError."""


def _up(service: Service) -> str:
    return "started" if service.start() else "is running already"


def _down(service: Service) -> str:
    return "stopped" if service.stop() else "was not running"


def _status(service: Service) -> str:
    return "is running" if service.pid is not None else "is not running"


def _installed(service: Service) -> str:
    return "is installed"


DO: dict[str, Callable[[Service], str]] = {"up": _up, "down": _down, "status": _status, "install": _installed}


def main(arguments: list[str]) -> int:
    """Exit code 0, 1 if a service could not be had, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m services", description=__doc__)
    parser.add_argument("action", nargs="?", choices=DO, default="up")
    parser.add_argument("name", nargs="*", help=f"one or more of {', '.join(KNOWN)}; default: all")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.name if name not in KNOWN]:
        parser.error(f"no service {', '.join(unknown)}; there are: {', '.join(KNOWN)}")
    for name in chosen.name or KNOWN:
        try:
            service = KNOWN[name](HOME.absolute())
            print(f"{name} {DO[chosen.action](service)}: {service.address}, data in {service.place}", flush=True)
        except ServiceError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
