"""The note: what was mid-run when the process died, and stays known until it has ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from containers.note import PLACE, PLACES, SIZE, SLOTS, Note, Noted, read_idle, read_note
from messages.commands import Idle, Start

START = Start("python:3", "", 256, 1, False)
EMPTY = Idle("empty", START)
WARM = Idle("warm", START, ("ann", ("ann/hello", "1-a")))
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


def test_idle_containers(path: Path) -> None:
    """Told with how they were made and whose they are; not while something runs in them, nor when they are gone."""
    note = Note(path)
    note.idle(EMPTY)
    note.idle(WARM)
    assert read_idle(path) == [EMPTY, WARM]
    note.running(IDS[0], WARM.container)
    assert read_idle(path) == [EMPTY]
    note.settled(IDS[0])
    assert read_idle(path) == [EMPTY]
    note.idle(WARM)
    note.gone(EMPTY.container)
    assert read_idle(path) == [WARM]


def test_an_empty_container_becomes_somebodys(path: Path) -> None:
    """What is read back is whose it was last."""
    note = Note(path)
    note.idle(EMPTY)
    owned = Idle(EMPTY.container, EMPTY.start, WARM.owner)
    note.running(IDS[0], EMPTY.container)
    note.idle(owned)
    assert read_idle(path) == [owned]


def test_what_is_to_be_taken_over_stays_noted(path: Path) -> None:
    """A process that dies while it starts leaves it to the next."""
    Note(path).idle(WARM)
    Note(path, (), read_idle(path)).close()
    assert read_idle(path) == [WARM]


def test_containers_that_do_not_fit(path: Path) -> None:
    """One whose names are too long, or one too many, is not noted: it is not taken over, nothing else."""
    note = Note(path)
    note.idle(Idle("long", START, ("ann", ("a" * PLACE, "1-a"))))
    for n in range(PLACES + 1):
        note.idle(Idle(f"box{n}", START))
    assert len(read_idle(path)) == PLACES


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
    assert path.stat().st_blocks * 512 >= SIZE


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x00" * 1000, b"\x01" + b"\xff" * 159])
def test_damaged(path: Path, data: bytes) -> None:
    """A file cut off or filled with rubbish is no error: ids in it that no journal knows mean nothing."""
    path.write_bytes(data)
    assert all(isinstance(each, Noted) for each in read_note(path))
    assert read_idle(path) == []


def test_missing(path: Path) -> None:
    """No file, nothing noted."""
    assert read_note(path) == []
    assert read_idle(path) == []
