"""The data directory belongs to one living process a stream."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from store.data_dir import DataDir, Owner, alone, owners
from store.errors import DataDirInUse, StoreUnusable

HOLDER = """
import pathlib, sys
from store.data_dir import DataDir
held = DataDir.open(pathlib.Path(sys.argv[1]), sys.argv[2])
held.set_url("http://127.0.0.1:3233")
print("ready", flush=True)
sys.stdin.read()
held.close()
"""


@contextmanager
def holder(path: Path, stream: str = "invoker0") -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the stream; closing its input ends it cleanly."""
    command = [sys.executable, "-c", HOLDER, str(path), stream]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_second_owner_is_told_who_lives(tmp_path: Path) -> None:
    """Pid and URL; the first one is not disturbed; another stream may share the directory."""
    with holder(tmp_path) as process:
        with pytest.raises(DataDirInUse, match=rf"{tmp_path}.*process {process.pid} at http://127\.0\.0\.1:3233"):
            DataDir.open(tmp_path, "invoker0")
        assert owners(tmp_path) == {"invoker0": Owner(process.pid, "http://127.0.0.1:3233")}
        DataDir.open(tmp_path, "controller0").close()


def test_a_killed_owner_is_followed_and_known_as_dead(tmp_path: Path) -> None:
    """SIGKILL frees the lock; the next owner learns that there was no drain, and whose death it was."""
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert owners(tmp_path) == {}
        taken = DataDir.open(tmp_path, "invoker0")
        assert taken.died == Owner(process.pid, "http://127.0.0.1:3233")
        taken.close()


def test_the_driver_of_the_dead_is_known_until_there_is_another(tmp_path: Path) -> None:
    """Also after a start that died before it had one."""
    taken, expected = DataDir.open(tmp_path, "invoker0"), ""
    for driver in ("docker", "", "", "process", ""):
        if driver:
            taken.set_driver(driver)
        expected = driver or expected
        taken.set_url("http://127.0.0.1:1")
        taken.close(clean=False)
        taken = DataDir.open(tmp_path, "invoker0")
        assert taken.died == Owner(os.getpid(), "http://127.0.0.1:1", expected)
    taken.close()


def test_a_clean_end_is_no_death(tmp_path: Path) -> None:
    """Nor is the first start."""
    first = DataDir.open(tmp_path, "invoker0")
    assert first.died is None
    with pytest.raises(DataDirInUse):
        DataDir.open(tmp_path, "invoker0")
    first.close()
    first.close()
    second = DataDir.open(tmp_path, "invoker0")
    assert second.died is None
    second.close(clean=False)
    third = DataDir.open(tmp_path, "invoker0")
    assert third.died == Owner(os.getpid())
    third.close()


def test_a_half_written_lock_is_a_death(tmp_path: Path) -> None:
    """Whoever wrote it was here and did not end cleanly."""
    (tmp_path / "node-invoker0.lock").write_text('{"pid":12')
    taken = DataDir.open(tmp_path, "invoker0")
    assert taken.died == Owner(0)
    assert repr(taken) == f"<DataDir {tmp_path} invoker0 locked died=Owner(pid=0, url='', driver='')>"
    taken.close()


def test_one_of_many_takes_it(tmp_path: Path) -> None:
    """Concurrent starts: exactly one owner."""
    barrier = threading.Barrier(8)
    taken: list[DataDir] = []

    def start() -> None:
        barrier.wait()
        with suppress(DataDirInUse):
            taken.append(DataDir.open(tmp_path, "invoker0"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    taken[0].close()


def test_alone_means_no_node(tmp_path: Path) -> None:
    """Whoever replaces the store is kept out by a node, and keeps nodes out."""
    with holder(tmp_path) as process, pytest.raises(DataDirInUse, match=f"process {process.pid}"), alone(tmp_path):
        pass
    with alone(tmp_path), pytest.raises(DataDirInUse, match="restored"):
        DataDir.open(tmp_path, "invoker0")
    DataDir.open(tmp_path, "invoker0").close()


def test_the_directory_is_made_private(tmp_path: Path) -> None:
    """0700, its files 0600; with its parents."""
    path = tmp_path / "a" / "data"
    DataDir.open(path, "invoker0").close()
    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o600}


def test_places_that_cannot_be(tmp_path: Path) -> None:
    """A file, a place where nothing can be made, a read-only file system: named, with the fix."""
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "data", Path("/proc/data"), Path("/proc/self")):
        with pytest.raises(StoreUnusable, match=rf"{place}.*--data-dir"):
            DataDir.open(place, "invoker0")
