"""`wskdebug` (clients.md 1): an action replaced by its agent, run from a file on this machine, and put back."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containers.docker_engine import connect
from containers.images import PAUSE
from containers.make_images import main as make_images
from tests.clients.conftest import AUTH, MODULES, Wsk
from tests.support.waiting import until
from tests.system.conftest import NodeProcess

pytestmark = [pytest.mark.docker, pytest.mark.clients]

BASE, IMAGE = "rewhisk/nodejs:20", "rewhisk-test/nodejs:wskdebug"
AGENT_NEEDS = ("openwhisk", "async-retry", "retry", "needle", "iconv-lite", "safer-buffer", "sax")
"""Upstream's image of Node.js has the module `openwhisk`; these are it and what it needs."""


def code(marker: str) -> str:
    return f"function main(args) {{ return {{ marker: '{marker}', given: args.given || null }} }}"


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The project's image with the module that wskdebug's agent wants, as upstream's has it."""
    assert make_images([PAUSE, BASE]) == 0
    client, _ = connect("", 60)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in AGENT_NEEDS:
            archive.add(MODULES / name, f"node_modules/{name}")
    made = client.create_container(BASE)["Id"]
    try:
        client.put_archive(made, "/", packed.getvalue())
        client.commit(made, *IMAGE.split(":"))
    finally:
        client.remove_container(made, force=True)
    yield IMAGE
    client.remove_image(IMAGE, force=True)
    client.close()


@pytest.fixture
def docker_node(image: str, tmp_path: Path) -> Iterator[NodeProcess]:
    name, tag = image.rpartition("/")[2].split(":")
    kind = {"kind": "nodejs:20", "default": True, "image": {"prefix": "rewhisk-test", "name": name, "tag": tag}}
    manifest = tmp_path / "runtimes.json"
    manifest.write_text(json.dumps({"runtimes": {"nodejs": [kind]}}))
    flags = ("--port", "0", "--auth", "guest", "--driver", "docker", "--runtimes", str(manifest))
    started = NodeProcess(tmp_path / "data", flags, {})
    started.wait_ready(60)
    yield started
    assert started.stop() == 0


def test_an_action_runs_from_a_file_and_comes_back(docker_node: NodeProcess, surroundings: dict[str, str], tmp_path: Path) -> None:
    wsk = Wsk(docker_node.address)
    body = {"exec": {"kind": "nodejs:default", "code": code("stored")}}
    assert wsk("PUT", "/namespaces/_/actions/debugged", body)[0] == 200
    source = tmp_path / "source"
    source.mkdir()
    (source / "action.js").write_text(code("local"))
    for place in (tmp_path, source):
        place.chmod(0o755)
    props = tmp_path / ".wskprops"
    props.write_text(f"APIHOST={docker_node.url}\nAUTH={AUTH}\nNAMESPACE=guest\n")
    command = ["node", str(MODULES / ".bin" / "wskdebug"), "debugged", "action.js", "-v", "--image", IMAGE]
    command += ["--command", "node /rewhisk/proxy.js"]
    environment = {**surroundings, "WSK_CONFIG_FILE": str(props), "OW_APIHOST": docker_node.url}
    out = subprocess.PIPE
    with subprocess.Popen(command, cwd=source, env=environment, stdout=out, stderr=subprocess.STDOUT, text=True) as debugger:
        said: list[str] = []
        reading = threading.Thread(target=lambda: said.extend(debugger.stdout or ()))
        reading.start()

        def ready() -> Any:
            assert debugger.poll() is None, "".join(said)
            return "Ready for activations" in "".join(said)

        try:
            until(ready, 90)
            status, answer = wsk("POST", "/namespaces/_/actions/debugged?blocking=true&result=true", {"given": 5})
        finally:
            debugger.terminate()
            debugger.wait(60)
            reading.join()
    assert (status, answer) == (200, {"marker": "local", "given": 5}), "".join(said)
    status, answer = wsk("POST", "/namespaces/_/actions/debugged?blocking=true&result=true", {"given": 6})
    assert (status, answer) == (200, {"marker": "stored", "given": 6}), "".join(said)
