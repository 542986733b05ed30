"""The note: what was mid-run when the process died, and stays known until it has ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from containers.note import SLOT, SLOTS, Note, Noted, read_note

IDS = [f"{i:032x}" for i in range(SLOTS + 1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "note.map"


def test_running_is_read_back(path: Path) -> None:
    """Who runs is told by the file at once, without a close; who has settled is not."""
    note = Note(path)
    note.running(IDS[0], "first")
    note.running(IDS[1], "second")
    note.settled(IDS[0])
    assert read_note(path) == [Noted(IDS[1], "second")]
    note.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_earlier_stays(path: Path) -> None:
    """A process that dies while it starts loses no evidence of the one before it; the end of the activation clears it."""
    Note(path).running(IDS[0], "first")
    Note(path, read_note(path)).close()
    note = Note(path, read_note(path))
    assert read_note(path) == [Noted(IDS[0], "first")]
    note.running(IDS[0], "again")
    note.settled(IDS[0])
    assert read_note(path) == []
    note.close()


def test_replaced_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file is there, whole, until the new one is."""
    Note(path).running(IDS[0], "first")
    monkeypatch.setattr(Note, "running", lambda *_: os.abort() if read_note(path) != [Noted(IDS[0], "first")] else None)
    Note(path, read_note(path)).close()


def test_more_than_it_holds(path: Path) -> None:
    """When all slots are taken the rest runs unnoted; a slot that is free again is used."""
    note = Note(path)
    for id in IDS:
        note.running(id, "c")
    assert len(read_note(path)) == SLOTS
    note.settled(IDS[0])
    note.running(IDS[-1], "c")
    assert Noted(IDS[-1], "c") in read_note(path)
    note.close()


def test_has_its_space(path: Path) -> None:
    """All of the file is on the disk from the beginning: writing to the map can't meet a full one."""
    Note(path).close()
    assert path.stat().st_blocks * 512 >= SLOT * SLOTS


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x00" * 1000, b"\x01" + b"\xff" * 159])
def test_damaged(path: Path, data: bytes) -> None:
    """A file cut off or filled with rubbish is no error: ids in it that no journal knows mean nothing."""
    path.write_bytes(data)
    assert all(isinstance(each, Noted) for each in read_note(path))


def test_missing(path: Path) -> None:
    """No file, nothing noted."""
    assert read_note(path) == []
