"""What this machine has of what a node needs: looked at once, at the start."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from config.settings import Settings
from console.banner import Finding

PATIENCE = 5.0
"""Seconds that a program may take to tell its version."""


def version_of(program: str, *arguments: str) -> str | None:
    """The first line that a program prints, None if it can't be run."""
    try:
        done = subprocess.run(
            [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return next((line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), None)


def python_finding(wanted: str | None) -> Finding:
    """The Python that runs actions."""
    if wanted is None:
        return Finding("Python", True, f"{platform.python_version()} ({sys.executable}) runs Python actions")
    version = version_of(wanted, "--version")
    if version is None or not version.startswith("Python 3"):
        return Finding("Python", False, f"{wanted} can't be run as Python 3", "name another with --python, or leave it out")
    return Finding("Python", True, f"{version.removeprefix('Python ')} ({wanted}) runs Python actions")


def node_finding() -> Finding:
    """The Node.js that runs actions, with its real version."""
    path = shutil.which("node")
    version = version_of(path, "--version") if path else None
    if version is None:
        found = f"{path} can't be run" if path else "no `node` on PATH"
        return Finding("Node.js", False, f"{found}: Node.js actions will end with an error", "apt-get install nodejs")
    if not version.startswith("v20."):
        return Finding("Node.js", True, f"{version} ({path}) runs nodejs:20 actions, though its version is another")
    return Finding("Node.js", True, f"{version} ({path}) runs Node.js actions")


def docker_finding(settings: Settings) -> Finding:
    """The Docker engine that isolates actions, or why it doesn't."""
    if settings.driver == "process":
        return Finding("Docker", True, "not used (--driver process)")
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    from containers.docker_engine import connect

    try:
        client, _ = connect(settings.docker_host or "", PATIENCE)
        version = client.version()["Version"]
        client.close()
    except (DockerException, RequestException, OSError):
        text = "no engine answers: actions run as processes, less isolated"
        return Finding("Docker", False, text, "apt-get install docker.io, or say --driver process")
    if settings.driver == "auto" and settings.action_network == "host":
        return Finding("Docker", True, f"{version}, not used as actions get the machine's network (--action-network host)")
    return Finding("Docker", True, f"{version} runs the actions in containers")


def data_finding(path: Path, low_disk: int) -> Finding:
    """The data directory: there, writable, with room."""
    place = path.resolve()
    other = "choose another place with --data-dir"
    parent = next((folder for folder in (place, *place.parents) if folder.exists()), place)
    if not parent.is_dir():
        return Finding("Data", False, f"{parent} is no directory", other)
    if not os.access(parent, os.W_OK | os.X_OK):
        return Finding("Data", False, f"{place} can't be written", f"chown it to {_user()}, or {other}")
    free = shutil.disk_usage(parent).free
    if free < low_disk:
        return Finding("Data", False, f"{place}, only {free >> 20} MB free", f"free some space, or {other}")
    return Finding("Data", True, f"{place}, {free / 2**30:.1f} GB free")


def store_finding(settings: Settings) -> Finding:
    """Where the state is; of a CouchDB's address never the password."""
    if settings.store == "sqlite":
        return Finding("Store", True, "SQLite in the data directory")
    parts = urlsplit(settings.store)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    who = f"user {unquote(parts.username)}" if parts.username else "nobody's credentials"
    return Finding("Store", True, f"CouchDB at {place} with {who}, databases {settings.db_prefix}journal and others")


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def look(settings: Settings) -> list[Finding]:
    """All findings about the machine."""
    return [
        python_finding(settings.python), node_finding(), docker_finding(settings),
        data_finding(settings.data_dir, settings.low_disk), store_finding(settings),
    ]  # fmt: skip


def exposure(settings: Settings, *, public_auth: bool) -> list[Finding]:
    """What these settings open to others."""
    found = []
    local = settings.host in ("localhost", "::1") or settings.host.startswith("127.")
    if not local:
        found.append(Finding("Network", False, f"{settings.host} is reached from outside, without TLS", "leave --host out"))
    if public_auth:
        text = "OpenWhisk's published key: whoever reaches the port can run code"
        found.append(Finding("Key", False, text, "leave --auth out for a random one"))
    if settings.cors and "*" in settings.cors:
        found.append(Finding("CORS", False, "every web page may call the API if it knows the key", "name the origins with --cors"))
    return found
