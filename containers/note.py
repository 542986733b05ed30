"""The note: which container runs which activation right now, and which are idle, in a memory-mapped file that survives SIGKILL.

Written before each call into user code, without a system call. After a crash it tells what was mid-run: that counts as an
attempt even if its `started` had not reached the journal, and its container must be gone before a rerun. What it says is idle
the next process may take over. It does not survive a power failure, after which no container does either.

Layout: SLOTS slots of SLOT bytes for runs, then PLACES slots of PLACE bytes for containers; the first byte is 1 while a slot
counts, then activation id and container id as ASCII (a container: its Idle as JSON), ended by a zero byte. The first byte is
written last and cleared first.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from messages.commands import Idle

SLOT, SLOTS = 160, 4096
PLACE, PLACES = 1024, 1024
SIZE = SLOT * SLOTS + PLACE * PLACES
_ID = 32

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Idle).decode


class Noted(Struct, frozen=True):
    """One run that was under way: activation id, container id."""

    activation_id: str
    container: str


class _Region:
    """Slots of one size by key. A key for which there is no slot, or whose text is too long, is not noted."""

    def __init__(self, memory: mmap.mmap, offset: int, size: int, count: int) -> None:
        self._memory = memory
        self._size = size
        self._free = list(range(offset + size * (count - 1), offset - 1, -size))
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def put(self, key: str, text: bytes) -> None:
        """Note the text, in place of what was there."""
        self.drop(key)
        if not self._free or len(text) > self._size - 2:
            return
        at = self._places[key] = self._free.pop()
        self._memory[at + 1 : at + 2 + len(text)] = text + b"\0"
        self._memory[at] = 1

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def count(self, key: str, counts: bool) -> None:
        """Let what is noted count or not."""
        at = self._places.get(key)
        if at is not None:
            self._memory[at] = counts

    def drop(self, key: str) -> None:
        """Forget it."""
        at = self._places.pop(key, None)
        if at is not None:
            self._memory[at] = 0
            self._free.append(at)


class Note:
    """The running part of the note. Raises OSError if the file can't be made.

    `earlier`: what an earlier process had noted and is still unfinished. It stays evidence until its end is in the journal: this
    process may die before it has run it again. `idle`: containers of then that are to be taken over. The file is replaced at once,
    so no moment is without that evidence.
    """

    def __init__(self, path: Path, earlier: Iterable[Noted] = (), idle: Iterable[Idle] = ()) -> None:
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        self._fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._fd, 0, SIZE)  # a hole that a full disk can't fill would end the process (SIGBUS)
        self._map = mmap.mmap(self._fd, SIZE)
        self._runs = _Region(self._map, 0, SLOT, SLOTS)
        self._containers = _Region(self._map, SLOT * SLOTS, PLACE, PLACES)
        self._owners: dict[str, object] = {}
        for noted in earlier:
            self.running(noted.activation_id, noted.container)
        for each in idle:
            self.idle(each)
        new.replace(path)

    def __repr__(self) -> str:
        return f"<Note {len(self._runs)} running, {len(self._containers)} containers>"

    def running(self, activation_id: str, container: str) -> None:
        """From now on this activation's code may run there."""
        if container in self._containers:
            self._containers.count(container, False)
        if activation_id not in self._runs:
            self._runs.put(activation_id, (activation_id + container)[: SLOT - 2].encode("ascii", "replace"))

    def settled(self, activation_id: str) -> None:
        """Its end is in the journal."""
        self._runs.drop(activation_id)

    def idle(self, container: Idle) -> None:
        """Nothing runs in it, and its output so far is read."""
        identity = container.container
        if identity in self._containers and self._owners.get(identity) == container.owner:
            self._containers.count(identity, True)
        else:
            self._owners[identity] = container.owner
            self._containers.put(identity, _encode(container))

    def gone(self, container: str) -> None:
        """It is being removed."""
        self._containers.drop(container)
        self._owners.pop(container, None)

    def close(self) -> None:
        """Unmap; the file stays."""
        self._map.close()
        os.close(self._fd)


def _slots(path: Path, offset: int, size: int, count: int) -> Iterator[bytes]:
    """The texts that count. A missing or short file: none, or fewer."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for at in range(offset, min(offset + size * count, len(data) - size + 1), size):
        if data[at] == 1:
            yield data[at + 1 : at + size].split(b"\0", 1)[0]


def read_note(path: Path) -> list[Noted]:
    """What the process before this one had noted as running."""
    texts = (slot.decode("ascii", "replace") for slot in _slots(path, 0, SLOT, SLOTS))
    return [Noted(text[:_ID], text[_ID:]) for text in texts]


def read_idle(path: Path) -> list[Idle]:
    """The containers that it had noted as idle. What can't be read is left out."""
    found = []
    for slot in _slots(path, SLOT * SLOTS, PLACE, PLACES):
        try:
            found.append(_decode(slot))
        except msgspec.DecodeError:
            continue
    return found
