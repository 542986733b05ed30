from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from store.errors import StoreUnavailable
from tests.controller.serving import API, serving
from transport.contract import Refused

ECHO = f"{API}/actions/echo"


async def test_arguments_travel_as_they_came() -> None:
    """Without anything to merge not a byte of the body changes: numbers, order, blanks."""
    body = b'{"b": 12345678901234567890, "a":1.0,\n"c":1e3}'
    async with serving() as server:
        await server.put_action("echo")
        await server.send("POST", ECHO, body)
        message, action = server.invoker.seen[0]
        assert bytes(message.content) == body
        assert action is not None
        assert (action.fqn, action.kind, action.main) == ("guest/echo", "nodejs:20", "main")
        assert message.revision == action.revision


async def test_merging_keeps_numbers() -> None:
    """Values that nobody overrides keep their digits too; the caller's win as a whole."""
    async with serving() as server:
        await server.put_action("echo", parameters=[{"key": "p", "value": {"x": 1}}, {"key": "q", "value": 1}])
        await server.send("POST", ECHO, b'{"n":1.10,"p":{"y":2}}')
        assert bytes(server.invoker.seen[0][0].content) == b'{"p":{"y":2},"q":1,"n":1.10}'


async def test_message_says_who_what_and_where() -> None:
    """The identity with its key, the action's name and version, the controller that waits, the transaction."""
    async with serving() as server:
        await server.put_action("echo", parameters=[{"key": "i", "value": 1, "init": True}])
        answer = await server.send("POST", ECHO, {}, headers={"X-Request-ID": "mine"})
        ((message, _),) = server.invoker.seen
        assert message.transid[0] == answer.headers["x-request-id"] == "mine"
        assert message.user.namespace.name == "guest"
        assert (message.action.fqn, message.action.version) == ("guest/echo", "0.0.1")
        assert (message.blocking, message.init_args) == (False, ["i"])
        assert message.activation_id == answer.headers["x-openwhisk-activation-id"] == answer.json["activationId"]
        assert server.invoker.invocations[0].forgotten == 1


@pytest.mark.parametrize("given", ["sid_invoker", "", "\u00e4"])
async def test_system_transaction_ids_are_not_taken_over(given: str) -> None:
    """They are the system's own; what could not be sent back as it came isn't taken either."""
    async with serving() as server:
        answer = await server.send("GET", "/ping", headers={"X-Request-ID": given})
        assert answer.headers["x-request-id"] != given


async def test_a_change_is_seen_by_the_next_invocation() -> None:
    """Update, delete, and the package's parameters: nothing stale is invoked."""
    async with serving() as server:
        for value in (1, 2):
            await server.put_action("echo", parameters=[{"key": "v", "value": value}])
            assert (await server.send("POST", f"{ECHO}?blocking=true&result=true", {})).json == {"v": value}
        await server.send("DELETE", ECHO)
        assert (await server.send("POST", ECHO, {})).status == 404
        for value in (1, 2):
            body = {"parameters": [{"key": "v", "value": value}]}
            assert (await server.send("PUT", f"{API}/packages/p?overwrite=true", body)).status == 200
            await server.put_action("p/a")
            found = await server.send("POST", f"{API}/actions/p/a?blocking=true&result=true", {})
            assert found.json == {"v": value}
        await server.send("DELETE", f"{API}/packages/p?force=true")
        assert (await server.send("POST", f"{API}/actions/p/a", {})).status == 404


async def test_publishing_decides_for_others_at_once() -> None:
    """An action of a public package is for everybody, until the package is private again."""
    async with serving() as server:
        foreign = "/api/v1/namespaces/guest/actions/p/a"
        for publish, status in ((True, 202), (False, 403), (True, 202)):
            await server.send("PUT", f"{API}/packages/p?overwrite=true", {"publish": publish})
            await server.put_action("p/a")
            assert (await server.send("POST", foreign, {}, auth="other")).status == status


@pytest.mark.parametrize(("status", "reason"), [(503, "draining"), (429, "too much"), (413, "too large")])
async def test_refusals_are_told_with_their_status(status: int, reason: str) -> None:
    """Nothing was accepted, and the caller knows."""
    async with serving() as server:
        await server.put_action("echo")
        server.invoker.refusal = Refused(reason, status)
        answer = await server.send("POST", ECHO, {})
        assert (answer.status, answer.error) == (status, reason)
        assert "x-openwhisk-activation-id" not in answer.headers


async def test_unfinished_activations_are_shown_only_when_asked_for() -> None:
    """404 as upstream; with `pending=true` the state; afterwards the record."""
    async with serving() as server:
        await server.put_action("echo")
        server.invoker.hold = True
        held = await server.send("POST", f"{ECHO}?blocking=true&timeout=50", {"a": 1})
        assert held.status == 202
        target = f"{API}/activations/{held.json['activationId']}"
        assert (await server.send("GET", target)).status == 404
        state = await server.send("GET", f"{target}?pending=true")
        assert state.json == {"activationId": held.json["activationId"], "state": "running", "since": 1, "attempt": 1}
        assert (await server.send("GET", f"{target}?pending=true", auth="other")).status == 404
        await server.invoker.finish(server.invoker.invocations[0])
        for query in ("", "?pending=true"):
            assert (await server.send("GET", target + query)).json["response"]["result"] == {"a": 1}


