"""Control groups of the engine's containers: found and written in both versions' forms, on trees of ordinary files."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from containers import docker_cgroup
from containers.docker_cgroup import ContainerCgroup, locate

ID = "ab" * 32


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def process(tmp_path: Path, text: str) -> Path:
    """A /proc with one process of these groups."""
    write(tmp_path / "proc" / "7" / "cgroup", text)
    return tmp_path / "proc"


@pytest.fixture
def two(tmp_path: Path) -> ContainerCgroup:
    """Version 2 as systemd names it."""
    group = tmp_path / "cg" / "system.slice" / f"docker-{ID}.scope"
    write(group / "cgroup.freeze", "0")
    write(group / "cgroup.events", "populated 1\nfrozen 0\n")
    write(group / "memory.events", "max 3\noom_kill 0\n")
    found = locate(7, ID, tmp_path / "cg", process(tmp_path, f"0::/system.slice/docker-{ID}.scope\n"))
    assert found is not None
    return found


@pytest.fixture
def one(tmp_path: Path) -> ContainerCgroup:
    """Version 1 as the engine names it."""
    write(tmp_path / "cg" / "freezer" / "docker" / ID / "freezer.state", "THAWED\n")
    write(tmp_path / "cg" / "memory" / "docker" / ID / "memory.oom_control", "under_oom 0\noom_kill 0\n")
    lines = [f"9:name=systemd:/docker/{ID}", f"6:freezer:/docker/{ID}", f"4:memory:/docker/{ID}", "0::/"]
    found = locate(7, ID, tmp_path / "cg", process(tmp_path, "\n".join(lines)))
    assert found is not None
    return found


def test_version_1(one: ContainerCgroup, tmp_path: Path) -> None:
    """State by words, the kernel's count of kills."""
    state = tmp_path / "cg" / "freezer" / "docker" / ID / "freezer.state"
    one.freeze(True)
    assert state.read_text() == "FROZEN"
    one.freeze(False)
    assert state.read_text() == "THAWED"
    counter = tmp_path / "cg" / "memory" / "docker" / ID / "memory.oom_control"
    assert one.oom_kills() == 0
    counter.write_text("under_oom 0\noom_kill 2\n")
    assert one.oom_kills() == 2
    one.close()
    assert one.oom_kills() is None


def test_version_2(two: ContainerCgroup, tmp_path: Path) -> None:
    """State by numbers; done is what the kernel says in its events."""
    group = tmp_path / "cg" / "system.slice" / f"docker-{ID}.scope"

    def kernel() -> None:
        while (group / "cgroup.freeze").read_text() != "1":
            time.sleep(0.005)
        (group / "cgroup.events").write_text("populated 1\nfrozen 1\n")

    thread = threading.Thread(target=kernel)
    thread.start()
    two.freeze(True)
    thread.join()
    (group / "memory.events").write_text("max 3\noom_kill 1\n")
    assert two.oom_kills() == 1
    two.close()


def test_what_does_not_stop_is_let_go(two: ContainerCgroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that can't be stopped in time: an error, and nothing stays half frozen."""
    monkeypatch.setattr(docker_cgroup, "FREEZE_LIMIT", 0.02)
    with pytest.raises(TimeoutError):
        two.freeze(True)
    assert (tmp_path / "cg" / "system.slice" / f"docker-{ID}.scope" / "cgroup.freeze").read_text() == "0"
    two.close()


@pytest.mark.parametrize("text", ["", "0::/\n", f"6:freezer:/docker/{ID}\n0::/\n"])
def test_none_where_nothing_can_be_seen(text: str, tmp_path: Path) -> None:
    """No group of its own, one whose tree isn't mounted here, no such process."""
    assert locate(7, ID, tmp_path / "cg", process(tmp_path, text)) is None
    assert locate(8, ID, tmp_path / "cg", tmp_path / "proc") is None
