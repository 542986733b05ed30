"""One node for all clients, with the published credentials of `guest`; each client gets an empty home and no proxy."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.golden_replay import KEYS
from tests.support.waiting import until
from tests.system.conftest import NodeProcess

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
AUTH = KEYS["guest"]
AGENT = "OpenWhisk-CLI/1.0 (2022-01-01T00:00:00.000+0000) linux amd64"

Drive = Callable[..., Any]


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    started = NodeProcess(tmp_path_factory.mktemp("clients") / "data", ("--port", "0", "--auth", "guest"), {})
    started.wait_ready()
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="session")
def surroundings(node: NodeProcess, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a client: where the node is, and nothing of this machine's settings."""
    home = tmp_path_factory.mktemp("home")
    props = home / ".wskprops"
    props.write_text(f"APIHOST={node.url}\nAUTH={AUTH}\nNAMESPACE=guest\n")
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "DOCKER_HOST") if name in os.environ}
    return {
        **kept, "HOME": str(home), "WSK_CONFIG_FILE": str(props), "NODE_PATH": str(MODULES), "USE_RUNTIME_AUTH": "true",
        "OW_APIHOST": node.url, "OW_AUTH": AUTH, "OW_NAMESPACE": "guest", "SLS_TELEMETRY_DISABLED": "1", "NO_COLOR": "1",
        "SLS_NOTIFICATIONS_MODE": "off", "CI": "true",
    }  # fmt: skip


@pytest.fixture(scope="session")
def drive(surroundings: dict[str, str]) -> Drive:
    """Runs one of the scripts beside this file with a JSON value on its standard input; gives the JSON value it prints last."""

    def run(script: str, given: Any = None, timeout: float = 120, **more: str) -> Any:
        done = subprocess.run(
            ["node", str(HERE / script)], input=json.dumps(given), capture_output=True, text=True, timeout=timeout, check=False,
            env={**surroundings, **more}, cwd=surroundings["HOME"],
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return json.loads(done.stdout.splitlines()[-1])

    return run


class Wsk:
    """Sends what the `wsk` program sends, byte for byte: Go's HTTP client, one connection for each request."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.host = f"{address[0]}:{address[1]}"

    def __call__(self, method: str, path: str, body: Any = None, auth: str | None = AUTH) -> tuple[int, Any]:
        """Status and decoded body; a text if it isn't JSON."""
        status, headers, text = self.raw(method, path, body, auth)
        return status, json.loads(text) if headers.get("content-type") == "application/json" else text

    def raw(self, method: str, path: str, body: Any, auth: str | None) -> tuple[int, dict[str, str], str]:
        data = b"" if body is None else json.dumps(body, separators=(",", ":")).encode() + b"\n"
        lines = [f"{method} /api/v1{path} HTTP/1.1", f"Host: {self.host}", f"User-Agent: {AGENT}"]
        if body is not None:
            lines.append(f"Content-Length: {len(data)}")
        elif method == "POST":
            lines.append("Content-Length: 0")
        if auth is not None:
            lines.append("Authorization: Basic " + base64.b64encode(auth.encode()).decode())
        if body is not None:
            lines.append("Content-Type: application/json")
        lines.append("Accept-Encoding: gzip")
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.connect()
            connection.sock.sendall("\r\n".join([*lines, "", ""]).encode() + data)
            answer = http.client.HTTPResponse(connection.sock, method=method)
            answer.begin()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()


def record_of(wsk: Wsk, activation_id: str) -> dict[str, Any]:
    """The record, which is stored a little after the answer."""

    def stored() -> Any:
        status, found = wsk("GET", f"/namespaces/_/activations/{activation_id}")
        return found if status == 200 else None

    found: dict[str, Any] = until(stored)
    return found


@pytest.fixture
def wsk(node: NodeProcess) -> Wsk:
    return Wsk(node.address)
