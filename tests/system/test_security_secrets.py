"""Keys and arguments stay where they belong, through a crash and a drain."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store.sqlite_schema import FILE_NAME
from tests.crash.node import ROOT, RUN, Node, request, until
from tests.crash.story import Story
from tests.crash.watch import CODE, Watch
from tests.oracle import Submitted

ARGUMENT = "an-argument-that-is-nobodys-business"
KNOWN = {"guest.auth", "admin.key", FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"}
"""Files that hold a key on purpose: the two key files, and the store for its subjects."""


class Lived:
    """A node that was killed at work, with all that it printed and wrote."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.outputs: list[str] = []

    def live(self) -> None:
        with Watch() as watch:
            story = Story(watch)
            with Node(self.data_dir, "--log-level", "debug") as node:
                node.wait_ready()
                self.auth = node.auth
                self.admin = (self.data_dir / "admin.key").read_text().strip()
                node.put_action("work", "python:3", CODE["python:3"])
                node.put_action("bad", "python:3", "def main(args): raise ValueError(str(args))")
                for action in ("work", "bad"):
                    wanted = Submitted("", expect={0, 1, 2})
                    story.invoke(node, action, action, blocking=True, wanted=wanted, secret=ARGUMENT)
                caller = threading.Thread(
                    target=story.invoke, args=(node, "work", "killed"), kwargs={"blocking": True, "sleep": 1, "secret": ARGUMENT}
                )
                caller.start()
                until(lambda: watch.started("killed") > 0, 30, lambda: node.output)
                node.status()
                for wrong in ("", "wrong", "a:b", self.auth + "x"):
                    assert request(node.url, "GET", "/api/v1/namespaces/_/actions", auth=wrong).status == 401
                self.while_it_runs = {path.name: path.stat().st_mode & 0o777 for path in self.data_dir.iterdir()}
                story.ended(node.kill(), -signal.SIGKILL)
                caller.join()
                self.outputs.append(node.output)
            self.crashed = {path.name: path.read_bytes() for path in self.data_dir.iterdir()}
            with Node(self.data_dir, "--log-level", "debug") as node:
                node.wait_ready().wait_quiet()
                story.ended(node.stop(), 0)
                self.outputs.append(node.output)
            story.check(self.data_dir)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    lived = Lived(tmp_path_factory.mktemp("secrets"))
    lived.live()
    yield lived


def after_banner(output: str) -> str:
    return output.partition("\nready after ")[2]


def test_files_are_private(lived: Lived) -> None:
    """Directory 0700, every file 0600, while it runs and afterwards."""
    assert lived.data_dir.stat().st_mode & 0o777 == 0o700
    assert lived.while_it_runs == dict.fromkeys(lived.while_it_runs, 0o600)
    assert {path.stat().st_mode & 0o777 for path in lived.data_dir.iterdir()} == {0o600}


def test_key_is_in_no_other_file(lived: Lived) -> None:
    """Neither note nor locks nor anything else in the data directory; whole or its secret half."""
    for secret in (lived.auth.split(":")[1], lived.admin):
        for name, content in lived.crashed.items():
            if name not in KNOWN:
                assert secret.encode() not in content, name
    assert lived.auth.split(":")[1].encode() not in lived.crashed["admin.key"]


def test_store_has_the_key_for_subjects_alone(lived: Lived) -> None:
    """The file without its subjects, every other page of it looked at as bytes, knows no key; the admin key it never knew."""
    key = lived.auth.split(":")[1].encode()
    raw = lived.crashed[FILE_NAME] + lived.crashed.get(f"{FILE_NAME}-wal", b"")
    assert key in raw, "subjects are stored as upstream stores them"
    assert lived.admin.encode() not in raw
    copy = lived.directory / "copy.db"
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS lived", (str(lived.data_dir / FILE_NAME),))
        tables = [name for (name,) in connection.execute("SELECT name FROM lived.sqlite_schema WHERE type = 'table'")]
        others = [name for name in tables if name not in {"subjects", "identities"} and not name.startswith("sqlite_")]
        assert {"journal", "activations", "entities", "meta"} <= set(others)
        for name in others:
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM lived.{name}")
        assert connection.execute("SELECT count(*) FROM journal").fetchone()[0] > 5
    assert key not in copy.read_bytes()


def test_output_has_no_secret(lived: Lived) -> None:
    """The credentials are in the banner of the first start; no log line has them, the admin key, or an argument."""
    assert lived.auth in lived.outputs[0].partition("\nready after ")[0]
    for output in lived.outputs:
        assert lived.auth.split(":")[1] not in after_banner(output)
        assert lived.admin not in output
        assert ARGUMENT not in output


@pytest.mark.parametrize("arguments", [("journal",), ("journal", "--json"), ("journal", "--show-args", "--json")])
def test_journal_shows_arguments_only_when_asked(lived: Lived, arguments: tuple[str, ...]) -> None:
    """And no key ever."""
    done = subprocess.run(
        [sys.executable, str(RUN), *arguments, "--data-dir", str(lived.data_dir)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "accepted" in done.stdout
    assert lived.auth.split(":")[1] not in done.stdout
    assert (ARGUMENT in done.stdout) == ("--show-args" in arguments)
