"""Views: map functions run by Node.js, as CouchDB runs them in a process of its own."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.support.couchdb.model import Database
from tests.support.couchdb.values import Refusal, bad

SCRIPT = Path(__file__).with_name("query.js")
BUILT_IN = ("_count", "_sum", "_stats")


class QueryServer:
    """Starts its process when it is first asked. One question at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.close()
            self._process.wait(5)
            self._process.stdout.close()
            self._process = None

    def rows(self, database: Database, key: str, view: dict[str, Any], options: dict[str, Any], *, raw: bool) -> dict[str, Any]:
        """Rows of a view after all that was written. Raises Refusal."""
        with self._lock:
            index = f"{id(database)}/{key}/{view['map']}"
            changed = list(dict.fromkeys(database.changes[self._seen.get(index, 0) :]))
            documents = [[doc_id, self._shown(database, doc_id)] for doc_id in changed if not doc_id.startswith("_design/")]
            self._ask({"index": index, "map": view["map"], "raw": raw, "changed": documents})
            self._seen[index] = len(database.changes)
            found = self._ask({"index": index, "options": options})
        if found.pop("reversed", False):
            flip = str(not options["descending"]).lower()
            text = f"No rows can match your key range, reverse your start_key and end_key or set descending={flip}"
            raise Refusal(400, "query_parse_error", text, ref="0")
        return found

    def _shown(self, database: Database, doc_id: str) -> dict[str, Any] | None:
        current = database.current(doc_id)
        return None if current is None else current.shown(doc_id)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(["node", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if "failed" in answer:
            raise Refusal(500, "unknown_error", str(answer["failed"]))
        return answer


def check_design(fields: dict[str, Any]) -> None:
    """Raises Refusal for views that no design document may have."""
    views = fields.get("views", {})
    if not isinstance(views, dict):
        raise bad("`views` field must have object type", "invalid_design_doc")
    for name, view in views.items():
        if "map" not in view:
            raise bad(f"View `{name}` must contain map function", "invalid_design_doc")
        reduce = view.get("reduce", "")
        if reduce.startswith("_") and reduce not in BUILT_IN:
            raise bad(f"`{reduce}` is not a supported reduce function.", "invalid_design_doc")
