"""`package`, `trigger`, `rule`, `namespace` and `action put --sequence` against the API itself, served in this process."""

import asyncio
import threading

import pytest

from tests.controller.serving import serving
from tests.golden_replay import KEYS


@pytest.fixture
def api(monkeypatch):
    """The API of a node that the environment names; yields what it was invoked with."""
    loop, started, stop, held = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), []

    def code(arguments, message):
        if "fail" in arguments:
            return {"error": "no such feed"}
        return {"event": arguments.get("lifecycleEvent"), "trigger": arguments.get("triggerName")}

    async def serve():
        async with serving(code) as server:
            held.append(server)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(20)
    monkeypatch.setenv("WHISK_APIHOST", f"http://127.0.0.1:{held[0].port}")
    monkeypatch.setenv("WHISK_AUTH", KEYS["guest"])
    yield held[0].invoker.seen
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()


@pytest.fixture
def action(cli, api, tmp_path):
    """Makes actions by name."""
    (tmp_path / "a.js").write_text("function main(a) { return a }")
    return lambda name: cli("action", "put", name, tmp_path / "a.js", "--kind", "nodejs:20")


def test_a_packages_life(cli, action, tmp_path):
    """Created once, changed, bound, listed, shown, deleted only when empty or by force."""
    assert cli("package", "create", "tools", "-p", "n", "1", "-a", "description", "handy") == (
        0,
        "ok: created package guest/tools\n",
        "",
    )
    again = cli("package", "create", "tools")
    assert (again.code, "resource already exists (HTTP 409)" in again.err) == (4, True)
    (tmp_path / "p.json").write_text('{"host": "db", "n": 5}')
    changed = cli("package", "update", "tools", "-P", tmp_path / "p.json", "-p", "n", "2", "--shared", "yes", "--json")
    assert changed.json["parameters"] == [
        {"key": "host", "value": "db"}, {"key": "n", "value": 2},
    ]  # fmt: skip
    action("tools/a")
    assert cli("package", "bind", "tools", "mine", "-p", "n", "3").out == "ok: created binding guest/mine\n"
    assert cli("package", "bind", "/guest/tools", "mine").code == 4
    assert cli("package", "bind", "/guest/tools", "mine", "-o", "--json").json["version"] == "0.0.2"
    assert cli("package", "list").out == "guest/mine\tprivate\t0.0.2\t/guest/tools\nguest/tools\tshared\t0.0.2\t\n"
    assert cli("package", "list", "/guest", "--json", "--limit", "1").json[0]["name"] == "mine"
    assert cli("package", "get", "mine").json["actions"][0]["name"] == "a"
    assert cli("package", "get", "tools", "--summary").out == "package /guest/tools: handy\naction /guest/tools/a\n"
    full = cli("package", "delete", "tools")
    assert (full.code, "contains 1 entity" in full.err) == (4, True)
    assert cli("package", "delete", "tools", "--force").out == "ok: deleted package guest/tools\n"
    assert cli("package", "get", "tools").code == 4


def test_triggers_and_rules(cli, action):
    """The whole life of both; a fire without an active rule says so."""
    action("p1") and cli("package", "create", "p") and action("p/a")
    assert cli("trigger", "create", "t", "-p", "day", "monday").out == "ok: created trigger guest/t\n"
    assert cli("rule", "create", "r", "t", "/_/p/a").out == "ok: created rule guest/r\n"
    assert cli("rule", "create", "r2", "/guest/t", "p1", "-a", "x", "1", "--json").json["status"] == "active"
    assert cli("rule", "disable", "r").out == "ok: disabled rule r\n"
    assert cli("rule", "disable", "r2").code == 0
    assert cli("rule", "status", "r").out == "inactive\n"
    assert cli("rule", "list").out == "guest/r2\tinactive\tguest/t\tguest/p1\nguest/r\tinactive\tguest/t\tguest/p/a\n"
    fired = cli("trigger", "fire", "t", "-p", "a", "1")
    assert (fired.code, fired.out, "no active rule" in fired.err) == (0, "", True)
    assert cli("trigger", "fire", "t", "--json").json == {"activationId": None}
    assert cli("rule", "enable", "r").code == 0
    assert cli("rule", "status", "r", "--json").json == {"status": "active"}
    assert cli("rule", "update", "r", "t", "p1").out == "ok: updated rule guest/r, active, version 0.0.2\n"
    assert cli("rule", "get", "r").json["action"] == {"path": "guest", "name": "p1"}
    assert cli("trigger", "get", "t").json["rules"]["guest/r"]["status"] == "active"
    assert cli("trigger", "update", "t", "-p", "day", "friday").out == "ok: updated trigger guest/t, version 0.0.2\n"
    assert cli("trigger", "list").out.startswith("guest/t\t0.0.2\t")
    assert cli("rule", "delete", "r", "--disable").out == "ok: deleted rule guest/r\n"
    assert cli("trigger", "delete", "t").out == "ok: deleted trigger guest/t\n"
    assert cli("rule", "get", "r2").json["status"] == "inactive"
    missing = cli("rule", "enable", "r2")
    assert (missing.code, "existing triggers" in missing.err) == (4, True)


