"""Replays recorded HTTP exchanges against a server: what is sent, what is compared, what stands in for changing values.

The recording's notation: a request's `body` is JSON or `{"$raw": text}`; `<repeat:x:9>` is nine x; `<activation:N>` and
`<transid>` are bound by the first answer that has them; `<time>`, `<duration>`, `<wait>`, `<text>` match anything.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import http.client
import json
import re
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"

KEYS = {
    "guest": "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:123zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP",
    "other": "33bc46b1-71f6-4ed5-8c54-816aa4f8c502:456zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP",
    "wrong": "43bc46b1-71f6-4ed5-8c54-816aa4f8c502:789zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP",
}
_HEADERS = "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent"
CORS = {
    "none": {},
    **{
        name: {
            "access-control-allow-origin": "*",
            "access-control-allow-methods": methods,
            "access-control-allow-headers": _HEADERS,
        }
        for name, methods in {
            "rest": "GET, DELETE, POST, PUT, HEAD",
            "web": "OPTIONS, GET, DELETE, POST, PUT, HEAD, PATCH",
            "system": "OPTIONS, GET, POST",
        }.items()
    },
}
_ANYTHING = {"time", "duration", "wait", "text"}
_FORM = {"activation": r"[0-9a-f]{32}", "transid": r"[^\s\"]+", "host": r"[^/\s\"]+", "auth": r"Basic \S+"}
_FORM.update(dict.fromkeys(_ANYTHING, r".*"))
_PLACEHOLDER = re.compile(r"<(" + "|".join(_FORM) + r")(?::([\w.]+))?>")
_REPEAT = re.compile(r"<repeat:([^:>]+):(\d+)>")
_PAIRS = {"annotations", "parameters"}


class Deviation(AssertionError):
    """The server answered otherwise than was recorded."""


@dataclass
class Reply:
    status: int
    headers: dict[str, Any]
    """Lower case; a list where one comes several times."""
    body: Any


@dataclass
class Player:
    """Plays one group against a server; `bound` are the placeholders known so far."""

    host: str
    port: int
    patience: float = 60.0
    """Seconds that an exchange which polls may take at most."""
    bound: dict[str, str] = field(default_factory=dict)
    minute: float = 0.0
    """The minute of the clock that was waited for last."""

    def play(self, row: dict[str, Any]) -> None:
        """Send and compare, again and again within `poll_ms`. Raises Deviation."""
        request = row["request"]
        time.sleep(request.get("wait_ms", 0) / 1000)
        self._await_minute(request.get("next_minute", 0))
        deadline = time.monotonic() + min(self.patience, request.get("poll_ms", 0) / 1000)
        while True:
            try:
                self._once(row)
                return
            except Deviation:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.1)

    def _await_minute(self, seconds: int) -> None:
        """Wait for the next minute of the clock if less than so many seconds are left of this one, or it was waited for before."""
        if not seconds:
            return
        left = 60 - time.time() % 60
        if left < seconds or time.time() // 60 == self.minute:
            time.sleep(left)
        self.minute = time.time() // 60

    def _once(self, row: dict[str, Any]) -> None:
        expected = _expectation(row["response"])
        reply = self.send(row["request"])
        if row.get("varies") and reply.status != expected["status"]:
            return
        actual = {"status": reply.status, "headers": reply.headers, "body": reply.body}
        for path in row.get("ignore", []):
            _drop(expected, path)
            _drop(actual, path)
        bound = {name: value for name, value in self.bound.items() if name != "<transid>"}
        match = _Matcher(bound, f"{self.host}:{self.port}", row.get("unordered", []))
        if actual["status"] != expected["status"]:
            body = json.dumps(actual["body"])[:500]
            raise Deviation(f"status {actual['status']} instead of {expected['status']}: {body}")
        if "cors" in expected:
            found = {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}
            cors = expected["cors"]
            match.value(CORS[cors] if isinstance(cors, str) else cors, found, "cors")
        for name, value in expected.get("headers", {}).items():
            match.value(value, reply.headers.get(name), f"headers.{name}")
        match.value(expected.get("body"), actual["body"], "body")
        self.bound = bound

    def send(self, request: dict[str, Any]) -> Reply:
        """One request on a connection of its own."""
        body = _payload(request.get("body")) if "body" in request else None
        headers = {"Host": f"{self.host}:{self.port}", "Authorization": _basic("guest"), "Accept": "*/*"}
        if body is not None:
            content = request["body"]
            binary = isinstance(content, dict) and "$base64" in content
            headers["Content-Type"] = "application/octet-stream" if binary else "application/json"
        for name, value in request.get("headers", {}).items():
            key = name.title()
            if value is None:
                headers.pop(key, None)
            elif value in ("<guest>", "<other>", "<wrong>"):
                headers[key] = _basic(value[1:-1])
            else:
                headers[key] = _repeated(self._filled(value))
        return _exchange(self.host, self.port, request["method"], _repeated(self._filled(request["path"])), headers, body)

    def _filled(self, text: str) -> str:
        def one(found: re.Match[str]) -> str:
            if found[0] not in self.bound:
                raise Deviation(f"{found[0]} is needed, but no earlier answer of the group gave it")
            return self.bound[found[0]]

        return _PLACEHOLDER.sub(one, text)


def _exchange(host: str, port: int, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Reply:
    if body is not None or method in ("PUT", "POST"):
        headers["Content-Length"] = str(len(body or b""))
    headers["Connection"] = "close"
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    with socket.create_connection((host, port), timeout=120) as link:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent: the answer is there
            link.sendall(head.encode() + (body or b""))
        response = http.client.HTTPResponse(link, method=method)
        try:
            response.begin()
            data = response.read()
        except (http.client.HTTPException, ConnectionError) as error:
            raise Deviation(f"no answer: {error!r}") from None
        found = _headers(response.getheaders())
        response.close()
    return Reply(response.status, found, _decoded(data, found.get("content-type", "")))


def _headers(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name.lower(), []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _basic(name: str) -> str:
    return "Basic " + base64.b64encode(KEYS[name].encode()).decode()


def _repeated(text: str) -> str:
    return _REPEAT.sub(lambda found: found[1] * int(found[2]), text)


def _payload(body: Any) -> bytes:
    if isinstance(body, dict) and "$raw" in body:
        return _repeated(body["$raw"]).encode("utf-8", "surrogatepass")
    if isinstance(body, dict) and "$base64" in body:
        return base64.b64decode(body["$base64"])
    return _repeated(json.dumps(body, ensure_ascii=False, separators=(",", ":"))).encode()


def _decoded(data: bytes, content_type: str) -> Any:
    if not data:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or "\x00" in text:
        return {"$base64": base64.b64encode(data).decode()}
    if "json" in content_type:
        try:
            return json.loads(text)
        except ValueError:
            pass
    return {"$raw": text}


def _expectation(response: dict[str, Any]) -> dict[str, Any]:
    """With what nearly every answer has and the recording leaves out."""
    expected = copy.deepcopy(response)
    if "cors" in expected:
        content_type = None if expected.get("body") is None else "application/json"
        usual = {"content-type": content_type, "x-request-id": "<transid>"}
        expected["headers"] = {**usual, **expected.get("headers", {})}
    return expected


def _drop(root: Any, path: str) -> None:
    *way, last = path.split(".")
    for key in way:
        root = root.get(key) if isinstance(root, dict) else None
    if isinstance(root, dict):
        root.pop(last, None)


class _Matcher:
    def __init__(self, bound: dict[str, str], host: str, unordered: Iterable[str]) -> None:
        self._bound = bound
        self._host = host
        self._unordered = set(unordered)

    def value(self, expected: Any, actual: Any, where: str) -> None:
        if isinstance(expected, str):
            self._text(expected, actual, where)
        elif isinstance(expected, dict) and isinstance(actual, dict):
            if expected.keys() != actual.keys():
                raise _differ(where, expected, actual)
            for key, item in expected.items():
                self.value(item, actual[key], f"{where}.{key}")
        elif isinstance(expected, list) and isinstance(actual, list):
            self._list(expected, actual, where)
        elif expected != actual or (type(expected) is not type(actual) and not (_number(expected) and _number(actual))):
            raise _differ(where, expected, actual)

    def _list(self, expected: list[Any], actual: list[Any], where: str) -> None:
        if where.rsplit(".", 1)[-1] in _PAIRS and _keyed(expected) and _keyed(actual):
            expected, actual = (
                sorted((pair for pair in pairs if pair["key"] != "initTime"), key=lambda pair: str(pair["key"]))
                for pairs in (expected, actual)
            )
        if len(expected) != len(actual):
            raise _differ(f"{where} ({len(actual)} instead of {len(expected)})", expected, actual)
        if where in self._unordered:
            expected, actual = sorted(expected, key=_rank), sorted(actual, key=_rank)
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            self.value(one, other, f"{where}[{index}]")

    def _text(self, expected: str, actual: Any, where: str) -> None:
        expected = _repeated(expected)
        whole = _PLACEHOLDER.fullmatch(expected)
        if whole and whole[1] in _ANYTHING:
            if actual is None and whole[1] != "text":
                raise _differ(where, expected, actual)
            return
        if not isinstance(actual, str):
            raise _differ(where, expected, actual)
        if expected.startswith("{") and actual.startswith("{"):
            try:
                pair = json.loads(expected), json.loads(actual)
            except ValueError:
                pass
            else:
                self.value(*pair, where)
                return
        pieces, names, at = "", [], 0
        for found in _PLACEHOLDER.finditer(expected):
            pieces += re.escape(expected[at : found.start()]) + f"({_FORM[found[1]].replace('*', '*?')})"
            names.append(found)
            at = found.end()
        got = re.fullmatch(pieces + re.escape(expected[at:]), actual, re.DOTALL)
        if got is None:
            raise _differ(where, expected, actual)
        for found, value in zip(names, got.groups(), strict=True):
            self._bind(found, value, where)

    def _bind(self, found: re.Match[str], value: str, where: str) -> None:
        name, kind = found[0], found[1]
        if kind in _ANYTHING:
            return
        if kind in ("auth", "host"):
            wanted = _basic(found[2]) if kind == "auth" else self._host
            if value != wanted:
                raise _differ(where, wanted, value)
            return
        if self._bound.get(name, value) != value:
            raise Deviation(f"{where}: {name} was {self._bound[name]}, now {value}")
        others = (known for other, known in self._bound.items() if other.startswith("<activation:") and other != name)
        if kind == "activation" and value in others:
            raise Deviation(f"{where}: {name} should be a new id, but {value} was seen before")
        self._bound[name] = value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _keyed(value: list[Any]) -> bool:
    return all(isinstance(item, dict) and "key" in item for item in value)


def _rank(value: Any) -> str:
    """Sorts log lines by what follows their time, everything else by its text, whatever its ids and the order of its keys."""
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    text = re.sub(r"^(<time>|\d{4}-\d\d-\d\dT\S+)\s+", "", text)
    return re.sub(_FORM["activation"], "", _PLACEHOLDER.sub("", text))


def _differ(where: str, expected: Any, actual: Any) -> Deviation:
    def short(value: Any) -> str:
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= 600 else f"{text[:600]}… ({len(text)} characters)"

    return Deviation(f"{where}\n      recorded: {short(expected)}\n      answered: {short(actual)}")


GROUPS = (
    "system",
    "auth",
    "names",
    "namespaces",
    "actions",
    "exec",
    "limits",
    "invoke",
    "invoke-results",
    "logs",
    "activations",
    "packages",
    "bindings",
    "triggers",
    "rules",
    "web",
    "web-http",
    "web-types",
    "web-raw",
    "web-auth",
    "sequences",
    "conductors",
    "fire",
)
"""The groups that this release covers."""

THROTTLE_GROUPS = ("throttle-concurrent", "throttle-rate")
"""Groups recorded with 3 invocations and 3 fires a minute and 2 invocations at a time."""

DEVIATIONS = {
    "exec/code-base64-newline": "upstream fails with 500 on base64 with white space around it; here it is the caller's 400",
    "conductors/array": "upstream fails without a record; here the composition's record says that it failed",
    "web/json-authenticated": "the credentials that name `__ow_user` are not among the headers that the action gets",
    "web/json-other-user": "the same",
    "fire/one-rule-action-record": "the caller's credentials are not among the headers that a rule's action gets",
}
"""Exchanges answered otherwise on purpose; each is a line of docs/compatibility.md."""


def rows(group: str) -> Iterator[dict[str, Any]]:
    """The exchanges of a group, in order."""
    with (GOLDEN / "openwhisk-exchanges.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["group"] == group:
                yield row


def replay(host: str, port: int, group: str, skip: Iterable[str] = (), patience: float = 60.0) -> tuple[int, dict[str, str]]:
    """Play a group; how many exchanges were as recorded, and what was wrong with the others by name.

    Exchanges named in `skip` are not sent.
    """
    player, good, wrong, skipped = Player(host, port, patience), 0, {}, set(skip)
    for row in rows(group):
        if row["name"] in skipped:
            continue
        try:
            player.play(row)
            good += 1
        except Deviation as deviation:
            wrong[row["name"]] = f"{row['request']['method']} {row['request']['path'][:120]}\n    {deviation}"
    return good, wrong
