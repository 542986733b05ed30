"""Archives of images: complete, and the same whenever they are made."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from containers.image_files import pack, pause_program, write_tree


def tree(root: Path) -> Path:
    (root / "usr" / "lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "usr" / "lib" / "a").write_text("a")
    (root / "usr" / "lib" / "b").hardlink_to(root / "usr" / "lib" / "a")
    (root / "usr" / "lib" / "link").symlink_to("a")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "usr" / "run").write_text("#!/bin/sh")
    (root / "usr" / "run").chmod(0o755)
    return root


def test_same_tree_same_bytes(tmp_path: Path) -> None:
    """Times, owners, inodes and the order of the disk leave no trace."""
    first, second = tree(tmp_path / "1"), tree(tmp_path / "2")
    os.utime(second / "usr" / "run", (1, 1))
    write_tree(first, tmp_path / "1.tar")
    write_tree(second, tmp_path / "2.tar")
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_tree_is_whole(tmp_path: Path) -> None:
    """Folders, files, links (to folders too) and modes; hard links are files."""
    write_tree(tree(tmp_path / "root"), tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar") as archive:
        found = {member.name: member for member in archive}
        assert archive.extractfile("usr/lib/b").read() == b"a"  # type: ignore[union-attr]
    assert sorted(found) == ["lib", "tmp", "usr", "usr/lib", "usr/lib/a", "usr/lib/b", "usr/lib/link", "usr/run"]
    assert (found["lib"].linkname, found["usr/lib/link"].linkname) == ("usr/lib", "a")
    assert (found["tmp"].mode, found["usr/run"].mode) == (0o1777, 0o755)
    assert {(each.uid, each.gid) for each in found.values()} == {(0, 0)}


def test_pack() -> None:
    """Files given as bytes, in any order."""
    made = pack([("b", b"2", 0o755), ("a", b"1", 0o644)])
    assert made == pack([("a", b"1", 0o644), ("b", b"2", 0o755)])
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        assert [(each.name, each.size, each.mode) for each in archive] == [("a", 1, 0o644), ("b", 1, 0o755)]


def test_pause_program_does_nothing_for_ever(tmp_path: Path) -> None:
    """It runs without libraries, uses no processor, prints nothing and ends only when it is killed."""
    program = tmp_path / "pause"
    program.write_bytes(pause_program(os.uname().machine))
    program.chmod(0o755)
    with subprocess.Popen([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        time.sleep(0.2)
        assert process.poll() is None
        ticks = Path(f"/proc/{process.pid}/stat").read_text().split()[13:15]
        assert sum(map(int, ticks)) <= 1
        process.kill()
        assert process.communicate()[0] == b""
    with pytest.raises(KeyError):
        pause_program("pdp11")


def test_pause_program_is_made_for_arm_too() -> None:
    """Of the form that its kernels take: 64 bits, its machine number, code at its start (not run here)."""
    program = pause_program("aarch64")
    assert program[:5] == b"\x7fELF\x02"
    assert int.from_bytes(program[18:20], "little") == 183
    start = int.from_bytes(program[24:32], "little") - 0x400000
    assert len(program[start:]) % 4 == 0
    assert program[start + 20 : start + 24] == bytes.fromhex("010000d4"), "the system call"
