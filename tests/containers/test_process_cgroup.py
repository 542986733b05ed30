"""Control groups: version 2 by form on a tree of plain files, version 1 on the machine's own."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers import cgroup
from containers.cgroup import Cgroups, find, safe
from containers.contract import CreateFailed


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A version 2 hierarchy with the files of the kernel's documentation."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    for path in (tmp_path, tmp_path / "rewhisk", tmp_path / "rewhisk" / "i.invoker0"):
        path.mkdir(exist_ok=True)
        (path / "cgroup.subtree_control").write_text("")
    return tmp_path


class FakeKernel:
    """Fills a new group with the kernel's files and takes them away before it is removed, as the kernel does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real_mkdir, real_rmdir = Path.mkdir, Path.rmdir
        self.events = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n"

        def mkdir(path: Path, *args: object, **options: object) -> None:
            real_mkdir(path, *args, **options)
            for name in ("cgroup.procs", "memory.max", "memory.swap.max", "pids.max", "cgroup.freeze"):
                (path / name).write_text("")
            (path / "memory.events").write_text(self.events)

        def rmdir(path: Path) -> None:
            for file in path.iterdir():
                if file.is_file():
                    file.unlink()
            real_rmdir(path)

        monkeypatch.setattr(Path, "mkdir", mkdir)
        monkeypatch.setattr(Path, "rmdir", rmdir)


def test_version_two(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Controllers are handed down, limits written without swap, kills read from memory.events, the freezer used."""
    bases = find(two)
    assert bases == {"": two}
    groups = Cgroups(bases, "i.invoker0")
    for path in (two, two / "rewhisk", two / "rewhisk" / "i.invoker0"):
        assert (path / "cgroup.subtree_control").read_text() == "+memory +pids"
    FakeKernel(monkeypatch)
    group = groups.make("one", 256, 100)
    place = two / "rewhisk" / "i.invoker0" / "one"
    values = {name: (place / name).read_text() for name in ("memory.max", "memory.swap.max", "pids.max")}
    assert values == {"memory.max": str(256 << 20), "memory.swap.max": "0", "pids.max": "100"}
    assert group.oom_kills() == 0
    (place / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert group.oom_kills() == 2
    group.freeze(True)
    assert (place / "cgroup.freeze").read_text() == "1"
    group.freeze(False)
    assert (place / "cgroup.freeze").read_text() == "0"
    for entrance in group.entrances():
        os.write(entrance, b"0")
        os.close(entrance)
    assert (place / "cgroup.procs").read_text() == "0"
    assert groups.stale() == ["one"]
    (place / "cgroup.procs").write_text("")
    assert group.remove()
    assert not place.exists()


@pytest.mark.parametrize("controllers", ["cpuset cpu\n", "memory\n", ""])
def test_version_two_without_controllers(tmp_path: Path, controllers: str) -> None:
    """Without memory and pids nothing is usable."""
    (tmp_path / "cgroup.controllers").write_text(controllers)
    assert find(tmp_path) == {}


def test_no_control_groups(tmp_path: Path) -> None:
    """A machine without them, or with only one of the hierarchies, has none."""
    assert find(tmp_path) == {}
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "cgroup.procs").touch()
    assert find(tmp_path) == {}


def test_read_only(two: Path) -> None:
    """A hierarchy that can't hand its controllers down is an OSError at the start."""
    (two / "cgroup.subtree_control").unlink()
    (two / "cgroup.subtree_control").mkdir()
    with pytest.raises(OSError, match="subtree_control"):
        Cgroups(find(two), "i.invoker0")


@pytest.mark.parametrize(("name", "wanted"), [("a/b", "a_b"), ("../x", ".._x"), ("", "_"), ("ü", "_"), ("a" * 300, "a" * 200)])
def test_names_stay_inside(name: str, wanted: str) -> None:
    """A name becomes one directory name."""
    assert safe(name) == wanted


@pytest.fixture
def groups() -> Iterator[Cgroups]:
    bases = find()
    assert bases, "this machine has no usable control groups"
    groups = Cgroups(bases, f"test-{secrets.token_hex(4)}")
    yield groups
    for name in groups.stale():
        groups.sweep(name)
    groups.close()


def test_stop_kill_and_remove(groups: Cgroups) -> None:
    """Processes are stopped, continued, killed; the group goes, and goes again without complaint."""
    group = groups.make("one", 64)
    with subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600"]) as process:
        try:
            for entrance in group.entrances():
                os.write(entrance, str(process.pid).encode())
                os.close(entrance)
            assert process.pid in group.processes()
            group.freeze(True)
            deadline = time.monotonic() + 2
            while " T " not in Path(f"/proc/{process.pid}/stat").read_text() and find() != {"": Path("/sys/fs/cgroup")}:
                assert time.monotonic() < deadline
            group.freeze(False)
            assert process.poll() is None
        finally:
            assert group.remove()
        assert process.wait(2) == -9
    assert group.remove()
    assert group.oom_kills() == 0


def test_failure_leaves_nothing(groups: Cgroups, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the limits can't be written the group is gone again and the reason told."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Cgroups, "_limit", refuse)
    with pytest.raises(CreateFailed, match="memory limit could not be set up"):
        groups.make("one", 64)
    assert groups.stale() == []


def test_same_name_twice(groups: Cgroups) -> None:
    """A second group of the same name is refused and leaves the first alone."""
    group = groups.make("one", 64)
    with pytest.raises(CreateFailed):
        groups.make("one", 64)
    assert groups.stale() == ["one"]
    assert group.remove()


def test_top_is_named_after_the_project() -> None:
    """Directories of other programs are never touched: all lies under one own name."""
    assert cgroup.TOP == "rewhisk"
