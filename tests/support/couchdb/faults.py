"""What goes wrong next: chosen by a test, met by the requests that fit."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tests.support.couchdb.routes import Answer, Couch, Request, answer


class Connection(Protocol):
    """What a fault can do to the caller's connection."""

    def reset(self) -> None: ...


class Lost(Exception):
    """No answer goes out: the connection is reset."""


Fault = Callable[[Couch, Request], Answer]


def status(code: int, error: str = "planned", reason: str = "planned") -> Fault:
    """Refuse without doing anything."""
    return lambda couch, request: answer({"error": error, "reason": reason}, code)


def lost_answer(couch: Couch, request: Request) -> Answer:
    """Apply the request, then say nothing."""
    couch.handle(request)
    raise Lost


def taken(couch: Couch, request: Request) -> Answer:
    """Apply the request, and say that too few copies have it yet."""
    found = couch.handle(request)
    return Answer(202, found.headers, found.body) if found.status < 300 else found


def reset(couch: Couch, request: Request) -> Answer:
    """Say nothing, do nothing."""
    raise Lost


def half_bulk(couch: Couch, request: Request) -> Answer:
    """Apply the first half of a bulk write, then fail."""
    docs = json.loads(request.body)["docs"]
    body = json.dumps({"docs": docs[: len(docs) // 2]}).encode()
    couch.handle(Request(request.method, request.path, request.headers, body, request.base))
    return answer({"error": "unknown_error", "reason": "planned"}, 500)


def conflict_after_write(couch: Couch, request: Request) -> Answer:
    """As when a proxy repeats a write whose answer it lost: applied, then told as a conflict."""
    couch.handle(request)
    return couch.handle(request)


def slow(seconds: float) -> Fault:
    """Apply, and answer late."""

    def wait(couch: Couch, request: Request) -> Answer:
        found = couch.handle(request)
        threading.Event().wait(seconds)
        return found

    return wait


def page(couch: Couch, request: Request) -> Answer:
    """What a proxy in front says with status 200."""
    return Answer(200, {"Content-Type": "text/html"}, b"<html>Welcome</html>")


@dataclass
class _Planned:
    fault: Fault
    left: int
    fits: Callable[[Request], bool]


class Faults:
    """Plans faults and counts requests."""

    def __init__(self) -> None:
        self._planned: list[_Planned] = []
        self._lock = threading.Lock()
        self.seen: list[tuple[str, str]] = []

    def plan(self, fault: Fault, times: int = 1, method: str = "", path: str = "") -> None:
        """The next `times` requests with this method (any if empty) and `path` inside theirs meet the fault."""

        def fits(request: Request) -> bool:
            return method in {"", request.method} and path in request.path

        with self._lock:
            self._planned.append(_Planned(fault, times, fits))

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()

    def meet(self, couch: Couch, request: Request) -> Answer:
        """The answer to a request. Raises Lost."""
        with self._lock:
            self.seen.append((request.method, request.path))
            planned = next((each for each in self._planned if each.left and each.fits(request)), None)
            if planned is not None:
                planned.left -= 1
        return couch.handle(request) if planned is None else planned.fault(couch, request)


def counts(seen: list[tuple[str, str]]) -> dict[str, Any]:
    """Requests by method and kind."""
    found: dict[str, Any] = {}
    for method, path in seen:
        kind = next((part for part in ("_bulk_docs", "_all_docs", "_view") if part in path), "document")
        found[f"{method} {kind}"] = found.get(f"{method} {kind}", 0) + 1
    return found
