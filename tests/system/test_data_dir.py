"""The data directory: one owner, and clear words where it can't be had."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.crash.node import Node
from tests.system.machine import disk, needs_root, remount


def refused(data_dir: Path, logs: Path | None = None) -> str:
    """What a start says that must not succeed: an error in a line or two, no traceback, nothing left, exit code 2."""
    with Node(data_dir, logs=logs) as node:
        ended = node.wait_dead()
        said = node.output
    assert ended.left == []
    assert ended.code == 2, said
    assert "Traceback" not in said
    assert "error:" in said.lower()
    return said


def test_second_start_is_refused(tmp_path: Path) -> None:
    """The living owner's pid and URL are named; the owner isn't disturbed. Killed, its directory is free at once."""
    data_dir = tmp_path / "data"
    with Node(data_dir) as first:
        first.wait_ready()
        said = refused(data_dir)
        assert str(first.pid) in said
        assert first.url in said
        assert first.api("GET", "actions").status == 200
        assert first.kill().code == -signal.SIGKILL
    with Node(data_dir) as second:
        second.wait_ready()
        assert second.stop().code == 0


def test_second_id_may_share_it(tmp_path: Path) -> None:
    """Another node id on the same directory has a stream of its own."""
    data_dir = tmp_path / "data"
    with Node(data_dir) as first, Node(data_dir, "--id", "1") as second:
        first.wait_ready()
        second.wait_ready()
        assert first.stop().code == 0
        assert second.api("GET", "actions").status == 200
        assert second.stop().code == 0


def test_no_directory(tmp_path: Path) -> None:
    """A file in its place is named."""
    (tmp_path / "data").write_text("not a directory")
    assert f"{tmp_path / 'data'} is not a directory" in refused(tmp_path / "data")


@needs_root
def test_read_only(tmp_path: Path) -> None:
    """A disk mounted read-only: the path and what to do, for a first start and for a later one."""
    with disk(tmp_path / "disk", 16) as place:
        remount(place, "ro")
        assert "Read-only file system" in refused(place / "data", tmp_path)
        assert "Read-only file system" in refused(place, tmp_path)
        remount(place, "rw")
        with Node(place) as node:
            node.wait_ready()
            assert node.stop().code == 0
        remount(place, "ro")
        assert "Read-only file system" in refused(place, tmp_path)
        remount(place, "rw")


@pytest.mark.parametrize(
    ("name", "content"), [("rewhisk.db", b"no database at all" * 100), ("rewhisk.db", b"SQLite format 3\0" + b"\xff" * 5000)]
)
def test_not_our_file(tmp_path: Path, name: str, content: bytes) -> None:
    """A file that isn't ours is left as it is."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    (data_dir / name).write_bytes(content)
    assert str(data_dir / name) in refused(data_dir)
    assert (data_dir / name).read_bytes() == content
