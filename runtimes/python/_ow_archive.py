"""Unpacks zip and tar.gz archives of actions; nothing is ever written outside of the target directory."""

import io
import os
import stat
import tarfile
import zipfile
import zlib

MAX_LINK = 4096
"""Bytes of a symbolic link's target: Linux's PATH_MAX."""


class BadArchive(Exception):
    """The archive can't be used; the text is for its author."""


def unpack(data: bytes, directory: str) -> None:
    """Write the archive's files below `directory`. Raises BadArchive for damaged or hostile ones."""
    root = os.path.realpath(directory)
    try:
        if data[:2] == b"PK":
            _unzip(data, root)
        else:
            _untar(data, root)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as reason:
        raise BadArchive(f"The archive is damaged: {reason}") from None
    except (OSError, RuntimeError, ValueError, UnicodeError) as reason:
        raise BadArchive(f"The archive can't be unpacked: {reason}") from None


def _unzip(data: bytes, root: str) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            if entry.filename.endswith("/"):
                _directory(root, entry.filename)
            elif stat.S_ISLNK(mode):
                if entry.file_size > MAX_LINK:
                    raise BadArchive(f"The archive's link {entry.filename!r} is too long.")
                _link(root, entry.filename, os.fsdecode(archive.read(entry)))
            else:
                with archive.open(entry) as source:
                    _file(root, entry.filename, source, mode)


def _untar(data: bytes, root: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for entry in archive:
            if entry.isdir():
                _directory(root, entry.name)
            elif entry.issym():
                _link(root, entry.name, entry.linkname)
            elif entry.isreg():
                _file(root, entry.name, archive.extractfile(entry), entry.mode)
            elif entry.islnk():
                source = _inside(root, entry.linkname)
                if not os.path.isfile(source) or os.path.islink(source):
                    raise BadArchive(f"The archive's link {entry.name!r} has no target.")
                with open(source, "rb") as file:
                    _file(root, entry.name, file, os.stat(source).st_mode)
            else:
                raise BadArchive(f"The archive's {entry.name!r} is neither file, directory nor link.")


def _inside(root: str, name: str) -> str:
    """The path of an entry. Links made by earlier entries are followed before it is compared."""
    if not name or "\0" in name:
        raise BadArchive("The archive has an entry without a usable name.")
    parts = name.replace("\\", "/").split("/")
    if name.startswith("/") or ".." in parts:
        raise BadArchive(f"The archive's entry {name!r} lies outside of the archive.")
    path = os.path.normpath(os.path.join(root, *parts))
    parent = os.path.realpath(os.path.dirname(path)) if path != root else root
    if parent != root and not parent.startswith(root + os.sep):
        raise BadArchive(f"The archive's entry {name!r} lies outside of the archive.")
    return path


def _directory(root: str, name: str) -> None:
    os.makedirs(_inside(root, name), exist_ok=True)


def _link(root: str, name: str, target: str) -> None:
    path = _inside(root, name)
    goal = os.path.realpath(os.path.join(os.path.dirname(path), target))
    if os.path.isabs(target) or (goal != root and not goal.startswith(root + os.sep)):
        raise BadArchive(f"The archive's link {name!r} points outside of the archive.")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def _file(root: str, name: str, source: "io.BufferedIOBase", mode: int) -> None:
    path = _inside(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o755 if mode & 0o111 else 0o644), "wb") as file:
        while True:
            block = source.read(1 << 20)
            if not block:
                return
            file.write(block)
