"""What a start finds: work whose action is gone, work that is too old, a backup, a journal that was cut short by age."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from store.sqlite_schema import FILE_NAME
from tests.crash.node import ROOT, RUN, Node, until
from tests.crash.story import Stored, Story
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted

GOOD = Submitted("", expect={0})


def command(*arguments: object) -> str:
    """A client command that succeeds."""
    done = subprocess.run(
        [sys.executable, str(RUN), *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    assert done.stderr == ""
    return done.stdout


def busy(story: Story, node: Node, n: str, sleep: float) -> threading.Thread:
    """An invocation whose code runs."""
    node.put_action("work", "python:3", CODE["python:3"])
    how = {"blocking": True, "wanted": GOOD, "sleep": sleep}
    caller = threading.Thread(target=story.invoke, args=(node, "work", n), kwargs=how)
    caller.start()
    until(lambda: story.watch.started(n) > 0, 30, lambda: node.output)
    return caller


def test_action_deleted_before_the_restart(tmp_path: Path) -> None:
    """Answered 202, its action deleted, the node killed: it ends with a record that says so."""
    data_dir = tmp_path / "data"
    with Watch() as watch:
        story = Story(watch)
        with Node(data_dir, "--memory", "256m") as node:  # room for one: what comes second waits
            node.wait_ready()
            caller = busy(story, node, "first", 0.5)
            node.put_action("gone", "python:3", CODE["python:3"])
            waiting = story.invoke(node, "gone", "waiting", blocking=False, wanted=Submitted("", expect={1}))
            assert waiting.outcome == "accepted"
            assert node.api("DELETE", "actions/gone").status == 200
            story.ended(node.kill(), -signal.SIGKILL)
            caller.join()
        with Node(data_dir, "--memory", "256m") as node:
            node.wait_ready().wait_quiet()
            record = node.api("GET", f"activations/{waiting.id}")
            story.ended(node.stop(), 0)
        story.check(data_dir)
        assert record.status == 200
        assert "error" in record.body["response"]["result"]
        assert watch.started("waiting") == 0


def test_too_old(tmp_path: Path) -> None:
    """Accepted before an outage longer than `--max-age`, never started: ended with a record; what had started is finished."""
    data_dir = tmp_path / "data"
    with Watch() as watch:
        story = Story(watch)
        with Node(data_dir, "--memory", "256m") as node:
            node.wait_ready()
            caller = busy(story, node, "started", 0.5)
            story.invoke(node, "work", "waiting", blocking=False, wanted=Submitted("", expect={3}))
            story.ended(node.kill(), -signal.SIGKILL)
            caller.join()
        time.sleep(1.1)  # the outage
        with Node(data_dir, "--memory", "256m", "--max-age", "1s") as node:
            node.wait_ready().wait_quiet()
            story.ended(node.stop(), 0)
        story.check(data_dir)
        assert watch.started("waiting") == 0
        assert watch.started("started") == 2
        assert "old" in Stored.read(data_dir).record("waiting")["response"]["result"]["error"]


def test_backup_and_restore(tmp_path: Path) -> None:
    """A copy made while the node works starts elsewhere, finishes what was unfinished then, and leaves the original alone."""
    data_dir, copy, file = tmp_path / "data", tmp_path / "copy", tmp_path / "backup.db"
    with Watch() as watch:
        story = Story(watch)
        with Node(data_dir) as node:
            node.wait_ready()
            caller = busy(story, node, "running", 4)
            for i in range(5):
                assert story.invoke(node, "work", f"n{i}", blocking=True, wanted=GOOD).outcome == "answer"
            command("backup", file, "--data-dir", data_dir)
            assert file.stat().st_mode & 0o777 == 0o600
            assert story.invoke(node, "work", "later", blocking=True, wanted=GOOD).outcome == "answer"
            command("restore", file, "--data-dir", copy)
            with Node(copy) as second:  # beside the original, whose containers are not the copy's
                second.wait_ready()
                assert "1 unfinished activation resumed" in second.output
                second.wait_quiet()
                assert second.stop().code == 0
            caller.join()
            assert story.asked["running"].outcome == "answer"
            story.ended(node.stop(), 0)
        before = Stored.read(copy)
        assert before.record("running")["response"]["result"] == {"n": "running"}
        assert set(before.accepted.values()) == {"running", *(f"n{i}" for i in range(5))}
        watch.forget("running", 1)  # the copy's run: another installation's
        story.check(data_dir)
    assert before.installation != Stored.read(data_dir).installation


def test_restore_is_refused_while_a_node_runs(tmp_path: Path) -> None:
    """Its owner is named, and nothing is changed."""
    data_dir, file = tmp_path / "data", tmp_path / "backup.db"
    with Node(data_dir) as node:
        node.wait_ready()
        command("backup", file, "--data-dir", data_dir)
        done = subprocess.run(
            [sys.executable, str(RUN), "restore", str(file), "--data-dir", str(data_dir)],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 4
        assert str(node.pid) in done.stderr
        assert node.stop().code == 0


def rows(data_dir: Path, table: str) -> int:
    with closing(sqlite3.connect(f"file:{data_dir / FILE_NAME}?mode=ro", uri=True)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def free_pages(data_dir: Path) -> int:
    with closing(sqlite3.connect(f"file:{data_dir / FILE_NAME}?mode=ro", uri=True)) as connection:
        return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def test_retention(tmp_path: Path) -> None:
    """Old records and journal documents go, the file shrinks, and what is left of the journal is enough for a start."""
    data_dir = tmp_path / "data"
    many, large = 40, "x" * 60_000
    often = {"REWHISK_RETENTION_EVERY": "200ms", "REWHISK_SNAPSHOT_EVERY": "5"}
    with Watch() as watch:
        story = Story(watch)
        with Node(data_dir, environment=often) as node:
            node.wait_ready()
            node.put_action("work", "python:3", CODE["python:3"])
            for i in range(many):
                story.invoke(node, "work", f"n{i}", blocking=True, wanted=GOOD, blob=large)
            node.wait_quiet()
            story.ended(node.stop(), 0)
        story.check(data_dir)
        size, documents = (data_dir / FILE_NAME).stat().st_size, rows(data_dir, "journal")
        assert size > many * len(large)
        last: dict[str, Any] = {}
        with Node(data_dir, "--keep-activations", "1s", "--keep-journal", "1s", environment=often) as node:
            node.wait_ready()

            def shrunk() -> bool:
                last["asked"] = story.invoke(node, "work", f"more{len(story.asked)}", blocking=True, wanted=GOOD)
                return rows(data_dir, "activations") < many / 2 and rows(data_dir, "journal") < documents / 2

            until(shrunk, 30, lambda: f"{rows(data_dir, 'activations')} records, {rows(data_dir, 'journal')} documents", 0.1)
            story.ended(node.kill(), -signal.SIGKILL)
        with Node(data_dir, environment=often) as node:
            node.wait_ready().wait_quiet()
            until(lambda: free_pages(data_dir) == 0, 30, lambda: f"{free_pages(data_dir)} free pages", 0.1)
            story.ended(node.stop(), 0)
        assert (data_dir / FILE_NAME).stat().st_size < size / 2
        assert story.violations == []
        claims = sum(event.name == "claim" for _, event in Stored.read(data_dir).journal)
        assert claims == 3, "claims are never deleted"
