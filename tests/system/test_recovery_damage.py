"""A store that was damaged behind the node's back: said clearly, and nothing half-written is taken for true."""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from store.sqlite_schema import FILE_NAME
from tests.crash.node import Node
from tests.crash.story import Stored, Story
from tests.crash.watch import CODE, Watch

PAGE = 4096


def worked(data_dir: Path, invocations: int, *, clean: bool) -> None:
    """A node that did something and ended."""
    with Watch() as watch, Node(data_dir) as node:
        story = Story(watch)
        node.wait_ready()
        node.put_action("work", "python:3", CODE["python:3"])
        for i in range(invocations):
            assert story.invoke(node, "work", f"n{i}", blocking=True).outcome == "answer"
        node.wait_quiet()
        assert (node.stop() if clean else node.kill()).code == (0 if clean else -signal.SIGKILL)


def newest(data_dir: Path) -> tuple[int, bytes]:
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as connection:
        n, body = connection.execute("SELECT n, body FROM journal ORDER BY n DESC LIMIT 1").fetchone()
    return n, bytes(body)


def refused(data_dir: Path) -> str:
    with Node(data_dir) as node:
        ended = node.wait_dead()
        said = node.output
    assert ended.code not in {0, -signal.SIGKILL}, said
    assert ended.left == []
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("what", ["a changed byte", "a cut document"])
def test_damaged_last_document(what: str, tmp_path: Path) -> None:
    """The newest journal document is not what was written: the node names it and does not start."""
    data_dir = tmp_path / "data"
    worked(data_dir, 3, clean=True)
    n, body = newest(data_dir)
    at = body.index(b"sha") + 20
    wrong = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :] if what == "a changed byte" else body[: len(body) // 2]
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE journal SET body = ? WHERE n = ?", (wrong, n))
    assert f"document {n}" in refused(data_dir)
    assert newest(data_dir) == (n, wrong)  # looked at, not touched


def test_missing_document(tmp_path: Path) -> None:
    """A gap after the newest snapshot is named."""
    data_dir = tmp_path / "data"
    worked(data_dir, 3, clean=True)
    n, _ = newest(data_dir)
    with closing(sqlite3.connect(data_dir / FILE_NAME)) as connection, connection:
        connection.execute("DELETE FROM journal WHERE n = ?", (n - 1,))
    assert f"document {n - 1}" in refused(data_dir)


@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
def test_damaged_page(filling: bytes, tmp_path: Path) -> None:
    """The page of the file with the newest journal document is lost: the file and what to do are named."""
    data_dir = tmp_path / "data"
    worked(data_dir, 3, clean=True)
    _, body = newest(data_dir)
    file = data_dir / FILE_NAME
    content = bytearray(file.read_bytes())
    page = content.rindex(body[:60]) // PAGE * PAGE
    content[page : page + PAGE] = filling * PAGE
    file.write_bytes(content)
    said = refused(data_dir)
    assert str(file) in said
    assert "restore" in said
    assert file.read_bytes()[page : page + PAGE] == filling * PAGE  # left for whoever can mend it


@pytest.mark.parametrize("how", ["cut", "cut within a frame", "changed"])
def test_damaged_log(how: str, tmp_path: Path) -> None:
    """The end of the write-ahead log is lost, as when a disk lied about a sync: what is before it is whole and goes on."""
    data_dir = tmp_path / "data"
    worked(data_dir, 12, clean=False)
    log = data_dir / f"{FILE_NAME}-wal"
    content = bytearray(log.read_bytes())
    frame = PAGE + 24
    end = 32 + (len(content) - 32) * 3 // 4 // frame * frame
    if how == "cut":
        del content[end:]
    elif how == "cut within a frame":
        del content[end + 1000 :]
    else:
        content[end + 500] ^= 0xFF
    log.write_bytes(content)
    with Node(data_dir) as node:
        node.wait_ready().wait_quiet()
        assert node.stop().code == 0
    stored = Stored.read(data_dir)
    records = Counter(record["activationId"] for record in stored.records)
    assert 0 < len(stored.accepted) < 12, "something was cut, not everything"
    assert {id: records[id] for id in stored.accepted} == dict.fromkeys(stored.accepted, 1)
    assert sum(records.values()) == len(stored.accepted)
