"""The database of a cluster under test as a process of its own, its data on disk, so that kill -9 means something."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path

from services.process import Service, free_port
from tests.support.couchdb.server import ADMIN

ROOT = Path(__file__).resolve().parents[2]


class Couch(Service):
    """The strict server (tests/support/couchdb)."""

    name = "couch"

    def __init__(self, place: Path, port: int | None = None) -> None:
        super().__init__(place, tied=True)
        self.port = port or free_port()

    @property
    def address(self) -> str:
        """As `--store` takes it."""
        return f"http://{ADMIN[0]}:{ADMIN[1]}@127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """See Service."""
        code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from tests.support.couchdb.server import main; main()"
        return [sys.executable, "-c", code, str(ROOT), "--port", str(self.port), "--data", str(self.place / "data")]

    def answers(self) -> bool:
        """See Service."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


