"""The list of what a server must cope with (clients.md 3), as far as no client above shows it already.

1 to 9, 11, 12, 16: test_wsk.py. 1, 2, 7: test_aio.py, test_libraries.py. 4, 10, 13 to 15, 17: here.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import pytest

from tests.clients.conftest import Drive, Wsk, record_of
from tests.controller.serving import basic
from tests.support.waiting import until
from tests.system.conftest import NodeProcess

HERE = "/api/v1/namespaces/_"
CODE = {"kind": "nodejs:default", "code": "function main(a) { return a.fail ? {error: 'no'} : {agent: a.agent || null} }"}
HEADERS = {"Authorization": basic("guest")}

pytestmark = pytest.mark.nodejs


def ask(link: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """On a connection that stays: what it is answered with."""
    data = None if body is None else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    link.request(method, f"{HERE}/{path}", data, {**HEADERS, **named})
    answer = link.getresponse()
    text = answer.read()
    assert answer.headers.get("connection") != "close"
    return answer.status, json.loads(text) if answer.headers.get("content-type") == "application/json" else text


def test_a_connection_is_kept_and_may_rest(node: NodeProcess) -> None:
    """13: sequential calls share one connection, a POST doesn't end it, and neither do 6 idle seconds."""
    link = http.client.HTTPConnection(*node.address, timeout=30)
    put = ask(link, "PUT", "actions/kept?overwrite=true", {"exec": CODE}, Content_Type="application/json", Connection="keep-alive")
    assert put[0] == 200
    socket = link.sock
    assert ask(link, "POST", "actions/kept?blocking=true&result=true", {}, Content_Type="application/json")[0] == 200
    time.sleep(6)
    assert ask(link, "DELETE", "actions/kept")[0] == 200
    assert link.sock is socket
    link.close()


def test_odd_but_real_requests(node: NodeProcess) -> None:
    """4, 5, 14: a GET with a Content-Type, charsets, an empty query, a form, headers that only inform."""
    link = http.client.HTTPConnection(*node.address, timeout=30)
    utf8 = "application/json; charset=utf-8"
    agent = "aio-cli-plugin-runtime@8.1.0"
    body = {"exec": CODE, "name": "other/odd", "unknown": None}
    put = ask(link, "PUT", "actions/odd?", body, Content_Type=utf8, x_namespace_id="guest")
    assert (put[0], put[1]["name"]) == (200, "odd")
    assert ask(link, "GET", "actions/odd?", Content_Type="application/json", User_Agent=agent)[0] == 200
    assert ask(link, "GET", "rules?")[0] == 200
    assert ask(link, "POST", "actions/odd", {}, Content_Type="application/x-www-form-urlencoded")[0] == 415
    status, accepted = ask(link, "POST", "actions/odd?", {}, Content_Type=utf8, X_OW_EXTRA_LOGGING="on")
    assert (status, list(accepted)) == (202, ["activationId"])
    assert ask(link, "DELETE", "actions/odd?")[0] == 200
    link.close()


def test_the_refusal_of_concurrency_names_it(wsk: Wsk) -> None:
    """15: wskdebug falls back to its other agent only if the text of the 400 has the word."""
    status, refused = wsk("PUT", "/namespaces/_/actions/many", {"exec": CODE, "limits": {"concurrency": 100_000}})
    assert status == 400
    assert "concurrency" in refused["error"]


def test_a_fresh_record_is_listed_with_its_documents(wsk: Wsk) -> None:
    """15: wskdebug polls the list with `docs=true&since=…&limit=1` and expects the record within seconds."""
    assert wsk("PUT", "/namespaces/_/actions/fresh?overwrite=true", {"exec": CODE})[0] == 200
    since = int(time.time() * 1000)
    activation_id = wsk("POST", "/namespaces/_/actions/fresh", {"agent": 1})[1]["activationId"]
    path = f"/namespaces/_/activations?name=fresh&docs=true&since={since}&limit=1"
    rows = until(lambda: wsk("GET", path)[1], 10)
    assert (rows[0]["activationId"], rows[0]["response"]["result"]) == (activation_id, {"agent": 1})
    assert wsk("DELETE", "/namespaces/_/actions/fresh")[0] == 200


@pytest.mark.clients
def test_aio_repeats_what_failed(wsk: Wsk, drive: Drive) -> None:
    """10: one `action invoke` of a failing action runs it three times, each an activation of its own."""
    assert wsk("PUT", "/namespaces/_/actions/failing?overwrite=true", {"exec": CODE})[0] == 200
    drive("cli.js", [["action", "invoke", "failing", "-r", "-p", "fail", "1"]])

    def three() -> Any:
        rows = wsk("GET", "/namespaces/_/activations?name=failing&limit=0")[1]
        return rows if len(rows) >= 3 else None

    rows = until(three)
    assert [row["statusCode"] for row in rows] == [1, 1, 1]
    assert wsk("DELETE", "/namespaces/_/actions/failing")[0] == 200


@pytest.mark.parametrize(("action", "given", "result"), [
    ("echo", {"a": 1}, {"a": 1}), ("sort", {"lines": ["b", "a"]}, {"lines": ["a", "b"], "length": 2}),
])  # fmt: skip
def test_the_actions_that_the_librarys_own_tests_use(wsk: Wsk, action: str, given: Any, result: Any) -> None:
    """17: `/whisk.system/utils/echo` and `sort` are there for everybody."""
    status, record = wsk("POST", f"/namespaces/whisk.system/actions/utils/{action}?blocking=true", given)
    assert (status, record["response"]["result"]) == (200, result)
    assert record_of(wsk, record["activationId"])["namespace"] == "guest"
