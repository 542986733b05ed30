"""The data directory: private, and locked per stream by the process that owns it.

`node-<stream>.lock` is held with flock for as long as the process lives, and says who it is; a clean close leaves it empty, so
text in a lock that can be had means that its owner died without drain. `data.lock` is shared by all nodes of the directory
and taken alone by what replaces the store (`restore`).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from store.errors import DataDirInUse, StoreUnusable

DIR_LOCK = "data.lock"
TRIES = 5
TRY_SECONDS = 0.02
"""Another process that only asks who lives holds a lock for an instant: try again before saying that it is taken."""


class Owner(Struct, frozen=True):
    """Who holds a lock, and where its containers are."""

    pid: int
    url: str = ""
    driver: str = ""


class DataDir:
    """A locked data directory, made by `open`. `died`: the stream's owner before, if it died without drain."""

    def __init__(self, path: Path, stream: str, lock: int, shared: int) -> None:
        self.path = path
        self.stream = stream
        self.died = _owner(lock)
        self._lock = lock
        self._shared = shared
        self._owner = Owner(os.getpid(), driver=self.died.driver if self.died is not None else "")

    def __repr__(self) -> str:
        return f"<DataDir {self.path} {self.stream} {'locked' if self._lock >= 0 else 'closed'} died={self.died}>"

    @classmethod
    def open(cls, path: Path, stream: str) -> DataDir:
        """Make the directory if need be (0700) and take the stream's lock.

        Raises DataDirInUse naming the living owner's pid and URL, StoreUnusable for a place that can't be written.
        """
        make_private_dir(path)
        shared = _open_lock(path / DIR_LOCK)
        try:
            if not _flock(shared, fcntl.LOCK_SH):
                raise DataDirInUse(f"{path} is being restored by another process: try again when it is done")
            lock = _open_lock(path / f"node-{stream}.lock")
        except (DataDirInUse, StoreUnusable):
            os.close(shared)
            raise
        if not _flock(lock, fcntl.LOCK_EX):
            error = DataDirInUse(_in_use(path, _owner(lock)))
            os.close(lock)
            os.close(shared)
            raise error
        opened = cls(path, stream, lock, shared)
        opened._write(opened._owner)
        return opened

    def set_url(self, url: str) -> None:
        """Say where this process is reached: what a second start tells its user."""
        self._write(msgspec.structs.replace(self._owner, url=url))

    def set_driver(self, name: str) -> None:
        """Say what makes this process's containers: they may outlive it."""
        self._write(msgspec.structs.replace(self._owner, driver=name))

    def _write(self, owner: Owner) -> None:
        self._owner = owner
        _write(self._lock, msgspec.json.encode(owner))

    def close(self, *, clean: bool = True) -> None:
        """Give the locks back; `clean`: everything was drained, so the next owner sees no death."""
        if self._lock < 0:
            return
        if clean:
            _write(self._lock, b"")
        os.close(self._lock)
        os.close(self._shared)
        self._lock = self._shared = -1


def owners(path: Path) -> dict[str, Owner]:
    """The living owners of a data directory by stream: how client commands find the local node."""
    found: dict[str, Owner] = {}
    for file in sorted(path.glob("node-*.lock")):
        lock = _open_lock(file)
        try:
            owner = _owner(lock)
            if owner is not None and not _flock(lock, fcntl.LOCK_EX, tries=1):
                found[file.name.removeprefix("node-").removesuffix(".lock")] = owner
        finally:
            os.close(lock)
    return found


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep every node out of the directory. Raises DataDirInUse naming one that is in it, StoreUnusable."""
    make_private_dir(path)
    lock = _open_lock(path / DIR_LOCK)
    try:
        if not _flock(lock, fcntl.LOCK_EX):
            raise DataDirInUse(_in_use(path, next(iter(owners(path).values()), None)))
        yield
    finally:
        os.close(lock)


def make_private_dir(path: Path) -> None:
    """Make the directory with mode 0700 if it is not there. Raises StoreUnusable."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise StoreUnusable(f"{path} is not a directory: choose another --data-dir") from None
    except OSError as error:
        raise StoreUnusable(f"{path} can't be made ({error.strerror}): choose another --data-dir") from None


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        text = f"{path.parent} can't be written ({error.strerror}): make it writable or choose another --data-dir"
        raise StoreUnusable(text) from None


def _flock(lock: int, mode: int, tries: int = TRIES) -> bool:
    for attempt in range(tries):
        try:
            fcntl.flock(lock, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < tries:
                time.sleep(TRY_SECONDS)
        else:
            return True
    return False


def _owner(lock: int) -> Owner | None:
    text = os.pread(lock, 4096, 0)
    try:
        return msgspec.json.decode(text, type=Owner) if text else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Owner(0)  # cut off in the middle of writing: someone was here


def _write(lock: int, text: bytes) -> None:
    """Lock files are hints for people but for being empty or not: a short write can't hurt, a full disk must not."""
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, text, 0)
    except OSError as error:
        raise StoreUnusable(f"the lock of the data directory can't be written ({error.strerror})") from None


def _in_use(path: Path, owner: Owner | None) -> str:
    who = f"process {owner.pid}" if owner and owner.pid else "another process"
    where = f" at {owner.url}" if owner and owner.url else ""
    return f"{path} is in use by {who}{where}: stop it first, or choose another --data-dir"
