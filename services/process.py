"""A service as one process: started, known to be up, stopped, killed, stopped for a while, started again on its data."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from services.errors import ServiceError

START_TIMEOUT = 120.0
"""Seconds. A broker is up after 2 s; after kill -9, or on a machine with much else to do, later."""

STOP_TIMEOUT = 30.0
LOOK_EVERY = 0.05


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(there: Callable[[], bool], seconds: float) -> bool:
    """Whether `there` became true within `seconds`."""
    until = time.monotonic() + seconds
    while not there():
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_EVERY)
    return True


class Service(ABC):
    """One service with its directory. `tied`: it dies with the process that started it (tests); else it stays (`make services`)."""

    name = ""

    def __init__(self, place: Path, *, tied: bool) -> None:
        self.place = place
        self.tied = tied
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address} pid={self.pid}>"

    @property
    @abstractmethod
    def address(self) -> str:
        """Where clients reach it, as `run.py` takes it."""

    @abstractmethod
    def command(self) -> list[str]:
        """The process to start."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the process that was just started takes requests."""

    def prepare(self) -> None:
        """What must be there before the first start. Raises ServiceError."""
        self.place.mkdir(parents=True, exist_ok=True)

    @property
    def log(self) -> Path:
        """What the process prints, since its newest start."""
        return self.place / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.place / f"{self.name}.pid"

    @property
    def pid(self) -> int | None:
        """The living process, also one that an earlier `make services` started."""
        if self._process is not None:
            return self._process.pid if self._process.poll() is None else None
        with contextlib.suppress(OSError, ValueError):
            pid, began = self._pid_file.read_text().split()
            if _began(int(pid)) == began:
                return int(pid)
        return None

    def start(self) -> bool:
        """Start it if it isn't running, and wait until it answers; whether it had to be started. Raises ServiceError."""
        if self.pid is not None:
            return False
        self.prepare()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._tied(self.command()), cwd=self.place, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._pid_file.write_text(f"{self._process.pid} {_began(self._process.pid)}")
        if not wait_until(lambda: self.pid is None or self.answers(), START_TIMEOUT) or self.pid is None:
            text = self.log.read_text(errors="replace").strip().splitlines()[-5:]
            self.kill()
            raise ServiceError(f"{self.name} did not start; the end of {self.log}:\n  " + "\n  ".join(text))
        return True

    def _tied(self, command: list[str]) -> list[str]:
        """Kill it when its parent dies: a test run that is killed leaves nothing."""
        return ["setpriv", "--pdeathsig", "KILL", *command] if self.tied and shutil.which("setpriv") else command

    def stop(self) -> bool:
        """End it in good order; whether it was running. Raises ServiceError if it doesn't end."""
        return self._end(signal.SIGTERM)

    def kill(self) -> bool:
        """End it as a power failure of the process would; whether it was running."""
        return self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it on the same data. Raises ServiceError."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Let it hang: it keeps its connections and answers nothing until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if (pid := self.pid) is not None:
            os.kill(pid, number)

    def _end(self, number: signal.Signals) -> bool:
        if self.pid is None:
            return False
        self._signal(number)
        if number is signal.SIGTERM:
            self._signal(signal.SIGCONT)
        if not wait_until(lambda: self.pid is None, STOP_TIMEOUT):
            raise ServiceError(f"{self.name} (process {self.pid}) does not end within {STOP_TIMEOUT:.0f} s")
        self._process = None
        self._pid_file.unlink(missing_ok=True)
        return True


def _began(pid: int) -> str:
    """When a process began, in ticks since the boot: with its number it names one process for good. Empty if it is over."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
