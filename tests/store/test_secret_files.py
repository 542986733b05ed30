"""Secrets are private, whole, and the same for all who ask."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from store.errors import StoreUnusable
from store.secret_files import keep_secret, read_secret, write_secret


def test_a_secret_reads_back(tmp_path: Path) -> None:
    """Mode 0600, replaced whole, nothing left beside it."""
    file = tmp_path / "guest.auth"
    assert read_secret(file) is None
    write_secret(file, "uuid:key")
    write_secret(file, "uuid:other")
    assert read_secret(file) == "uuid:other"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_kept_stays(tmp_path: Path) -> None:
    """The first text wins; an empty file is no secret."""
    file = tmp_path / "admin.key"
    assert keep_secret(file, "first") == "first"
    assert keep_secret(file, "second") == "first"
    file.write_text("")
    assert keep_secret(file, "third") == "third"
    assert read_secret(file) == "third"
    assert list(tmp_path.iterdir()) == [file]


def test_all_who_start_at_once_get_the_same(tmp_path: Path) -> None:
    """Of texts offered at the same time one is kept, and everybody gets that one."""
    for attempt in range(10):
        file = tmp_path / f"key{attempt}"
        barrier = threading.Barrier(2)
        got: list[str] = []

        def ask(text: str, file: Path = file, barrier: threading.Barrier = barrier, got: list[str] = got) -> None:
            barrier.wait()
            got.append(keep_secret(file, text))

        threads = [threading.Thread(target=ask, args=(f"text{i}",)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 2 and set(got) == {read_secret(file)}


def test_places_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    """Named, with the fix."""
    with pytest.raises(StoreUnusable, match=r"/proc/self/guest\.auth.*--data-dir"):
        write_secret(Path("/proc/self/guest.auth"), "x")
    with pytest.raises(StoreUnusable, match="--data-dir"):
        keep_secret(tmp_path / "missing" / "guest.auth", "x")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for unreadable in (tmp_path, tmp_path / "binary"):
        with pytest.raises(StoreUnusable, match="can't be read"):
            read_secret(unreadable)
