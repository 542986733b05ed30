"""Whole nodes as subprocesses: `start_node(*flags)` waits until one is ready and knows its URL; all end with the test."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
_URL = re.compile(r"^API host\s+(http://\S+)", re.MULTILINE)
_READY = re.compile(r"^ready after ", re.MULTILINE)


class NodeProcess:
    """A node that runs. `output` is what it printed so far, both streams."""

    def __init__(self, data_dir: Path, flags: tuple[str, ...], environment: dict[str, str]) -> None:
        self.data_dir = data_dir
        logs = (data_dir.with_name(f"{data_dir.name}.{number}.log") for number in itertools.count())
        self._log = next(log for log in logs if not log.exists())
        driver = () if "--driver" in flags else ("--driver", "process")
        command = [sys.executable, str(ROOT / "run.py"), "node", "--data-dir", str(data_dir), *driver, *flags]
        self._from = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, **environment}
            )
        self.url = ""

    @property
    def output(self) -> str:
        return self._log.read_bytes()[self._from :].decode(errors="replace")

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def wait_ready(self, timeout: float = 30.0) -> None:
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            if _READY.search(self.output):
                found = _URL.search(self.output)
                assert found, self.output
                self.url = found[1]
                return
            assert self.process.poll() is None, f"the node ended with {self.process.returncode}:\n{self.output}"
            time.sleep(0.05)
        raise AssertionError(f"not ready within {timeout} s:\n{self.output}")

    def stop(self, timeout: float = 40.0) -> int:
        """Ctrl-C's polite brother; the exit code. A node that doesn't end is killed, and that is a failure."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


StartNode = Callable[..., NodeProcess]


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[StartNode]:
    """Starts nodes on free ports; the second with the same `data_dir` finds what the first left."""
    started: list[NodeProcess] = []

    def start(*flags: str, data_dir: Path | None = None, environment: dict[str, str] | None = None) -> NodeProcess:
        node = NodeProcess(data_dir or tmp_path / f"data{len(started)}", ("--port", "0", *flags), environment or {})
        started.append(node)
        node.wait_ready()
        return node

    yield start
    for node in started:
        if node.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.stop()


__all__ = ["NodeProcess", "StartNode", "start_node"]
