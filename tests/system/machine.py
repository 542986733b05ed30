"""What system tests do to the machine: small disks, full disks, disks that can't be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root: run it in a container as root")
MB = 1 << 20


@contextmanager
def disk(place: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, of that size, at `place`."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(place: Path, mode: str) -> None:
    """Make the disk `ro` or `rw`."""
    subprocess.run(["mount", "-o", f"remount,{mode}", str(place)], check=True)


def fill(place: Path, leave: int = 0) -> Path:
    """Take the space of a disk but for about `leave` bytes; removing the file gives it back."""
    ballast = place / "ballast"
    free = os.statvfs(place)
    with ballast.open("ab") as file:
        left = free.f_bavail * free.f_bsize - leave
        try:
            while left > 0:
                left -= os.write(file.fileno(), bytes(min(left, 64 * 1024)))
        except OSError:
            pass  # full, as wanted
    return ballast
