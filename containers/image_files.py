"""File trees of images as tar archives that come out the same, byte for byte, whenever they are made."""

from __future__ import annotations

import io
import os
import struct
import tarfile
from collections.abc import Iterable
from pathlib import Path

EPOCH = 1_577_836_800
"""Time of every file in seconds, so that archives don't differ: 2020-01-01 (zip archives can't tell times before 1980)."""

_LOAD = 0x400000
_PAUSE = {
    "x86_64": (62, bytes.fromhex("b822000000" "0f05" "ebf7")),  # mov eax, 34 (pause); syscall; jmp back
    "aarch64": (183, bytes.fromhex("280980d2" "000080d2" "010080d2" "020080d2" "030080d2" "010000d4" "fbffff17")),  # ppoll
}
"""Machine number of ELF and the instructions: an endless loop of a system call that waits."""


def _normal(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = EPOCH
    return info


def write_tree(root: Path, target: Path) -> None:
    """Archive everything below `root`: sorted, owned by root, with one time. Hard links become files of their own. OSError."""
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        for folder, folders, files in os.walk(root):
            folders.sort()
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in sorted([*files, *folders]):
                path = Path(folder) / name
                info = _normal(archive.gettarinfo(str(path), str(path.relative_to(root))))
                if info.islnk():
                    info.type, info.size = tarfile.REGTYPE, path.stat().st_size
                if info.isreg():
                    with path.open("rb") as content:
                        archive.addfile(info, content)
                else:
                    archive.addfile(info)
            folders[:] = [name for name in folders if name not in links]


def pack(files: Iterable[tuple[str, bytes, int]]) -> bytes:
    """An archive of (name, content, mode)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content, mode in sorted(files):
            info = _normal(tarfile.TarInfo(name))
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def pause_program(machine: str) -> bytes:
    """A static program for `machine` (`os.uname().machine`) that does nothing for ever. Raises KeyError for unknown ones."""
    number, code = _PAUSE[machine]
    header, segment = 64, 56
    start = _LOAD + header + segment
    size = header + segment + len(code)
    elf = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, number, 1, start, header, 0, 0, header, segment, 1, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD, _LOAD, size, size, 0x1000)
    return elf + load + code
