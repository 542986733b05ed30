"""`status` and `drain`: what the node tells on one screen, and who may ask."""

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from console.exits import Unreachable
from console.status_command import follow
from console.status_view import bar, container_rows, head_lines, left, queue_rows, uptime

STATUS = {
    "node": "invoker0",
    "epoch": 3,
    "ready": True,
    "reason": None,
    "draining": False,
    "uptime": 3725.5,
    "running": 8,
    "live": 10,
    "queued": [
        {"namespace": "guest", "action": "guest/slow", "revision": "1-a", "memory": 256, "waiting": 2, "why": "no 256 MB free"}
    ],
    "journal": {"documents": 35, "waiting": 4, "stalled": 2.5, "commit_ms": 1.5},
    "alone": [],
    "memory": {"total": 1024, "used": 768, "starting": 0, "prewarm": 256, "busy": 512, "idle": 0, "removing": 0},
    "containers": [
        {"cid": 3, "state": "busy", "kind": "python:3", "key": ["guest/slow", "1-a"], "memory": 256, "active": 1, "idle_s": None},
        {"cid": 4, "state": "prewarm", "kind": "nodejs:20", "key": None, "memory": 256, "active": 0, "idle_s": 75.0},
    ],
}


def test_the_screen(cli, node):
    """Everything the node tells is there: state, work, journal, memory, why what waits waits, containers."""
    node.on("GET", "/admin/status", 200, STATUS)
    assert cli("status").out == (
        "node      invoker0  epoch 3  up 1 h 2 min  ready\n"
        "work      running 8  queued 2  unfinished 10\n"
        "journal   35 documents, 4 waiting to be written, stalled for 2 s\n"
        "memory    [####################----------..........] of 1024 MB: busy 512, starting 0, idle 0, prewarm 256, removing 0\n"
        "\n"
        "guest/slow\tguest\t2\tno 256 MB free\n"
        "\n"
        "3\tbusy\tpython:3\t256\tguest/slow\t1\t\n"
        "4\tprewarm\tnodejs:20\t256\t\t0\t1 min\n"
    )
    assert cli("status", "--json").json == STATUS


def test_a_namespace_sees_its_own(cli, node):
    """A status without pool is shown without one."""
    node.on(
        "GET",
        "/admin/status",
        200,
        {"node": "invoker0", "ready": False, "reason": "reading the journal", "queued": 1, "running": 0},
    )
    assert cli("status").out == "node      invoker0  epoch -  up -  not ready: reading the journal\nwork      running 0  queued 1\n"


def test_who_asks(cli, node, tmp_path, monkeypatch):
    """The admin key of the local node is used for that node alone; --auth is always respected."""
    node.on("GET", "/admin/status", 200, STATUS)
    data = tmp_path / "data"
    data.mkdir()
    (data / "admin.key").write_text("secret-admin-key\n")
    (data / "node-invoker0.lock").write_text(json.dumps({"pid": 1, "url": node.url}))
    admin = "Basic " + base64.b64encode(b"admin:secret-admin-key").decode()
    cli("status")
    assert node.last["auth"] == admin
    cli("status", "0")
    assert node.last["auth"] == admin
    cli("status", node.url)
    assert node.last["auth"] == admin
    cli("status", "--auth", "u:k")
    assert node.last["auth"] == "Basic " + base64.b64encode(b"u:k").decode()
    (data / "node-invoker0.lock").write_text(json.dumps({"pid": 1, "url": "http://127.0.0.1:9"}))
    cli("status")
    assert node.last["auth"] != admin


def test_drain_shows_what_is_left(cli, node, monkeypatch):
    """Each change once, until it is gone."""
    monkeypatch.setattr("console.status_command.DRAIN_LOOK", 0.0)
    busy = {"running": 2, "live": 3, "queued": 1}
    states = iter([busy, busy, {"running": 0, "live": 0, "queued": []}])

    class Ending:
        target = type("Target", (), {"url": node.url})

        def ask(self, method, path):
            found = next(states, None)
            if found is None:
                raise Unreachable("nobody listens there", "")
            return type("Reply", (), {"document": found})

    node.on("POST", "/admin/drain", 202, {"draining": True})
    monkeypatch.setattr("console.status_command.follow", lambda api, follow=follow: follow(Ending()))
    lines = cli("drain", node.url).out.splitlines()
    assert lines[1:] == ["    2 running, 1 queued, 3 unfinished", "    0 running, 0 queued, 0 unfinished", "ok: it has stopped"]


def test_what_is_left_of_a_controller():
    assert left({"waiting": 2, "in_flight": 5}) == "2 callers waiting, 5 in flight at nodes"
    assert left({}) == "nothing is told"


def test_drain(cli, node):
    """Draining is asked for; a refusal is told."""
    node.on("POST", "/admin/drain", 202, {"draining": True})
    assert cli("drain", node.url, "--no-wait") == (0, f"ok: {node.url} drains\n", "")
    assert cli("drain", node.url) == (0, f"ok: {node.url} drains\n", "")  # this one doesn't tell what is left
    node.on("POST", "/admin/drain", 403, {"error": "This needs the node's admin key.", "code": "x"})
    found = cli("drain")
    assert found.code == 4
    assert "admin key" in found.err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (61, "1 min"), (3600, "1 h 0 min"), (90_000, "1 d 1 h"), (None, "-"), ("x", "-")],
)
def test_uptime(seconds, text):
    """Two units at most."""
    assert uptime(seconds) == text


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3))
KEYS = st.sampled_from([*STATUS, "total", "busy", "idle", "waiting", "why", "key", "idle_s", "cid", "documents", "stalled"])
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8)


@example({"alone": 1, "queued": [{"waiting": "x"}], "journal": {"stalled": "x"}, "memory": {"total": "x"}})
@given(st.dictionaries(st.sampled_from(list(STATUS)), JSON))
def test_any_status_is_shown(status):
    """Another release's status, with fields missing or of another shape, is shown as far as it makes sense."""
    assert head_lines(status)[0].startswith("node ")
    assert isinstance(container_rows(status), list)
    assert isinstance(queue_rows(status), list)


@given(
    st.fixed_dictionaries(
        {"total": st.integers(0, 4096)}, optional={name: st.integers(0, 4096) for name in ("busy", "idle", "prewarm")}
    )
)
def test_the_bar_has_one_width(memory):
    """Whatever the numbers add up to."""
    assert len(bar(memory)) in (0, 42)
