"""Replays recorded exchanges of a real CouchDB against a server, group by group.

The recording's notation: `<rev:G>`, `<uuid:N>`, `<digest:N>` are bound by the first answer that has them; `<seq>`, `<etag>` and
the like stand for anything; `<repeat:x:9>` is nine x; a body is JSON, or `{"$raw"}`, `{"$base64"}`, `{"$gzip"}`, `{"$chunked"}`.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import re
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[2] / "golden" / "couchdb-exchanges.jsonl"
USERS = {"admin": "admin:s3cret-word", "alice": "alice:wonder-42", "bob": "bob:builder-43"}
_FREE = {"size", "time", "ref", "base", "seq", "etag", "bookmark", "cookie"}
_FORMS = {"rev": r"\d+-[0-9a-z]+", "revhash": "[0-9a-f]{32}", "uuid": "[0-9a-f]{32}", "digest": r"md5-\S+"}
_FORMS.update(dict.fromkeys({"password", "user", *_FREE}, ".*"))
_HOLDER = re.compile(r"<(" + "|".join(_FORMS) + r")(?::([\w.]+))?>")
_REPEAT = re.compile(r"<repeat:([^:>]+):(\d+)>")


class Deviation(AssertionError):
    """The server answered otherwise than was recorded."""


def groups() -> dict[str, list[dict[str, Any]]]:
    """The recording by group, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in GOLDEN.read_text().strip().split("\n"):
        exchange = json.loads(line)
        found.setdefault(exchange["group"], []).append(exchange)
    return found


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Player:
    """Plays one group; what placeholders stand for is remembered."""

    port: int
    bound: dict[str, str] = field(default_factory=dict)

    def play(self, exchange: dict[str, Any]) -> None:
        """Send the request and compare. Raises Deviation."""
        request, expected = exchange["request"], exchange["response"]
        body = self._resolved(request.get("body"))
        if "parallel" in request:
            replies = self._parallel(request, body)
            actual: dict[str, Any] = {"status": [reply.status for reply in replies], "body": [_content(reply) for reply in replies]}
        else:
            reply = self._send(request, body)
            raw = isinstance(expected.get("body"), dict) and "$raw" in expected["body"]
            actual = {"status": reply.status, "body": _content(reply, raw=raw)}
            actual["headers"] = {name: reply.headers.get(name) for name in expected.get("headers", {})}
        if exchange.get("varies") and actual["status"] != expected["status"]:
            return
        wanted = json.loads(json.dumps(expected))
        for path in exchange.get("ignore", []):
            _drop(wanted, path)
            _drop(actual, path)
        if "parallel" in request:
            wanted["body"].sort(key=_order)
            actual["body"].sort(key=_order)
        self._match(wanted["status"], actual["status"], "status")
        for name in wanted.get("headers", {}):
            self._match(wanted["headers"][name], actual["headers"][name], name)
        self._match(wanted.get("body"), actual["body"], "body", set(exchange.get("unordered", [])))

    # Sending

    def _parallel(self, request: dict[str, Any], body: Any) -> list[Reply]:
        replies: list[Reply] = []
        bodies = [json.loads(json.dumps(body).replace("<n>", str(i))) for i in range(request["parallel"])]
        threads = [threading.Thread(target=lambda each=each: replies.append(self._send(request, each))) for each in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(replies, key=lambda reply: reply.status)

    def _send(self, request: dict[str, Any], body: Any) -> Reply:
        given = {name.lower(): value for name, value in (request.get("headers") or {}).items()}
        data, kind = _payload(body)
        headers = {"host": f"127.0.0.1:{self.port}", "authorization": _basic(USERS["admin"]), "accept": "application/json"}
        if kind is not None:
            headers["content-type"] = kind
        headers |= {"transfer-encoding": "chunked"} if isinstance(data, list) else {"content-length": str(len(data or b""))}
        headers |= {name: self._header(value) for name, value in given.items()}
        path = _expand(self._text(request["path"]))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
        wire = f"{request['method']} {path} HTTP/1.1\r\n{head}connection: close\r\n\r\n".encode()
        if isinstance(data, list):
            wire += b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in data) + b"0\r\n\r\n"
        else:
            wire += data or b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(wire)
            response = http.client.HTTPResponse(connection, method=request["method"])
            response.begin()
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())

    def _header(self, value: str | None) -> str | None:
        if value in {"<wrong>", "<unknown>"}:
            return _basic({"<wrong>": "alice:not-the-password", "<unknown>": "nobody:x"}[value])
        return None if value is None else _expand(self._text(value))

    def _text(self, text: str) -> str:
        def one(match: re.Match[str]) -> str:
            if match[1] == "user":
                return _basic(USERS[match[2]])
            if match[1] == "password":
                return USERS[match[2]].partition(":")[2]
            return self.bound[match[0]]

        return _HOLDER.sub(one, text)

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self._resolved(each) for each in value]
        if isinstance(value, dict):
            return {self._text(name): self._resolved(each) for name, each in value.items()}
        return value

    # Comparing

    def _match(self, expected: Any, actual: Any, where: str, unordered: set[str] | None = None) -> None:
        if isinstance(expected, str):
            self._match_text(_expand(expected), actual, where)
        elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
            if where in (unordered or set()):
                expected, actual = sorted(expected, key=_order), sorted(actual, key=_order)
            for i, (wanted, found) in enumerate(zip(expected, actual, strict=True)):
                self._match(wanted, found, f"{where}[{i}]", unordered)
        elif isinstance(expected, dict) and isinstance(actual, dict) and expected.keys() == actual.keys():
            for name in sorted(expected, key=lambda name: name != "_rev"):
                self._match(expected[name], actual[name], f"{where}.{name}", unordered)
        elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
            raise Deviation(f"{where}: expected {str(expected)[:500]}, got {str(actual)[:500]}")

    def _match_text(self, expected: str, actual: Any, where: str) -> None:
        whole = _HOLDER.fullmatch(expected)
        if whole and whole[1] in _FREE:
            return
        holders = list(_HOLDER.finditer(expected))
        pieces = _HOLDER.split(expected)[::3]
        pattern = re.escape(pieces[0])
        for holder, rest in zip(holders, pieces[1:], strict=True):
            pattern += f"({_FORMS[holder[1]]}){re.escape(rest)}"
        found = re.fullmatch(pattern, actual, re.DOTALL) if isinstance(actual, str) else None
        if found is None:
            raise Deviation(f"{where}: expected {expected[:500]!r}, got {str(actual)[:500]!r}")
        for holder, value in zip(holders, found.groups(), strict=True):
            if holder[1] in _FREE:
                continue
            if self.bound.setdefault(holder[0], value) != value:
                raise Deviation(f"{where}: {holder[0]} was {self.bound[holder[0]]}, is {value}")
            if holder[1] == "rev":
                self.bound[f"<revhash:{holder[2]}>"] = value.partition("-")[2]


