"""SQLite's result codes in the store's terms (https://www.sqlite.org/rescode.html)."""

from __future__ import annotations

import sqlite3

from store.errors import Conflict, StoreError, StoreFailed, StoreRefused, StoreUnavailable

_UNAVAILABLE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM}
_FAILED = {
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM,
}  # fmt: skip
_REFUSED = {sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH}

FAILED_ADVICE = "check the disk and the permissions, or go back to a backup (`run.py restore FILE`)"


def store_error(error: sqlite3.Error, path: str) -> StoreError | None:
    """What `error` means for the caller; None if it speaks of a bug here, not of the store."""
    extended = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return None
    # A full disk also shows where the shared-memory file of the write-ahead log can't grow.
    code = sqlite3.SQLITE_FULL if extended == sqlite3.SQLITE_IOERR_SHMSIZE else extended & 0xFF
    if code in _UNAVAILABLE:
        return StoreUnavailable(f"{path}: {error}")
    if code in _FAILED:
        return StoreFailed(f"{path}: {error}: {FAILED_ADVICE}")
    if code in _REFUSED:
        return StoreRefused(str(error))
    if code == sqlite3.SQLITE_CONSTRAINT:
        return Conflict(str(error))
    return None
