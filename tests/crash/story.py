"""What callers asked for and were told, and how it becomes the oracle's `History` with what the store holds."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from messages.events import Accepted, AnyEvent
from store.contract import ActivationQuery
from store.couchdb import CouchStore
from store.couchdb_client import parse_url
from store.sqlite_schema import FILE_NAME
from tests.crash.node import Ended, NoAnswer, Node, until
from tests.crash.watch import Watch
from tests.oracle import History, Submitted, Told, check, journal_events

CODES = {"success": 0, "application error": 1, "action developer error": 2, "whisk internal error": 3}


@dataclass
class Asked:
    """One invocation of a caller. `wanted` says what the oracle needs to know; its id comes with the answer or from the journal."""

    wanted: Submitted
    outcome: str = "pending"
    """`answer`, `accepted`, `refused`, `nothing` (perhaps arrived), `unsent`."""
    id: str | None = None
    record: dict[str, Any] | None = None


class Story:
    """Invocations of one test, from any number of threads, over all processes of its node."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.asked: dict[str, Asked] = {}
        self.violations: list[str] = []
        self._lock = threading.Lock()

    def invoke(
        self,
        node: Node,
        action: str,
        n: str,
        *,
        blocking: bool,
        wanted: Submitted | None = None,
        timeout: float = 60.0,
        **arguments: Any,
    ) -> Asked:
        """Invoke and note what came back; an error of the connection is no failure here."""
        asked = Asked(replace(wanted or Submitted(""), blocking=blocking))
        with self._lock:
            assert n not in self.asked, f"{n} is asked twice"
            self.asked[n] = asked
        body = {"n": n, "watch": self.watch.port, **arguments}
        try:
            answer = node.api("POST", f"actions/{action}?blocking={'true' if blocking else 'false'}", body, timeout=timeout)
        except NoAnswer as error:
            asked.outcome = "nothing" if error.sent else "unsent"
            return asked
        if answer.status in {429, 503}:
            asked.outcome = "refused"
        elif isinstance(answer.body, dict) and "activationId" in answer.body:
            asked.id = answer.body["activationId"]
            asked.record = _stored_form(answer.body) if "response" in answer.body else None
            asked.outcome = "answer" if asked.record else "accepted"
        else:
            self.violations.append(f"{n} was answered {answer.status}: {answer.body}")
        return asked

    def ended(self, ended: Ended, *codes: int) -> None:
        """How a process ended, against how it should have."""
        if ended.code not in codes:
            self.violations.append(f"the node ended with {ended.code}, not {codes}")
        self.violations += [f"left behind: {what}" for what in ended.left]

    def history(self, place: Path | str, stream: str = "invoker0") -> History:
        """All facts, when the node is at rest or ended. `place`: its data directory, or the URL of its store."""
        database = Stored.read(place, stream) if isinstance(place, Path) else Stored.ask(place, stream)
        return self.facts(database, leaked(database.installation, stream))

    def facts(self, database: Stored, containers: list[str]) -> History:
        """All facts, with what a store holds and what was left running."""
        told, violations = [], [*self.violations]
        submitted: dict[str, Submitted] = {}
        for id, n in database.accepted.items():
            if n in self.asked:
                submitted[id] = replace(self.asked[n].wanted, id=id)
            else:
                violations.append(f"{id} was accepted, which nobody asked for")
        known = set(database.accepted.values())
        for n, asked in self.asked.items():
            if asked.outcome in {"refused", "unsent"} and n in known:
                violations.append(f"{n} was {asked.outcome}, and is in the journal")
            if asked.id is not None:
                told.append(Told(asked.id, asked.outcome, asked.record))
                if database.accepted.get(asked.id) != n:
                    violations.append(f"{n} was told {asked.id}, which the journal has for {database.accepted.get(asked.id)}")
        return History(
            submitted,
            told,
            database.records,
            database.journal,
            runs=self.watch.runs,
            containers=containers,
            violations=violations,
        )

    def check(self, place: Path | str) -> History:
        """Judge the story. Raises Broken."""
        until(lambda: all(run.end is not None for run in self.watch.runs), 5, lambda: f"user code still runs: {self.watch.runs}")
        history = self.history(place)
        check(history)
        return history


