"""A node that runs in a container itself, with the engine's socket: it finds out its network and reaches its containers there."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containers.docker_engine import connect
from containers.images import PAUSE
from containers.make_images import main as make_images
from tests.crash.node import ROOT, NoAnswer, request, until
from tests.crash.test_docker import own_runtimes

pytestmark = pytest.mark.docker

CODE = "def main(args):\n    print('here')\n    return {'hello': args.get('name', 'nobody')}"
AUTH = "789c46b1-71f6-4ed5-8c54-816aa4f8c502:abczO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Any, str, Path]]:
    """Engine, a network, and what the machine has, mounted into a container that is empty but for it."""
    assert make_images([PAUSE, "rewhisk/python:3.11"]) == 0
    client, address = connect("", 60)
    name = f"rewhisk-test-{secrets.token_hex(4)}"
    client.create_network(name, driver="bridge")
    (tmp_path / "engine").write_text(address.removeprefix("unix://"))
    yield client, name, tmp_path
    for each in client.containers(all=True, filters={"network": name}):
        client.remove_container(each["Id"], force=True)
    client.remove_network(name)
    client.close()


def start(client: Any, network: str, directory: Path) -> str:
    """The address of the node's API, as the machine sees it."""
    runtimes = Path(own_runtimes(directory))
    parts = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), ROOT}
    parts |= {path for path in map(Path, ("/usr", "/lib", "/lib64", "/bin")) if path.exists()}
    engine = (directory / "engine").read_text()
    binds = [f"{path.resolve()}:{path}:ro" for path in parts] + [f"{engine}:/var/run/docker.sock", f"{directory}:/work"]
    command = [
        str(Path(sys.executable)), str(ROOT / "run.py"), "node", "--driver", "docker", "--host", "0.0.0.0", "--port", "3233",
        "--data-dir", "/work/data", "--auth", AUTH, "--runtimes", f"/work/{runtimes.name}",
    ]  # fmt: skip
    config = {
        "Image": PAUSE, "Entrypoint": [], "Cmd": command, "WorkingDir": str(ROOT),
        "HostConfig": {"Binds": binds, "NetworkMode": network, "Tmpfs": {"/tmp": ""}},
    }  # fmt: skip
    identity = client.create_container_from_config(config)["Id"]
    client.start(identity)
    address = client.inspect_container(identity)["NetworkSettings"]["Networks"][network]["IPAddress"]
    url = f"http://{address}:3233"

    def ready() -> bool:
        with contextlib.suppress(NoAnswer):
            return request(url, "GET", "/ready").status == 200
        return False

    until(ready, 60, lambda: client.logs(identity).decode())
    return url


def test_it_works(place: tuple[Any, str, Path]) -> None:
    """An action runs, beside the node on its network, with its logs; the processes of the machine are not taken for its own."""
    client, network, directory = place
    url = start(client, network, directory)
    where = "/api/v1/namespaces/_/actions/it"
    assert request(url, "PUT", where, {"exec": {"kind": "python:3", "code": CODE}}, auth=AUTH).status == 200
    answer = request(url, "POST", f"{where}?blocking=true", {"name": "you"}, auth=AUTH)
    assert answer.body["response"]["result"] == {"hello": "you"}, answer
    path = f"/api/v1/namespaces/_/activations/{answer.body['activationId']}"
    until(lambda: request(url, "GET", path, auth=AUTH).status == 200, 20, path)
    assert request(url, "GET", path, auth=AUTH).body["logs"][0].endswith("stdout: here")
    on_it = client.containers(filters={"network": network, "label": "rewhisk.role=action"})
    assert [each["Labels"]["rewhisk.kind"] for each in on_it] == ["python:3"], json.dumps(on_it)
