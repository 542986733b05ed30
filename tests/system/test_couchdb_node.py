"""A node and the command line on a CouchDB: what people see of it, and what nobody sees."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.crash.node import ROOT, Node, request, until
from tests.crash.runner import bare_runtimes
from tests.golden_replay import DEVIATIONS, GOLDEN, KEYS, replay
from tests.support.couchdb.server import ADMIN, CouchServer

pytestmark = pytest.mark.nodejs
PASSWORD = ADMIN[1]
RECORDED_WITH = (
    "--auth", "guest", "--cors", "*", "--runtimes", str(GOLDEN / "golden-runtimes.json"), "--max-concurrency", "1",
    "--concurrent-invocations", "100",
)  # fmt: skip


@pytest.fixture
def server() -> Iterator[CouchServer]:
    server = CouchServer().start()
    yield server
    server.close()


def start(directory: Path, store: str, *flags: str, **environment: str) -> Node:
    return Node(
        directory / "data", "--runtimes", bare_runtimes(directory), *flags, environment={"REWHISK_STORE": store, **environment}
    )


def run(*arguments: str, store: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"REWHISK_STORE": store} if store else {})}
    command = [sys.executable, str(ROOT / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60, check=False)


def test_the_password_is_shown_nowhere(server: CouchServer, tmp_path: Path) -> None:
    """Not in the banner, the log, the status, the metrics, nor a file; the address and the user are in the banner."""
    with start(tmp_path, server.url, "--db-prefix", "p_", "--log-level", "debug") as node:
        node.wait_ready()
        node.put_action("a", "python:3", "def main(args): return args")
        assert node.api("POST", "actions/a?blocking=true&result=true", {"x": 1}).body == {"x": 1}
        status, metrics = str(node.status()), request(node.url, "GET", "/metrics").body
        server.stop()
        until(lambda: "503" in str(request(node.url, "GET", "/ready").status), 30, lambda: node.output)
        reason = str(request(node.url, "GET", "/ready").body)
        server.start()
        until(lambda: request(node.url, "GET", "/ready").status == 200, 30, lambda: node.output)
        assert node.stop().code == 0
        assert f"CouchDB at http://127.0.0.1:{server.port} with user admin, databases p_journal" in node.output
        files = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
        for shown in (node.output, status, str(metrics), reason, files.decode(errors="replace")):
            assert PASSWORD not in shown
    assert {"p_subjects", "p_whisks", "p_activations", "p_journal"} <= server.couch.databases.keys()


def test_a_wrong_password(server: CouchServer, tmp_path: Path) -> None:
    """One try, a clear end with wrong usage's code, and no password."""
    with start(tmp_path, server.url.replace(PASSWORD, "wrong-word")) as node:
        assert node.wait_dead().code == 2
        assert "Name or password is incorrect" in node.output and "check user, password" in node.output
        assert "wrong-word" not in node.output and "Traceback" not in node.output
    assert len(server.faults.seen) == 1


def test_nobody_listens(tmp_path: Path) -> None:
    """The node says where it looked, and ends: whoever supervises it starts it again."""
    with start(tmp_path, "http://admin:hidden-word@127.0.0.1:9") as node:
        assert node.wait_dead().code == 2
        assert "http://127.0.0.1:9" in node.output and "is a CouchDB running" in node.output
        assert "hidden-word" not in node.output and "Traceback" not in node.output


def test_a_password_that_changes_ends_the_node(server: CouchServer, tmp_path: Path) -> None:
    """With the reason; what it had accepted waits in the journal. The right password brings it back."""
    with start(tmp_path, server.url) as node:
        node.wait_ready()
        node.put_action("a", "python:3", "def main(args): return args")
        server.couch.access.admins["admin"] = "another-word"
        node.api("POST", "actions/a", {})
        assert node.wait_dead().code == 1
        assert "check user, password and rights" in node.output
    server.couch.access.forget()
    with start(tmp_path, server.url.replace(PASSWORD, "another-word")) as node:
        node.wait_ready()
        node.wait_quiet()
        assert node.stop().code == 0


def test_users_limits_and_journal_on_the_store(server: CouchServer, tmp_path: Path) -> None:
    """The commands that work on the store work on a CouchDB, beside a node or without one."""
    pair = run("user", "create", "alice", store=server.url).stdout.strip()
    assert run("user", "get", "alice", store=server.url).stdout.strip() == pair
    assert run("limits", "set", "alice", "--invocationsPerMinute", "7", store=server.url).returncode == 0
    assert "7" in run("limits", "get", "alice", store=server.url).stdout
    with start(tmp_path, server.url) as node:
        node.wait_ready()
        node.put_action("a", "python:3", "def main(args): return args")
        asked = node.api("POST", "actions/a?blocking=true", {})
        node.wait_quiet()
        said = run("journal", "--event", "finished", store=server.url)
        assert asked.body["activationId"] in said.stdout, said
        assert run("trace", asked.body["activationId"], store=server.url).returncode == 0
        assert node.stop().code == 0
    assert run("user", "list", "--db-prefix", "other_", store=server.url).stderr.startswith("no users yet")
    refused = run("user", "list", store=server.url.replace(PASSWORD, "wrong-word"))
    assert refused.returncode == 4 and "wrong-word" not in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize("group", ["actions", "packages", "rules", "activations"])
def test_the_api_answers_as_recorded(group: str, server: CouchServer, tmp_path: Path) -> None:
    """The same answers as over SQLite: what a real OpenWhisk was recorded saying, apart from the deviations on purpose."""
    run("user", "create", "other", "--auth", KEYS["other"], store=server.url)
    with start(tmp_path, server.url, *RECORDED_WITH) as node:
        node.wait_ready()
        place = urlsplit(node.url)
        _, wrong = replay(place.hostname or "", place.port or 0, group)
    expected = {name.partition("/")[2] for name in DEVIATIONS if name.partition("/")[0] == group}
    assert wrong.keys() == expected, {name: text for name, text in wrong.items() if name not in expected}


def test_tls(server: CouchServer, tmp_path: Path) -> None:
    """With a certificate that `store-ca` names the node works; without it the start says what is wrong."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.stop()
    server.tls = context
    server.start()
    url = server.url.replace("http:", "https:")
    with start(tmp_path, url, REWHISK_STORE_CA=str(certificate)) as node:
        node.wait_ready()
        assert node.stop().code == 0
    with start(tmp_path, url) as node:
        assert node.wait_dead().code == 2
        assert "TLS" in node.output and "certificate" in node.output.lower() and "Traceback" not in node.output
    with start(tmp_path, url, REWHISK_STORE_CA=str(tmp_path / "nowhere.pem")) as node:
        assert node.wait_dead().code == 2
        assert "nowhere.pem" in node.output and "Traceback" not in node.output