def _stored_form(shown: dict[str, Any]) -> dict[str, Any]:
    """The record of an API answer with its response as it is stored."""
    response = dict(shown["response"])
    code = CODES[response.pop("status")]
    assert response.pop("success") == (code == 0), shown
    return {**shown, "response": {**response, "statusCode": code}}


@dataclass(frozen=True)
class Stored:
    """What the store holds. `accepted`: id to the caller's key."""

    installation: str
    records: list[dict[str, Any]]
    journal: list[tuple[int, AnyEvent]]
    accepted: dict[str, str]

    @classmethod
    def read(cls, data_dir: Path, stream: str = "invoker0") -> Stored:
        """Read it, whether a node has it open or not."""
        with closing(sqlite3.connect(f"file:{data_dir / FILE_NAME}?mode=ro", uri=True, timeout=10)) as connection:
            documents = connection.execute("SELECT n, body FROM journal WHERE stream = ?", (stream,)).fetchall()
            records = [json.loads(body) for (body,) in connection.execute("SELECT body FROM activations")]
            found = dict(connection.execute("SELECT name, value FROM meta"))
        journal = journal_events(documents)
        accepted = {e.id: str(_arguments(e).get("n")) for _, e in journal if isinstance(e, Accepted)}
        return cls(next(v for k, v in found.items() if "installation" in k), records, journal, accepted)

    @classmethod
    def ask(cls, url: str, stream: str = "invoker0") -> Stored:
        """Read it from a CouchDB."""
        return asyncio.run(cls._ask(url, stream))

    @classmethod
    async def _ask(cls, url: str, stream: str) -> Stored:
        store = await CouchStore.open(parse_url(url))
        try:
            found = [(each.n, each.body) for each in await store.journal.range(stream, 1, 10**9)]
            journal = journal_events(found)
            accepted = {e.id: e for _, e in journal if isinstance(e, Accepted)}
            namespaces = {msgspec.json.decode(e.message)["user"]["namespace"]["name"] for e in accepted.values()}
            records = [
                msgspec.json.decode(msgspec.json.encode(record))
                for namespace in namespaces
                for record in await store.activations.list(ActivationQuery(namespace, limit=0))
            ]
            keys = {id: str(_arguments(e).get("n")) for id, e in accepted.items()}
            return cls(await store.installation_id(), records, journal, keys)
        finally:
            await store.close()

    def events(self, n: str) -> list[str]:
        """Names of the events of the caller's key, in order."""
        ids = {id for id, key in self.accepted.items() if key == n}
        return [event.name for _, event in self.journal if getattr(event, "id", None) in ids]

    def record(self, n: str) -> dict[str, Any]:
        """The one record of the caller's key."""
        [id] = [id for id, key in self.accepted.items() if key == n]
        [record] = [record for record in self.records if record["activationId"] == id]
        return record


def _arguments(event: Accepted) -> dict[str, Any]:
    return dict(msgspec.json.decode(event.message).get("content") or {})


def annotation(record: dict[str, Any], key: str) -> Any:
    """The value of an annotation, or None."""
    return next((pair["value"] for pair in record["annotations"] if pair["key"] == key), None)


def leaked(installation: str, stream: str) -> list[str]:
    """Control groups and directories that carry the node's name."""
    groups = [*Path("/sys/fs/cgroup").glob("rewhisk/*"), *Path("/sys/fs/cgroup").glob("*/rewhisk/*")]
    places = [*groups, *Path("/tmp").glob("rewhisk-*")]
    return [str(place) for place in places if f"{installation}.{stream}" in place.name]
