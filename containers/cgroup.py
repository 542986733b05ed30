"""Limits of memory and processes by control groups, version 1 and version 2 behind the same two classes.

Groups lie in `<hierarchy>/rewhisk/<owner>/<container>`, where owner is installation and stream: what an earlier process
of the same node left behind is found by its name. Sources: kernel documentation `cgroup-v1/memory.rst`, `cgroup-v2.rst`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

from containers.contract import CreateFailed

TOP = "rewhisk"
PIDS = 1024
"""Processes and threads of one container: upstream's `--pids-limit 1024`."""
GONE_WITHIN = 10.0
"""Seconds to wait for killed processes to leave their group before giving up."""

V1_CONTROLLERS = ("memory", "pids")


def safe(name: str) -> str:
    """`name` as a directory name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:200] or "_"


class Group:
    """The control group of one container. `paths` maps controllers to directories; version 2 has the only key ""."""

    def __init__(self, paths: dict[str, Path]) -> None:
        self._paths = paths
        self._two = "" in paths
        self._counter = -1

    def __repr__(self) -> str:
        return f"<Group v{2 if self._two else 1} {next(iter(self._paths.values())).name}>"

    def _file(self, controller: str, name: str) -> Path:
        return self._paths["" if self._two else controller] / name

    def watch(self) -> None:
        """Open the counter of OOM kills, for `oom_kills`. Raises OSError."""
        self._counter = os.open(self._file("memory", "memory.events" if self._two else "memory.oom_control"), os.O_RDONLY)

    def entrances(self) -> list[int]:
        """Descriptors into which a process with one thread writes "0" to enter; the caller closes them.

        Version 1 has `tasks`, which moves one thread: a thread that moves itself needs no lock of the whole machine,
        where `cgroup.procs` waits for an RCU grace period (11 ms measured on two busy cores, 0.05 ms so).
        """
        name = "cgroup.procs" if self._two else "tasks"
        return [os.open(path / name, os.O_WRONLY) for path in self._paths.values()]

    def oom_kills(self) -> int:
        """How many processes the kernel has killed here because the memory limit was hit; 0 once removed."""
        try:
            text = os.pread(self._counter, 4096, 0)
        except OSError:
            return 0
        found = re.search(rb"^oom_kill (\d+)$", text, re.MULTILINE)
        return int(found[1]) if found else 0

    def freeze(self, frozen: bool) -> None:
        """Stop or continue all processes. Raises OSError.

        Version 1 has a freezer too, but what is frozen there can't be killed before it is thawed: it would outlive a
        node that was killed. Stopped processes can be; stopping is repeated for those forked meanwhile.
        """
        if self._two:
            self._file("", "cgroup.freeze").write_text(str(int(frozen)))
            return
        told: set[int] = set()
        while new := set(self.processes()) - told:
            for pid in new:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)
            told |= new

    def processes(self) -> list[int]:
        """Process ids in the group."""
        found: set[int] = set()
        for path in self._paths.values():
            with contextlib.suppress(FileNotFoundError):
                found.update(map(int, (path / "cgroup.procs").read_text().split()))
        return sorted(found)

    def remove(self) -> bool:
        """Kill what is in the group and remove it; false if it would not go. Blocks: call it in a thread."""
        if self._counter >= 0:
            os.close(self._counter)
            self._counter = -1
        deadline = time.monotonic() + GONE_WITHIN
        while True:
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            left = [path for path in self._paths.values() if not _removed(path)]
            if not left or time.monotonic() > deadline:
                return not left
            time.sleep(0.005)


def _removed(path: Path) -> bool:
    """Remove an empty group; false while something is in it."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


class Cgroups:
    """The hierarchies of this machine, as far as the owner may use them."""

    def __init__(self, bases: dict[str, Path], owner: str) -> None:
        self._bases = {controller: base / TOP / safe(owner) for controller, base in bases.items()}
        self._two = "" in bases
        for base in bases.values():
            self._prepare(base, safe(owner))

    def _prepare(self, base: Path, owner: str) -> None:
        """Make the owner's directory; version 2 hands the controllers down level by level. Raises OSError."""
        (base / TOP / owner).mkdir(parents=True, exist_ok=True)
        if self._two:
            for path in (base, base / TOP, base / TOP / owner):
                control = path / "cgroup.subtree_control"
                if not {"memory", "pids"} <= set(control.read_text().split()):
                    control.write_text("+memory +pids")

    def make(self, name: str, memory: int, pids: int = PIDS) -> Group:
        """A group that holds `memory` MB without swap and `pids` processes. Raises CreateFailed, leaving nothing."""
        paths = {controller: base / safe(name) for controller, base in self._bases.items()}
        made: list[Path] = []
        try:
            for path in paths.values():
                path.mkdir()
                made.append(path)
            self._limit(paths, memory << 20, pids)
            group = Group(paths)
            group.watch()
        except OSError as error:
            for path in made:
                _removed(path)
            raise CreateFailed(f"The memory limit could not be set up: {error}") from error
        return group

    def _limit(self, paths: dict[str, Path], memory: int, pids: int) -> None:
        """Write the limits; swap may be unaccounted for, then the group is told not to use any."""
        if self._two:
            path = paths[""]
            (path / "memory.max").write_text(str(memory))
            with contextlib.suppress(FileNotFoundError):
                (path / "memory.swap.max").write_text("0")
            (path / "pids.max").write_text(str(pids))
            return
        (paths["memory"] / "memory.limit_in_bytes").write_text(str(memory))
        try:
            (paths["memory"] / "memory.memsw.limit_in_bytes").write_text(str(memory))
        except FileNotFoundError:
            (paths["memory"] / "memory.swappiness").write_text("0")
        (paths["pids"] / "pids.max").write_text(str(pids))

    def stale(self) -> list[str]:
        """Names of the owner's groups."""
        return sorted({path.name for base in self._bases.values() for path in base.glob("*") if path.is_dir()})

    def sweep(self, name: str) -> bool:
        """Kill and remove the group `name`. Blocks."""
        return Group({controller: base / name for controller, base in self._bases.items()}).remove()

    def close(self) -> None:
        """Remove the owner's directories and the top one if they are empty."""
        for base in self._bases.values():
            if _removed(base):
                _removed(base.parent)


def find(root: Path = Path("/sys/fs/cgroup")) -> dict[str, Path]:
    """The usable hierarchies below `root`: controllers to directories, {"": root} for version 2, {} for none."""
    unified = root / "cgroup.controllers"
    if unified.exists():
        enough = {"memory", "pids"} <= set(unified.read_text().split())
        return {"": root} if enough else {}
    bases = {controller: root / controller for controller in V1_CONTROLLERS}
    return bases if all((base / "cgroup.procs").exists() for base in bases.values()) else {}
