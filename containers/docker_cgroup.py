"""Control groups that the engine made: where they are, the freezer, the count of OOM kills. Version 1 and version 2.

Written directly because it takes 0.2 ms where the engine's pause takes 18. The engine goes on saying that it runs, and can
still kill and remove what is frozen. Sources: kernel documentation `freezer-subsystem.rst`, `memory.rst`, `cgroup-v2.rst`.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
FREEZE_LIMIT = 2.0
"""Seconds for all tasks to stop; one in an uninterruptible wait may take its time."""
_STEP = 0.0005


def locate(pid: int, identity: str, root: Path = ROOT, proc: Path = Path("/proc")) -> ContainerCgroup | None:
    """The groups of a container and its first process; None where they can't be seen from here, or that process is another."""
    try:
        text = (proc / str(pid) / "cgroup").read_text()
    except OSError:
        return None
    if identity not in text:
        return None
    paths = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path.lstrip("/")
    unified = root / paths.get("", "-")
    if (unified / "cgroup.freeze").exists() and "" in paths and paths[""]:
        return ContainerCgroup(unified / "cgroup.freeze", unified / "memory.events")
    freezer = root / "freezer" / paths.get("freezer", "-") / "freezer.state"
    memory = root / "memory" / paths.get("memory", "-") / "memory.oom_control"
    return ContainerCgroup(freezer, memory) if paths.get("freezer") and freezer.exists() else None


class ContainerCgroup:
    """The two files that matter: the freezer's, and the one that counts OOM kills."""

    def __init__(self, freezer: Path, memory: Path) -> None:
        self._freezer = freezer
        self._two = freezer.name == "cgroup.freeze"
        self._counter = -1
        try:
            self._counter = os.open(memory, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._counter = -1
        self.writable = os.access(freezer, os.W_OK)

    def __repr__(self) -> str:
        return f"<ContainerCgroup v{2 if self._two else 1} {self._freezer.parent}>"

    def oom_kills(self) -> int | None:
        """How many processes were killed there because the memory limit was hit; None if it can't be told, or no longer."""
        if self._counter < 0:
            return None
        try:
            text = os.pread(self._counter, 4096, 0)
        except OSError:  # the group has been removed
            return None
        found = re.search(rb"^oom_kill (\d+)$", text, re.MULTILINE)
        return int(found[1]) if found else None

    def freeze(self, frozen: bool) -> None:
        """Stop or continue all processes; returns when they are. Blocks for up to FREEZE_LIMIT seconds. Raises OSError."""
        wanted = ("1" if frozen else "0") if self._two else ("FROZEN" if frozen else "THAWED")
        deadline = time.monotonic() + FREEZE_LIMIT
        self._freezer.write_text(wanted)
        while not self._is(frozen):
            if time.monotonic() > deadline:
                self._freezer.write_text("0" if self._two else "THAWED")
                raise TimeoutError("its processes did not stop in time")
            time.sleep(_STEP)
            if not self._two:
                self._freezer.write_text(wanted)  # version 1 may stay in FREEZING until it is told again

    def _is(self, frozen: bool) -> bool:
        if not self._two:
            return self._freezer.read_text().strip() == ("FROZEN" if frozen else "THAWED")
        events = (self._freezer.parent / "cgroup.events").read_text()
        return f"frozen {int(frozen)}" in events.splitlines()

    def close(self) -> None:
        """Close the counter."""
        if self._counter >= 0:
            os.close(self._counter)
            self._counter = -1