def _basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _expand(text: str) -> str:
    return _REPEAT.sub(lambda match: match[1] * int(match[2]), text)


def _payload(body: Any) -> tuple[bytes | list[bytes] | None, str | None]:
    if body is None:
        return None, None
    if isinstance(body, dict):
        if "$raw" in body:
            return _expand(body["$raw"]).encode("utf-8", "surrogatepass"), "application/json"
        if "$base64" in body:
            return base64.b64decode(body["$base64"]), "application/octet-stream"
        if "$gzip" in body:
            return gzip.compress(body["$gzip"].encode()), "application/json"
        if "$chunked" in body:
            return [part.encode() for part in body["$chunked"]], "application/json"
    return _expand(json.dumps(body, ensure_ascii=False, separators=(",", ":"))).encode(), "application/json"


def _content(reply: Reply, *, raw: bool = False) -> Any:
    if not reply.body:
        return None
    if raw:
        return {"$raw": reply.body.decode()}
    if "json" in reply.headers.get("content-type", ""):
        return json.loads(reply.body)
    try:
        return {"$raw": reply.body.decode()}
    except UnicodeDecodeError:
        return {"$base64": base64.b64encode(reply.body).decode()}


def _order(value: Any) -> str:
    if isinstance(value, dict) and ("id" in value or "_id" in value):
        return json.dumps([value.get("id", value.get("_id")), "error" in value])
    return re.sub(r"\d+-[0-9a-f]{32}|<[^>]+>", "", json.dumps(value, sort_keys=True))


def _drop(root: Any, path: str) -> None:
    node, keys = root, path.split(".")
    for key in keys[:-1]:
        node = node.get(key) if isinstance(node, dict) else node[int(key)] if isinstance(node, list) else None
    if isinstance(node, dict):
        node.pop(keys[-1], None)
