"""A small HTTP client for the node's API: one request a connection, clear failures."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from console.connection import Target
from console.exits import Refused, Unreachable, WrongUsage

CONNECT_TIMEOUT = 10.0
"""Seconds until a node that doesn't take the connection counts as unreachable."""


@dataclass(frozen=True)
class Reply:
    """An answer: its JSON if it is JSON, else None, and its text."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> object:
        """The decoded JSON, None if it isn't JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def document(self) -> dict[str, object]:
        """The decoded JSON object, empty if it is none."""
        body = self.body
        return body if isinstance(body, dict) else {}


def entity_path(name: str, collection: str) -> str:
    """`namespaces/NS/COLLECTION/[PKG/]NAME` for `name`, `pkg/name` or `/ns/[pkg/]name`. Raises WrongUsage."""
    parts = name.lstrip("/").split("/")
    namespace = parts.pop(0) if name.startswith("/") else "_"
    if not 1 <= len(parts) <= 2 or not all(parts) or not namespace:
        raise WrongUsage(f"{name!r} is no name", "write NAME, PACKAGE/NAME or /NAMESPACE/[PACKAGE/]NAME")
    return "/".join(["namespaces", quote(namespace, safe=""), collection, *(quote(part, safe="") for part in parts)])


class Api:
    """Requests to one node, as one user."""

    def __init__(self, target: Target) -> None:
        self.target = target
        parts = urlsplit(target.url)
        self.host, self.secure = parts.hostname or "", parts.scheme == "https"
        self.port = parts.port or (443 if self.secure else 80)
        self.prefix = parts.path

    def call(
        self, method: str, path: str, body: object = None, query: dict[str, str] | None = None, *,
        timeout: float | None = None, headers: dict[str, str] | None = None,
    ) -> Reply:  # fmt: skip
        """Any answer of the node, whatever its status. `path` without a leading slash is under /api/v1/.

        Raises Unreachable if there is none.
        """
        place = f"{self.prefix}{path if path.startswith('/') else f'/api/v1/{path}'}"
        if query:
            place += f"?{urlencode(query)}"
        sent = {"Accept": "application/json", **self._credentials(), **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        connection = self._connection(CONNECT_TIMEOUT)
        try:
            _connect(connection, timeout)
            # A node may answer and close before it has read a body that is too large: the answer is there to be read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, place, data, sent)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
            return Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, text)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()

    def stream(self, path: str, connect: float, silence: float) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """An answer of server-sent events, to be read line by line, and its connection, to be closed.

        At most `connect` seconds for the connection, `silence` seconds between two pieces of the answer. Raises Unreachable,
        Refused.
        """
        sent = {"Accept": "text/event-stream", **self._credentials()}
        connection = self._connection(connect)
        try:
            _connect(connection, silence)
            connection.request("GET", f"{self.prefix}{path}", headers=sent)
            answer = connection.getresponse()
            if answer.status == 200:
                return connection, answer
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from None
        connection.close()
        raise self.refusal(Reply(answer.status, {}, text))

    def ask(self, method: str, path: str, body: object = None, query: dict[str, str] | None = None) -> Reply:
        """An answer with status 2xx. Raises Refused with the node's own text for every other, Unreachable if there is none."""
        reply = self.call(method, path, body, query)
        if not 200 <= reply.status < 300:
            raise self.refusal(reply)
        return reply

    def refusal(self, reply: Reply) -> Refused:
        """What a refusing answer means, in the node's words."""
        found = reply.document.get("error") or reply.document.get("reason")
        text = found if isinstance(found, str) else reply.text.strip()[:500] or http.client.responses.get(reply.status, "")
        hint = {
            401: f"address and credentials come from {self.target.source}; --auth UUID:KEY gives others",
            404: "`run.py action list` and `run.py activation list` show what there is",
            503: "the node is starting or draining: try again shortly",
        }.get(reply.status, "")
        return Refused(f"{text} (HTTP {reply.status})", hint)

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        link = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        return link(self.host, self.port, timeout=timeout)

    def _credentials(self) -> dict[str, str]:
        if not self.target.auth:
            return {}
        return {"Authorization": "Basic " + base64.b64encode(self.target.auth.encode()).decode()}

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, TimeoutError):
            reason = "no answer in time"
        elif isinstance(error, ConnectionRefusedError):
            reason = "nobody listens there"
        elif isinstance(error, socket.gaierror):
            reason = "unknown host"
        elif isinstance(error, http.client.HTTPException | ConnectionError):
            reason = "the connection ended without an answer; the node may have stopped"
        else:
            reason = str(error) or type(error).__name__
        return Unreachable(
            f"the node at {self.target.url} can't be reached: {reason}",
            f"the address comes from {self.target.source}; `make node` starts a node here, --apihost URL names another",
        )


def _connect(connection: http.client.HTTPConnection, timeout: float | None) -> None:
    """Connect; from here on `timeout` bounds each wait, not the connection's making."""
    connection.connect()
    if connection.sock is not None:
        connection.sock.settimeout(timeout)