def test_a_feed_is_told_of_its_triggers_life(cli, action, api):
    """The action gets the event, the trigger's full name and the credentials; parameters are the feed's, not the trigger's."""
    action("feed")
    assert cli("trigger", "create", "t", "--feed", "feed", "-p", "cron", "* * * * *", "-a", "x", "1").code == 0
    sent = dict(api[-1][0].user.authkey), api[-1][0].content
    assert b'"lifecycleEvent":"CREATE"' in bytes(sent[1]).replace(b'": ', b'":')
    trigger = cli("trigger", "get", "t", "--json").json
    assert (trigger["parameters"], trigger["annotations"]) == ([], [{"key": "x", "value": 1}, {"key": "feed", "value": "/_/feed"}])
    assert cli("trigger", "get", "t").json == {"event": "READ", "trigger": "/guest/t"}
    assert cli("trigger", "update", "t", "-p", "cron", "0 * * * *").code == 0
    assert cli("trigger", "list").out.endswith("\t/_/feed\n")
    assert cli("trigger", "delete", "t").code == 0
    events = [bytes(message.content).decode().split('lifecycleEvent"')[1].split('"')[1] for message, _ in api]
    assert events == ["CREATE", "READ", "UPDATE", "DELETE"]


def test_a_trigger_whose_feed_fails_is_not_kept(cli, action):
    """Refused with the feed's own text, and no trigger is left."""
    action("feed")
    found = cli("trigger", "create", "t", "--feed", "/_/feed", "-p", "fail", "true")
    assert (found.code, "no such feed" in found.err) == (4, True)
    assert cli("trigger", "get", "t").code == 4
    assert cli("trigger", "create", "t", "--feed", "nosuch").code == 4
    assert cli("trigger", "list", "--json").json == []


def test_sequences(cli, action):
    """Components by any form of name; no code beside them."""
    action("a")
    assert cli("action", "put", "s", "--sequence", "a,/guest/a, a").code == 0
    assert cli("action", "get", "s").json["exec"]["components"] == ["/guest/a"] * 3
    for wrong in (("--kind", "python:3"), ("--main", "x"), ("--docker", "x/y")):
        assert cli("action", "put", "s", "--sequence", "a", *wrong).code == 2
    for names in ("", "a,,b", "a/b/c/d", "/a"):
        assert cli("action", "put", "s", "--sequence", names).code == 2
    missing = cli("action", "put", "s", "--sequence", "nosuch")
    assert (missing.code, "does not exist" in missing.err) == (4, True)


def test_namespaces(cli, action):
    """The caller's own, and all that is in it; of others only what they share."""
    action("a")
    cli("trigger", "create", "t")
    assert cli("namespace", "list").out == "guest\n"
    assert cli("namespace", "list", "--json").json == ["guest"]
    assert cli("namespace", "get").out == "action\tguest/a\t0.0.1\ntrigger\tguest/t\t0.0.1\n"
    assert {kind: len(rows) for kind, rows in cli("namespace", "get", "/guest", "--json").json.items()} == {
        "packages": 0, "actions": 1, "triggers": 1, "rules": 0,
    }  # fmt: skip
    assert cli("namespace", "get", "/other").code == 4


@pytest.mark.parametrize(
    "command",
    [
        ("package", "get", "a/b"), ("package", "get", ""), ("package", "list", "/a/b"), ("trigger", "fire", "/x"),
        ("trigger", "get", "/a/b/c"), ("rule", "create", "r", "t"), ("rule", "create", "r", "p/t", "a"), ("rule", "enable", "a/b"),
        ("rule", "create", "r", "t", "a/b/c"), ("package", "bind", "x"), ("trigger", "fire", "t", "-P", "none.json"),
    ],
)  # fmt: skip
def test_what_is_no_name_is_2(cli, api, command):
    """Before anything is sent."""
    assert cli(*command).code == 2


def test_nobody_there_is_3(cli):
    """Whatever the command."""
    for command in (("package", "list"), ("trigger", "get", "t"), ("rule", "status", "r"), ("namespace", "list")):
        assert cli(*command, "--apihost", "http://127.0.0.1:1", "--auth", "a:b").code == 3
