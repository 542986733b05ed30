"""Web actions over HTTP: gates, waits and failures that the recording lacks (openwhisk-controller.md 4.8)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from config.limits import SystemLimits
from tests.controller.serving import Serving, serving
from transport.contract import Refused

WEB = "/api/v1/web/guest/default"


async def put_web(server: Serving, name: str = "w", **annotations: Any) -> None:
    pairs = [{"key": key.replace("_", "-"), "value": value} for key, value in {"web_export": True, **annotations}.items()]
    await server.put_action(name, annotations=pairs)


async def test_an_action_runs_as_its_owner_whoever_calls() -> None:
    async with serving() as server:
        await put_web(server)
        answer = await server.send("GET", f"{WEB}/w.json", auth="other")
        assert answer.json["__ow_user"] == "other"
        message, _ = server.invoker.seen[0]
        assert (message.user.subject, message.user.namespace.name, message.blocking) == ("guest", "guest", True)
        assert answer.headers["x-openwhisk-activation-id"] == message.activation_id


async def test_keys_of_this_api_are_not_handed_to_the_action_other_credentials_are() -> None:
    """The action is its owner's, not the caller's; its arguments are journaled."""
    async with serving() as server:
        await put_web(server)
        for auth in ("guest", "other"):
            answer = await server.send("GET", f"{WEB}/w.json", auth=auth)
            assert "authorization" not in answer.json["__ow_headers"]
        await put_web(server, raw_http=True)
        assert "authorization" not in (await server.send("GET", f"{WEB}/w.json")).json["__ow_headers"]
        bearer = await server.send("GET", f"{WEB}/w.json", auth=None, headers={"Authorization": "Bearer mine"})
        assert bearer.json["__ow_headers"]["authorization"] == "Bearer mine"


async def test_the_owners_limit_of_the_payload_counts() -> None:
    """openwhisk-controller.md 2.2: `maxPayloadSize`, of the namespace that owns the action."""
    async with serving() as server:
        await server.store.subjects.put("guest/limits", b'{"maxPayloadSize": "1000 B"}', None)
        await put_web(server)
        assert (await server.send("POST", f"{WEB}/w.http", {"x": "y" * 900}, auth="other")).status == 204
        refused = await server.send("POST", f"{WEB}/w.http", {"x": "y" * 1000}, auth="other")
        assert (refused.status, refused.error) == (413, "Request larger than allowed: 1009 > 1000 bytes.")
        chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (2000, b"z" * 2000)
        head = f"POST {WEB}/w.http HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        assert b" 413 " in await server.raw(head.encode() + chunked)


async def test_what_takes_too_long_is_answered_202_with_its_id() -> None:
    async with serving(limits=SystemLimits(blocking_wait=50)) as server:
        await put_web(server)
        server.invoker.hold = True
        answer = await server.send("GET", f"{WEB}/w.json", auth=None)
        assert (answer.status, answer.error) == (202, "Response not yet ready.")
        assert answer.json["code"] == answer.headers["x-request-id"]
        assert answer.headers["x-openwhisk-activation-id"] == server.invoker.invocations[0].id
        assert server.invoker.invocations[0].forgotten == 1


async def test_a_caller_who_leaves_frees_the_wait() -> None:
    async with serving() as server:
        await put_web(server)
        server.invoker.hold = True
        _, writer = await server.connect()
        writer.write(f"GET {WEB}/w.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        async with asyncio.timeout(5):
            while not server.invoker.invocations:
                await asyncio.sleep(0.01)
            writer.close()
            while not server.invoker.invocations[0].forgotten:
                await asyncio.sleep(0.01)


async def test_errors_are_printed_for_people() -> None:
    """openwhisk-controller.md 1.2: two spaces of indentation."""
    async with serving() as server:
        answer = await server.send("GET", f"{WEB}/nosuch", auth=None)
        code = answer.headers["x-request-id"]
        assert answer.body.decode() == f'{{\n  "error": "The requested resource does not exist.",\n  "code": "{code}"\n}}'


async def test_nobody_calls_actions_of_a_blocked_owner() -> None:
    async with serving(auth_ttl=0.0) as server:
        await put_web(server)
        doc = await server.store.subjects.get("guest")
        assert doc is not None
        await server.store.subjects.put("guest", json.dumps({**json.loads(doc.body), "blocked": True}).encode(), doc.rev)
        assert (await server.send("GET", f"{WEB}/w.json", auth=None)).status == 404


@pytest.mark.parametrize(("required", "header", "status"), [
    (5, "5", 200), (5, "5.0", 401), (1.5, "1.5", 200), ([], "", 401), (None, "", 401), ("é", "é", 401), ("a", "A", 401),
])  # fmt: skip
async def test_other_values_of_require_whisk_auth(required: Any, header: str, status: int) -> None:
    async with serving() as server:
        await put_web(server, require_whisk_auth=required)
        answer = await server.send("GET", f"{WEB}/w.json", auth="guest", headers={"X-Require-Whisk-Auth": header})
        assert answer.status == status


async def test_a_refused_activation_is_said_so() -> None:
    async with serving() as server:
        await put_web(server)
        server.invoker.refusal = Refused("The node is full.", 503)
        answer = await server.send("GET", f"{WEB}/w.json", auth=None)
        assert (answer.status, answer.error) == (503, "The node is full.")


async def test_the_answer_is_503_until_the_node_is_ready() -> None:
    async with serving() as server:
        server.invoker.reason = "reading the journal"
        assert (await server.send("GET", f"{WEB}/w.json", auth=None)).status == 503


async def test_an_optional_answer_without_a_body_has_no_length() -> None:
    """RFC 9110: neither 204 nor 304 has Content-Length."""
    async with serving(lambda arguments, message: {"statusCode": int(arguments["s"])}) as server:
        await put_web(server)
        for status, length in (("204", None), ("304", None), ("201", "0")):
            answer = await server.send("GET", f"{WEB}/w?s={status}", auth=None)
            assert (str(answer.status), answer.headers.get("content-length")) == (status, length)


@pytest.mark.parametrize(("cors", "origin", "allowed"), [
    (None, "http://a.example", "*"), (("*",), None, "*"), (("http://a.example",), "http://a.example", "http://a.example"),
    (("http://a.example",), "http://b.example", None),
])  # fmt: skip
async def test_pages_may_call_web_actions_unless_origins_are_named(cors: Any, origin: str | None, allowed: str | None) -> None:
    async with serving(cors=cors) as server:
        await put_web(server)
        answer = await server.send("OPTIONS", f"{WEB}/w", auth=None, headers={"Origin": origin} if origin else {})
        assert answer.headers.get("access-control-allow-origin") == allowed
        assert (answer.status, answer.body) == (200, b"")


async def test_array_results_are_refused_in_plain_text() -> None:
    async with serving(lambda arguments, message: [1]) as server:
        await put_web(server)
        answer = await server.send("GET", f"{WEB}/w.json", auth=None)
        assert (answer.status, answer.body) == (500, b"There was an internal server error.")
        assert "x-request-id" not in answer.headers


async def test_a_method_that_http_does_not_know() -> None:
    async with serving() as server:
        for path in (f"{WEB}/w", "/ping", "/api/v1/namespaces"):
            answer = await server.send("PROPFIND", path)
            assert (answer.status, answer.body) == (501, b"Unsupported HTTP method")
        assert (await server.send("TRACE", f"{WEB}/w")).status == 404


async def test_changed_annotations_count_at_once() -> None:
    async with serving() as server:
        await put_web(server)
        assert (await server.send("GET", f"{WEB}/w.json", auth=None)).status == 200
        await put_web(server, web_export=False)
        assert (await server.send("GET", f"{WEB}/w.json", auth=None)).status == 404
