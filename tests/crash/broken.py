"""run.py with one thing broken on purpose, chosen by BROKEN_NODE: what the oracle has to notice in a real node."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from containers.host import ContainerHost
from store.errors import StoreUnavailable
from store.journal import Journal
from store.journal_reader import JournalReader
from store.sqlite_log import SqliteLog
from transport import node, stream_core

WRITES_AFTER = 3.0
"""Seconds that the hasty journal keeps events from the store: long enough for a cold run."""


class Hasty(Journal):
    """Says durable at once, writes later: the caller is told, the code runs, the record is there before `accepted`."""

    def append(self, event, done=None, *, lazy=False):
        super().append(event, lazy=lazy)
        if done is not None:
            done()

    def _kick(self):
        if not self._pumping:
            self._pumping = True
            self._clock.call_later(WRITES_AFTER, lambda: self._spawn(self._pump()))


class Twice(ContainerHost):
    """Calls the code once more when it has answered. (A job sent twice to a container is met by the state tables already.)"""

    def call(self, cid, path, run_id, body, timeout, reply):
        def again(called):
            reply(called)
            if path == "/run":
                self._spawn(self._call(self._hosted[cid].container, path, run_id, body, timeout, lambda _: None))

        super().call(cid, path, run_id, body, timeout, again)


def hasty() -> None:
    stream_core.Journal = Hasty


def forgetful() -> None:
    """Replay skips the newest document before its own claim."""
    honest = JournalReader.folded

    async def folded(self, snapshot, last):
        return await honest(self, snapshot, max(snapshot, last - 2))

    JournalReader.folded = folded


def unanswered() -> None:
    """A store that answers reads, and no write of the journal, ever. (No fault of a node: of the world around it.)"""

    async def create(*_):
        raise StoreUnavailable("no answer")

    SqliteLog.create = create


def twice() -> None:
    node.ContainerHost = Twice


BROKEN = {
    "record before accepted": hasty,
    "replay skips the last document": forgetful,
    "duplicate enqueue": twice,
    "store without an answer": unanswered,
}

if __name__ == "__main__":
    BROKEN[os.environ["BROKEN_NODE"]]()
    from console.cli import main

    sys.exit(main(sys.argv[1:]))
