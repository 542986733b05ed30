"""The note: which container runs which activation right now, in a memory-mapped file that survives SIGKILL.

Written before each call into user code, without a system call. After a crash it tells what was mid-run: that counts as an
attempt even if its `started` had not reached the journal, and its container must be gone before a rerun. It does not
survive a power failure, after which no container does either.

Layout: SLOTS slots of SLOT bytes; the first byte is 1 while the slot counts, then activation id and container id as ASCII,
ended by a zero byte. The first byte is written last and cleared first.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

SLOT = 160
SLOTS = 4096
_ID = 32


class Noted(Struct, frozen=True):
    """One run that was under way: activation id, container id."""

    activation_id: str
    container: str


class Note:
    """The running part of the note. Raises OSError if the file can't be made.

    `earlier`: what an earlier process had noted and is still unfinished. It stays evidence until its end is in the journal: this
    process may die before it has run it again. The file is replaced at once, so no moment is without that evidence.
    """

    def __init__(self, path: Path, earlier: Iterable[Noted] = ()) -> None:
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        self._fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._fd, 0, SLOT * SLOTS)  # a hole that a full disk can't fill would end the process (SIGBUS)
        self._map = mmap.mmap(self._fd, SLOT * SLOTS)
        self._free = list(range(SLOTS - 1, -1, -1))
        self._slots: dict[str, int] = {}
        for noted in earlier:
            self.running(noted.activation_id, noted.container)
        new.replace(path)

    def __repr__(self) -> str:
        return f"<Note {len(self._slots)} running>"

    def running(self, activation_id: str, container: str) -> None:
        """From now on this activation's code may run there."""
        if activation_id in self._slots or not self._free:
            return
        slot = self._free.pop()
        self._slots[activation_id] = slot
        at = slot * SLOT
        text = (activation_id + container)[: SLOT - 2].encode("ascii", "replace") + b"\0"
        self._map[at + 1 : at + 1 + len(text)] = text
        self._map[at] = 1

    def settled(self, activation_id: str) -> None:
        """Its end is in the journal."""
        slot = self._slots.pop(activation_id, None)
        if slot is not None:
            self._map[slot * SLOT] = 0
            self._free.append(slot)

    def close(self) -> None:
        """Unmap; the file stays."""
        self._map.close()
        os.close(self._fd)


def read_note(path: Path) -> list[Noted]:
    """What the process before this one had noted. A missing or short file: nothing."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    noted = []
    for at in range(0, len(data) - SLOT + 1, SLOT):
        if data[at] == 1:
            text = data[at + 1 : at + SLOT].split(b"\0", 1)[0].decode("ascii", "replace")
            noted.append(Noted(text[:_ID], text[_ID:]))
    return noted
