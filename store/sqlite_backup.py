"""Copying the store while the node writes, and putting a copy back. Blocking: callers give it a thread."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from store.data_dir import alone
from store.errors import StoreError, StoreUnusable
from store.secret_files import sync_dir
from store.sqlite_schema import FILE_NAME, check_ours


def backup(data_dir: Path, target: Path) -> None:
    """Write one consistent copy of the store to `target` (0600, replaced at once), while nodes go on writing.

    Raises StoreUnusable if there is no store, if it is damaged, or if the copy can't be written.
    """
    source = data_dir / FILE_NAME
    if not source.is_file():
        raise StoreUnusable(f"{data_dir} has no {FILE_NAME}: nothing to back up")
    if target.is_dir():
        raise StoreUnusable(f"{target} is a directory: name a file")
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _create_private(fresh)
        with closing(sqlite3.connect(source, isolation_level=None)) as connection:
            check_ours(connection, source)
            connection.execute("VACUUM INTO ?", (str(fresh),))
        _finish(fresh, target)
    except sqlite3.Error as error:
        raise StoreUnusable(f"{source} can't be copied to {target}: {error}") from None
    except OSError as error:
        raise StoreUnusable(f"{target} can't be written: {error.strerror}") from None
    finally:
        fresh.unlink(missing_ok=True)


def restore(data_dir: Path, copy: Path) -> None:
    """Put a copy in the place of the store, whole or not at all.

    The installation id stays that of the data directory, a new directory gets one of its own: the copy may start beside the
    node that it was made of, and must not take that one's containers for its own.

    Raises DataDirInUse while a node runs there, StoreUnusable if the copy is damaged, another program's or a newer release's.
    """
    if not copy.is_file():
        raise StoreUnusable(f"{copy} is not there")
    target = data_dir / FILE_NAME
    with alone(data_dir):
        fresh = data_dir / f".{FILE_NAME}.{os.getpid()}"
        try:
            _create_private(fresh)
            shutil.copyfile(copy, fresh)
            _check(fresh, copy)
            _set_installation(fresh, _installation(target))
            _settle_log(target)
            _finish(fresh, target)
        except OSError as error:
            raise StoreUnusable(f"{copy} can't be restored to {data_dir}: {error.strerror}") from None
        finally:
            for leftover in (fresh, *_companions(fresh)):
                leftover.unlink(missing_ok=True)


def _check(fresh: Path, copy: Path) -> None:
    try:
        with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            check_ours(connection, copy)
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise StoreUnusable(f"{copy} is damaged or no database: {error}") from None
    if found != "ok":
        raise StoreUnusable(f"{copy} is damaged: {found}")


def _installation(target: Path) -> str | None:
    """The installation id of the store that is replaced, if there is one that can be read."""
    if not target.is_file():
        return None
    try:
        with closing(sqlite3.connect(target, isolation_level=None)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = 'installation'").fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


def _set_installation(fresh: Path, value: str | None) -> None:
    """None: the next start makes one."""
    with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        connection.execute("DELETE FROM meta WHERE name = 'installation'")
        if value is not None:
            connection.execute("INSERT INTO meta (name, value) VALUES ('installation', ?)", (value,))


def _settle_log(target: Path) -> None:
    """Bring the old file's write-ahead log to its end, or throw it away with what it belonged to.

    A log that stayed behind would be taken for the new file's.
    """
    if not any(path.exists() for path in _companions(target)):
        return
    try:
        with closing(sqlite3.connect(target, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except (sqlite3.Error, StoreError):
        pass  # the old file is damaged: perhaps the reason for restoring
    for path in _companions(target):
        path.unlink(missing_ok=True)
    sync_dir(target.parent)


def _companions(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def _create_private(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _finish(fresh: Path, target: Path) -> None:
    file = os.open(fresh, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
    fresh.replace(target)
    sync_dir(target.parent)