async def test_until_ready_everything_answers_503_with_the_reason() -> None:
    """The process lives, and says what it waits for."""
    async with serving() as server:
        server.invoker.reason = server.invoker.unreadable = "reading the journal"
        for path in ("/ping", "/ready", f"{API}/actions", "/api/v1"):
            answer = await server.send("GET", path)
            assert (answer.status, answer.error) == (503, "reading the journal")
        assert (await server.send("GET", "/live")).status == 200
        server.invoker.reason = server.invoker.unreadable = None
        assert (await server.send("GET", "/ready")).status == 200


async def test_what_is_stored_can_be_read_while_nothing_new_is_taken() -> None:
    """A disk that is almost full ends writing, not reading."""
    async with serving() as server:
        await server.put_action("a")
        activation_id = (await server.send("POST", f"{API}/actions/a", {})).json["activationId"]
        server.invoker.reason = "The disk is almost full."
        record = f"activations/{activation_id}"
        for path in ("actions", "actions/a", "activations", record, f"{record}/logs", "limits"):
            assert (await server.send("GET", f"{API}/{path}")).status == 200
        for method, path in (("PUT", "actions/b"), ("DELETE", "actions/a"), ("POST", "actions/a")):
            answer = await server.send(method, f"{API}/{path}", {})
            assert (answer.status, answer.error) == (503, "The disk is almost full.")


async def test_a_store_that_is_away_is_503() -> None:
    """A certain refusal, since nothing was accepted."""
    async with serving() as server:
        await server.put_action("echo")
        server.store.faults.fail_next("entities.get", "before", StoreUnavailable("away"))
        answer = await server.send("POST", ECHO, {})
        assert answer.status == 503
        assert not server.invoker.seen


HOSTILE: list[Any] = [
    b'{"a":' * 100_000, b'{"a":"\x00"}', b"\xff\xfe", b'{"a":1e999}', b"[" * 600 + b"]" * 600, b'{"a":' + b"9" * 5000 + b"}",
    b"{}{}",
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_hostile_bodies_are_400(method: str, body: bytes) -> None:
    """Neither a traceback nor a hang: a JSON error, and the server goes on."""
    async with serving() as server:
        await server.put_action("echo")
        answer = await server.send(method, f"{ECHO}?overwrite=true", body)
        assert answer.status == 400
        assert answer.error.startswith("The request content was malformed:\n")
        assert not server.invoker.seen


async def test_replaced_characters_reach_the_action() -> None:
    """Invalid UTF-8 and lone surrogates in arguments are U+FFFD from then on."""
    async with serving() as server:
        await server.put_action("echo")
        for body in (b'{"a":"\xff"}', b'{"a":"\\ud800"}'):
            answer = await server.send("POST", f"{ECHO}?blocking=true&result=true", body)
            assert answer.json == {"a": "\ufffd"}
        for message, _ in server.invoker.seen:
            json.loads(bytes(msgspec.json.encode(message)))


@pytest.mark.parametrize("name", ["%00", "a%00b", "%F0%9F%98%80", "..%2f..", "%ff", "a%0d%0aX-Evil:%201", "-", ".", "a" * 257])
async def test_hostile_names_are_400(name: str) -> None:
    """NUL, emoji, traversal, invalid UTF-8, header injection."""
    async with serving() as server:
        answer = await server.send("GET", f"{API}/actions/{name}")
        assert answer.status == 400
        assert "x-evil" not in answer.headers
        assert (await server.send("GET", f"/api/v1/namespaces/{name}/actions")).status == 400


async def test_operator_routes_need_the_admin_key() -> None:
    """A namespace's key sees its own status and can't drain; nobody's key sees nothing."""
    async with serving() as server:
        bearer = {"Authorization": "Bearer the-admin-key"}
        assert (await server.send("GET", "/admin/status", headers=bearer)).status == 200
        assert (await server.send("GET", "/admin/status")).status == 200
        assert (await server.send("GET", "/admin/status", auth="wrong")).status == 401
        assert (await server.send("GET", "/admin/status", auth=None)).status == 401
        assert (await server.send("POST", "/admin/drain")).status == 403
        assert (await server.send("POST", "/admin/drain", auth=None)).status == 401
        assert (await server.send("POST", "/admin/drain", headers=bearer)).status == 202
        assert (await server.send("POST", "/disable", auth="controller.user:the-admin-key")).status == 200
        assert (await server.send("GET", "/metrics", auth=None)).status == 200
