"""Small files that only their owner may read: the key of namespace guest, the admin key."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from store.errors import StoreUnusable

GUEST_AUTH = "guest.auth"
ADMIN_KEY = "admin.key"


def read_secret(path: Path) -> str | None:
    """What the file says, without the newline; None if it is not there. Raises StoreUnusable."""
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnusable(f"{path} can't be read ({error}): make it readable or remove it") from None


def write_secret(path: Path, text: str) -> None:
    """Replace the file, mode 0600, at once and durably: a crash leaves the old text or the new. Raises StoreUnusable."""
    fresh = _fresh(path, text)
    try:
        fresh.replace(path)
        sync_dir(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None


def keep_secret(path: Path, text: str) -> str:
    """Write the file unless there is one; what it says then. Of processes that do so at once all get the same."""
    kept = read_secret(path)
    if kept:
        return kept
    if kept == "":
        write_secret(path, text)
        return text
    fresh = _fresh(path, text)
    try:
        with suppress(FileExistsError):
            path.hardlink_to(fresh)
        sync_dir(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        fresh.unlink()
    return read_secret(path) or text


def sync_dir(path: Path) -> None:
    """Make a rename in this directory durable."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _fresh(path: Path, text: str) -> Path:
    fresh = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w", encoding="ascii") as out:
            out.write(text + "\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise _unwritable(path, error) from None
    return fresh


def _unwritable(path: Path, error: OSError) -> StoreUnusable:
    return StoreUnusable(f"{path} can't be written ({error.strerror}): make its directory writable or choose another --data-dir")
