"""The SQLite file: how it is opened, what is in it, how one recognizes it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from store.errors import StoreError, StoreUnusable
from store.sqlite_errors import FAILED_ADVICE

FILE_NAME = "rewhisk.db"
APPLICATION_ID = 0x72776B31
"""`rwk1` in ASCII, in the file's header: a file without it is not ours."""

SCHEMA_VERSION = 1
BUSY_MS = 2_000
"""How long a statement waits for another process that writes (`run.py user`, `backup`) before it is StoreUnavailable."""

WAL_LIMIT = 64 * 1024 * 1024
"""Bytes to which the write-ahead log is cut after a burst."""

_HEARTBEATS = """CREATE TABLE IF NOT EXISTS heartbeats (
    doc_id TEXT PRIMARY KEY, generation INTEGER NOT NULL, rev TEXT NOT NULL, body BLOB) WITHOUT ROWID"""
"""Came after the first release: a file of that one gets it when it is opened, and that one doesn't mind it."""

_SCHEMA = (
    """CREATE TABLE journal (
        stream TEXT NOT NULL, n INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (stream, n)) WITHOUT ROWID""",
    """CREATE TABLE activations (
        activation_id TEXT NOT NULL, namespace TEXT NOT NULL, filter TEXT NOT NULL, start INTEGER NOT NULL,
        end INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (activation_id, namespace))""",
    "CREATE INDEX activations_by_start ON activations (namespace, start, activation_id)",
    "CREATE INDEX activations_by_filter ON activations (namespace, filter, start, activation_id)",
    "CREATE INDEX activations_by_end ON activations (end)",
    # A deleted entity or subject keeps its row without a body: revisions go on from where they were.
    """CREATE TABLE entities (
        doc_id TEXT PRIMARY KEY, generation INTEGER NOT NULL, rev TEXT NOT NULL, body BLOB,
        collection TEXT NOT NULL, root TEXT NOT NULL, path TEXT NOT NULL, updated INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX entities_by_root ON entities (collection, root, updated, doc_id)",
    "CREATE INDEX entities_by_path ON entities (collection, path, updated, doc_id)",
    """CREATE TABLE subjects (
        doc_id TEXT PRIMARY KEY, generation INTEGER NOT NULL, rev TEXT NOT NULL, body BLOB) WITHOUT ROWID""",
    """CREATE TABLE identities (
        subject TEXT NOT NULL, namespace TEXT NOT NULL, uuid TEXT NOT NULL, key TEXT NOT NULL)""",
    "CREATE INDEX identities_by_subject ON identities (subject)",
    "CREATE INDEX identities_by_key ON identities (uuid, key)",
    "CREATE INDEX identities_by_namespace ON identities (namespace)",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    _HEARTBEATS,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


def connect(path: Path) -> sqlite3.Connection:
    """A connection with the durability that the journal needs. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can't write. Raises sqlite3.Error."""
    connection = connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def prepare(path: Path) -> sqlite3.Connection:
    """Open the file, making it if it is not there.

    Raises StoreUnusable, with what to do, for a place that can't be written and for a file that is damaged, another
    program's or a newer release's.
    """
    _make_private(path)
    try:
        connection = connect(path)
    except sqlite3.Error as error:
        raise _unusable(path, error) from None
    try:
        _set_up(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise _unusable(path, error) from None
    except StoreError:
        connection.close()
        raise
    return connection


def check_ours(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreUnusable unless this is a database of rewhisk that this release can read."""
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    if found != APPLICATION_ID:
        raise StoreUnusable(f"{path} is a database of another program: choose another --data-dir")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreUnusable(f"{path} was written by a newer release (schema {version}): upgrade rewhisk")


def _make_private(path: Path) -> None:
    """Create the file with mode 0600; SQLite gives its -wal and -shm files the same."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise StoreUnusable(
            f"{path} can't be opened for writing ({error.strerror}): make its directory writable or choose another --data-dir"
        ) from None


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first page is written
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")  # two processes may make the file at the same time
    if not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        for statement in _SCHEMA:
            connection.execute(statement)
    connection.execute("COMMIT")
    check_ours(connection, path)
    connection.execute(_HEARTBEATS)


def _unusable(path: Path, error: sqlite3.Error) -> StoreUnusable:
    if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return StoreUnusable(f"{path} is damaged or no database ({error}): move it away, or `run.py restore FILE` a backup")
    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
        return StoreUnusable(f"{path} can't be opened, its disk is full: make room on it")
    return StoreUnusable(f"{path} can't be opened ({error}): {FAILED_ADVICE}")
