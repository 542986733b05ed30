"""A real process that speaks CouchDB's protocol, with its data on disk: pouchdb-server (docs/couchdb.md says how it deviates).

Needs Node.js and, once, npm, which fetches it into the services' directory.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from services.errors import ServiceError
from services.process import Service, free_port

VERSION = "4.2.0"
PACKAGE = Path(__file__).with_name("pouchdb")
INSTALL_TIMEOUT = 600
USER, PASSWORD = "admin", "of-the-tests"
"""The administrator. The server listens on loopback only."""


def install(home: Path) -> Path:
    """The directory with the server's packages, fetched on the first call (60 MB). Raises ServiceError."""
    packages = home / f"pouchdb-server-{VERSION}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "couchdb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not packages.exists():
            _fetch(home, packages)
    return packages


def _fetch(home: Path, packages: Path) -> None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise ServiceError(f"pouchdb-server needs `{program}`: apt-get install nodejs npm")
    fresh = home / f"pouchdb-server-{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(PACKAGE, fresh)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False)
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        raise ServiceError(f"npm could not fetch pouchdb-server {VERSION}:\n{(done.stdout + done.stderr).strip()[-1000:]}")
    fresh.rename(packages)


class CouchDb(Service):
    """The server. Its port stays the same over restarts."""

    name = "couchdb"

    def __init__(self, packages: Path, place: Path, port: int | None = None, *, tied: bool = True) -> None:
        super().__init__(place, tied=tied)
        self.port = port or free_port()
        self._packages = packages

    @property
    def address(self) -> str:
        """The URL with the administrator's credentials, as `--store` takes it."""
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Write the configuration. Raises ServiceError."""
        super().prepare()
        (self.place / "data").mkdir(exist_ok=True)
        settings = {"admins": {USER: PASSWORD}, "log": {"file": "requests.log", "level": "error"}}
        (self.place / "config.json").write_text(json.dumps(settings))

    def command(self) -> list[str]:
        """Its own script, run by Node.js."""
        script = self._packages / "node_modules" / "pouchdb-server" / "bin" / "pouchdb-server"
        place = ["--dir", f"data{os.sep}", "--config", "config.json"]
        return ["node", str(script), "--host", "127.0.0.1", "--port", str(self.port), "--no-stdout-logs", *place]

    def answers(self) -> bool:
        """Whether it welcomes."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False
