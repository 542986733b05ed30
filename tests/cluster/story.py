"""The story of a cluster: what callers were told by any controller, against what the database holds of all nodes."""

from __future__ import annotations

import base64
import http.client
import json
import time
from typing import Any
from urllib.parse import quote

from messages.events import Accepted, Claimed
from tests.cluster.cluster import Cluster, Process
from tests.crash.node import NoAnswer, until
from tests.crash.story import Asked, Stored, Story, _arguments, leaked
from tests.oracle import History, check, journal_events
from tests.support.couchdb.server import ADMIN

META = ("_id", "_rev", "updated", "entityType")


def documents(cluster: Cluster, database: str) -> list[dict[str, Any]]:
    """All documents of a database of this cluster, read past everything that is tested."""
    connection = http.client.HTTPConnection("127.0.0.1", cluster.couch.port, timeout=60)
    try:
        name = quote(cluster.prefix.replace("-", "_") + database, safe="")
        key = base64.b64encode(":".join(ADMIN).encode()).decode()
        connection.request("GET", f"/{name}/_all_docs?include_docs=true", headers={"Authorization": f"Basic {key}"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        return [row["doc"] for row in json.loads(answer.read())["rows"]]
    finally:
        connection.close()


class ClusterStory(Story):
    """Invocations through any controller, judged by all streams of nodes together."""

    def stored(self, cluster: Cluster) -> Stored:
        """What the database holds: journals stream after stream, records."""
        streams: dict[str, list[tuple[int, bytes]]] = {}
        installation = ""
        for document in documents(cluster, "journal"):
            kind, _, rest = document["_id"].partition(":")
            if kind == "ev" and rest.startswith("invoker"):
                stream, _, number = rest.rpartition(":")
                streams.setdefault(stream, []).append((int(number), json.dumps(document).encode()))
            installation = document.get("installation", installation)
        journal = [pair for stream in sorted(streams) for pair in journal_events(streams[stream])]
        records = [
            {key: value for key, value in document.items() if key not in META}
            for document in documents(cluster, "activations")
            if document.get("entityType") == "activation"
        ]
        accepted = {event.id: str(_arguments(event).get("n")) for _, event in journal if isinstance(event, Accepted)}
        return Stored(installation, records, journal, accepted)

    def judge(self, cluster: Cluster) -> History:
        """Judge the story when all is at rest. Raises Broken."""
        until(lambda: all(run.end is not None for run in self.watch.runs), 10, lambda: f"code still runs: {self.watch.runs}")
        found = self.stored(cluster)
        history = self.facts(found, leaked(found.installation, "invoker") if found.installation else [])
        check(history)
        return history

    def ask(self, controller: Process, action: str, n: str, *, blocking: bool, **arguments: Any) -> Asked:
        """Like `invoke`, for a controller that may be dying."""
        try:
            return self.invoke(controller, action, n, blocking=blocking, **arguments)
        except NoAnswer:  # invoke notes these itself; one from a broken status line ends here
            return self.asked[n]


def claims(cluster: Cluster, stream: str) -> list[Claimed]:
    """The claims of a stream: how often it changed hands, and its first one."""
    found = [each for each in documents(cluster, "journal") if each["_id"].startswith(f"ev:{stream}:")]
    events = journal_events((int(each["_id"].rpartition(":")[2]), json.dumps(each).encode()) for each in found)
    return [event for _, event in events if isinstance(event, Claimed)]


def at_rest(controllers: list[Process], nodes: list[Process], seconds: float = 90.0) -> None:
    """Until nothing is unfinished anywhere, seen twice: what waits in a topic is read between two looks."""
    deadline = time.monotonic() + seconds
    quiet = 0
    while quiet < 2:
        states = [each.status() for each in (*controllers, *nodes)]
        busy = [state for state in states if state.get("live") or state.get("in_flight") or state.get("journal", {}).get("waiting")]
        quiet = 0 if busy else quiet + 1
        assert time.monotonic() < deadline, busy
        time.sleep(0.5)
