"""A real node under a supervisor: started, killed, drained; and what it says over HTTP."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "run.py"
SUPERVISOR = Path(__file__).with_name("supervisor.py")
GONE_WITHIN = 2.0
"""Seconds within which no process of a node that ended may live (issue 3, section 7)."""

START_TIMEOUT = 60.0
_STARTS = count()
_URL = re.compile(r"^API host\s+(https?://\S+)", re.MULTILINE)
_READY = re.compile(r"^ready after ", re.MULTILINE)


class NoAnswer(Exception):
    """The connection ended without an answer. `sent`: whether the request may have arrived."""

    def __init__(self, sent: bool, why: object) -> None:
        super().__init__(f"no answer: {why!r}")
        self.sent = sent


@dataclass(frozen=True)
class Ended:
    """How a node ended: wait status as the shell counts it (negative: signal), and the command lines it left."""

    code: int
    left: list[str]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer with its JSON."""

    status: int
    headers: dict[str, str]
    body: Any


def until(condition: Callable[[], bool], seconds: float, what: Callable[[], object] | str, step: float = 0.02) -> None:
    """Poll until it holds. Raises AssertionError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(step)


def request(
    url: str,
    method: str,
    path: str,
    body: object = None,
    *,
    auth: str = "",
    timeout: float = 60.0,
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own. Raises NoAnswer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    sent = False
    try:
        connection.connect()
        sent = True
        data = None if body is None else json.dumps(body)
        all_headers = {"Authorization": "Basic " + base64.b64encode(auth.encode()).decode()} if auth else {}
        connection.request(method, path, data, {"Content-Type": "application/json", **all_headers, **(headers or {})})
        response = connection.getresponse()
        text = response.read()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, _json(text))
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(sent, error) from None
    finally:
        connection.close()


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")


class Node:
    """A node process on a data directory; several, one after the other, may use the same one.

    `launcher` is what Python runs instead of run.py: a deliberately broken node; `port` None leaves the flag out; `logs` is where
    its output is kept; `command` may make it a controller. Use as a context manager: the end kills.
    """

    def __init__(
        self,
        data_dir: Path,
        *flags: str,
        environment: dict[str, str] | None = None,
        launcher: Path = RUN,
        port: str | None = "0",
        logs: Path | None = None,
        command: str = "node",
    ) -> None:
        self.data_dir = data_dir
        self.url = ""
        self.ended: Ended | None = None
        self._log = (logs or data_dir.parent) / f"{data_dir.name}-{next(_STARTS)}.log"
        where = ("--data-dir", str(data_dir), *(("--port", port) if port is not None else ()))
        driver = () if "--driver" in flags else ("--driver", "process")
        line = [sys.executable, str(launcher), command, *where, *driver, *flags]
        supervisor = [sys.executable, "-I", "-S", str(SUPERVISOR), str(GONE_WITHIN), *line]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                supervisor, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, text=True,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip
        assert self._process.stdout is not None
        self.pid = int(self._process.stdout.readline())

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        if self.ended is None:
            self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def output(self) -> str:
        """What this process printed so far, both streams."""
        return self._log.read_text(errors="replace")

    # Life

    def alive(self) -> bool:
        """Whether the node itself lives; a dead one that is not reaped yet does not."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def wait_listening(self, timeout: float = START_TIMEOUT) -> None:
        """Until the port is open."""
        self._wait_for(_URL, timeout)
        found = _URL.search(self.output)
        assert found
        self.url = found[1]

    def wait_ready(self, timeout: float = START_TIMEOUT) -> Node:
        """Until it said ready."""
        self._wait_for(_READY, timeout)
        self.wait_listening()
        return self

    def _wait_for(self, pattern: re.Pattern[str], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not pattern.search(self.output):
            assert self.alive(), f"the node ended:\n{self.output}"
            assert time.monotonic() < deadline, f"no {pattern.pattern!r} within {timeout} s:\n{self.output}"
            time.sleep(0.02)

    def wait_dead(self, timeout: float = 60.0) -> Ended:
        """Until it ended, and all that it left was looked for."""
        if self.ended is None:
            until(lambda: not self.alive(), timeout, lambda: f"the node still lives:\n{self.output}", 0.005)
            said, _ = self._process.communicate(timeout=GONE_WITHIN + 20)
            verdict = json.loads(said.splitlines()[-1])
            self.ended = Ended(os.waitstatus_to_exitcode(verdict["status"]), verdict["left"])
        return self.ended

    def signal(self, number: int) -> None:
        """Send a signal to the node."""
        os.kill(self.pid, number)

    def kill(self) -> Ended:
        """`kill -9`."""
        if self.alive():
            self.signal(signal.SIGKILL)
        return self.wait_dead()

    def stop(self, timeout: float = 60.0) -> Ended:
        """SIGTERM, and wait."""
        self.signal(signal.SIGTERM)
        return self.wait_dead(timeout)

    # Speaking to it

    @property
    def auth(self) -> str:
        """The credentials of guest."""
        return (self.data_dir / "guest.auth").read_text().strip()

    def api(self, method: str, path: str, body: object = None, *, timeout: float = 60.0) -> Answer:
        """A request below /api/v1/namespaces/_/. Raises NoAnswer."""
        return request(self.url, method, f"/api/v1/namespaces/_/{path}", body, auth=self.auth, timeout=timeout)

    def put_action(self, name: str, kind: str, code: str, **more: Any) -> None:
        """Create or replace an action."""
        answer = self.api("PUT", f"actions/{name}?overwrite=true", {"exec": {"kind": kind, "code": code}, **more})
        assert answer.status == 200, answer

    def status(self) -> dict[str, Any]:
        """/admin/status with the admin key."""
        key = (self.data_dir / "admin.key").read_text().strip()
        answer = request(self.url, "GET", "/admin/status", headers={"Authorization": f"Bearer {key}"})
        assert answer.status == 200, answer
        return dict(answer.body)

    def wait_quiet(self, timeout: float = 60.0) -> None:
        """Until nothing is live and the journal has written all."""

        def quiet() -> bool:
            status = self.status()
            return status["live"] == 0 and status["journal"]["waiting"] == 0

        until(quiet, timeout, lambda: f"{self.status()}\n{self.output}")
