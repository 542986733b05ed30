"""Whatever is sent is answered: no 500, no traceback, no silence."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.routes import ROUTES
from tests.controller.serving import basic, serving

text = st.text(max_size=40)
raw = st.binary(max_size=60)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner))
fields = st.sampled_from([
    "exec", "kind", "code", "components", "parameters", "annotations", "key", "value", "init", "limits", "timeout", "memory",
    "publish", "version", "binding", "namespace", "name", "trigger", "action", "status", "path", "delAnnotations", "encryption",
])  # fmt: skip
nested = st.recursive(json_values, lambda inner: st.dictionaries(fields, inner) | st.lists(inner))
bodies = st.dictionaries(fields, nested, max_size=6).map(lambda value: json.dumps(value).encode()) | raw
methods = st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"])
places = st.sampled_from(sorted({collection for collection, _, _ in ROUTES} | {"nosuch", ""}))
odd = st.sampled_from(["a", "p", "t", "r", "p/a", "%2F", "%00", "..", "%ff", "'", "x" * 300])
visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?#")
pieces = st.lists(odd | st.text(visible, max_size=9), max_size=3)
parameters = st.sampled_from([
    "limit", "skip", "count", "docs", "since", "upto", "name", "overwrite", "blocking", "timeout", "code", "force", "pending",
])  # fmt: skip
amounts = st.sampled_from(["", "0", "1", "-1", "true", "x", "99999999999999999999", "%ff", "a/b/c", "1e5"])
queries = st.lists(st.tuples(parameters, amounts), max_size=4)
named = st.sampled_from([
    "Content-Type", "Accept", "Origin", "Idempotency-Key", "X-Request-Id", "X-Require-Whisk-Auth", "Authorization", "Expect",
])  # fmt: skip
latin = st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")
headers = st.dictionaries(named, st.text(latin, max_size=30).map(str.strip), max_size=3)
EXAMPLES = int(os.environ.get("REWHISK_FUZZ", "80"))
ALIKE = "REWHISK_FUZZ" not in os.environ
"""The suite sends the same every time; who asks for more gets others."""
PATIENT = settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=ALIKE, suppress_health_check=list(HealthCheck))


def answered(port: int, method: str, path: str, body: bytes | None, more: dict[str, str]) -> int:
    """The status; the answer is complete, and JSON where it says so."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        link.request(method, path, body, {"Authorization": basic("guest"), "Content-Type": "application/json", "X-OW": "1", **more})
        answer = link.getresponse()
        data = answer.read()
    finally:
        link.close()
    if method != "HEAD" and answer.headers.get("content-type") == "application/json":
        json.loads(data)
    assert answer.status < 500 or answer.status in (501, 502), (method, path, body, more, answer.status, data)
    return answer.status


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Any:
    """A fault in a handler is logged: nothing may be."""
    with caplog.at_level(logging.ERROR):
        yield
    assert not [record for record in caplog.records if record.name.startswith("rewhisk")]


@pytest.mark.usefixtures("quiet")
async def test_any_request_is_answered() -> None:
    async with serving() as server:
        server.invoker.code = lambda arguments, message: {}
        for name in ("a", "p/a"):
            await server.send("PUT", "/api/v1/namespaces/_/packages/p?overwrite=true", {})
            await server.put_action(name, annotations=[{"key": "web-export", "value": True}])

        @PATIENT
        @given(methods, places, pieces, queries, bodies, headers)
        def versioned(method: str, place: str, rest: list[str], query: Any, body: bytes, more: dict[str, str]) -> None:
            path = "/".join(["/api/v1/namespaces/_", place, *rest])
            answered(server.port, method, f"{path}?{'&'.join(f'{name}={value}' for name, value in query)}", body, more)

        @PATIENT
        @given(methods, st.sampled_from(["", ".json", ".http", ".text", ".svg", ".html", ".x"]), pieces, raw, raw, headers)
        def web(method: str, extension: str, rest: list[str], query: bytes, body: bytes, more: dict[str, str]) -> None:
            escaped = "".join(f"%{byte:02x}" if byte % 3 else "&=+;"[byte % 4] for byte in query)
            path = "/".join([f"/api/v1/web/guest/default/a{extension}", *rest])
            answered(server.port, method, f"{path}?{escaped}", body, more)

        await asyncio.to_thread(versioned)
        await asyncio.to_thread(web)


@pytest.mark.usefixtures("quiet")
async def test_any_bytes_end_in_an_answer_or_a_closed_connection() -> None:
    """HTTP itself broken: the server says so or hangs up, and goes on serving."""
    async with serving() as server:

        @settings(max_examples=60, deadline=None, database=None, derandomize=ALIKE, suppress_health_check=list(HealthCheck))
        @given(raw, st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"POST /api/v1/namespaces HTTP/1.1\r\nContent-Length: 5\r\n"]))
        def broken(data: bytes, head: bytes) -> None:
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as link:
                link.sendall(head + data + b"\r\n\r\n")
                link.shutdown(socket.SHUT_WR)
                while link.recv(65536):
                    pass

        await asyncio.to_thread(broken)
        assert (await server.send("GET", "/api/v1/namespaces")).json == ["guest"]
