"""What user code in a container of the Docker driver can't do, and what it can: looked at from inside, and by the engine."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from containers.contract import Container, ContainerSpec
from containers.docker import DockerDriver
from containers.docker_config import DockerOptions, cpu_shares
from tests.contract.container_suite import LIMIT, body

pytestmark = pytest.mark.docker

PROBE = """
import os, socket, urllib.request
def attempt(what):
    try:
        return what()
    except OSError as error:
        return type(error).__name__
def main(args):
    found = {line.split(":")[0]: line.split(":")[1].strip() for line in open("/proc/self/status") if ":" in line}
    reach = {f"{host}:{port}": attempt(lambda: socket.create_connection((host, port), 2).close() or "open")
             for host, port in args.get("reach", [])}
    return {
        "uid": os.getuid(), "capabilities": found["CapEff"], "bounding": found["CapBnd"], "seccomp": found["Seccomp"],
        "no_new_privileges": found["NoNewPrivs"], "reach": reach, "address": attempt(own_address),
        "names": open("/etc/resolv.conf").read(), "sockets": [path for path in ("/var/run/docker.sock", "/run/docker.sock")
        if os.path.exists(path)], "processes": [name for name in os.listdir("/proc") if name.isdigit()],
        "files": list(os.sysconf_names) and __import__("resource").getrlimit(__import__("resource").RLIMIT_NOFILE),
    }
def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]
"""
LISTEN = """
import socket, threading
server = socket.create_server(("0.0.0.0", 9999))
def main(args):
    return {}
"""


async def started(driver: DockerDriver, code: str, **changes: Any) -> Container:
    given: dict[str, Any] = {"kind": "python:3", "memory": 128, "name": "wsk0_1_guest_probe", **changes}
    container = await driver.create(ContainerSpec(**given), lambda *_: None, lambda: None)
    value = {"name": "probe", "main": "main", "binary": False, "code": code, "env": {}}
    body(await container.init(json.dumps({"value": value}).encode(), 20, LIMIT))
    return container


async def asked(container: Container, **value: Any) -> Any:
    return body(await container.run(json.dumps({"value": value}).encode(), 30, LIMIT))


@pytest_asyncio.fixture
async def driver() -> AsyncIterator[DockerDriver]:
    extra = (("shm-size", "32m"),)
    names = {"labels": {"team": "blue"}, "env": {"ZONE": "west"}}
    options = DockerOptions(**names, dns=("192.0.2.53",), pids=64, cpus=16, extra=extra)
    driver = DockerDriver(secrets.token_hex(4), "invoker0", options)
    await driver.open()
    yield driver
    await driver.close()


@pytest.fixture
def listener() -> Iterator[int]:
    """A port of the machine that answers on every address."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


async def test_rights(driver: DockerDriver) -> None:
    """No capability, none to be had, the engine's seccomp filter, nobody's user id, own processes only, no engine's socket."""
    found = await asked(await started(driver, PROBE))
    assert (found["capabilities"], found["bounding"]) == ("0" * 16, "0" * 16)
    assert (found["seccomp"], found["no_new_privileges"]) == ("2", "1")
    assert found["uid"] != 0
    assert (found["sockets"], found["processes"], found["files"]) == ([], ["1"], [1024, 1024])


async def test_what_the_engine_was_told(driver: DockerDriver) -> None:
    """Limits, labels and the absence of a log are what was asked for."""
    container = await started(driver, PROBE, labels={"rewhisk.epoch": "7"}, env={"__OW_API_HOST": "http://h"})
    told = await driver.engine.call(lambda client: client.inspect_container(container.id))
    host = told["HostConfig"]
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (128 << 20, 128 << 20, 64)
    assert (host["CapDrop"], host["LogConfig"]["Type"], host["AutoRemove"]) == (["ALL"], "none", False)
    assert host["CpuShares"] == cpu_shares(2048, 128) == 64
    assert (host["NanoCpus"], host["ShmSize"]) == (1_000_000_000, 32 << 20)
    assert {"ZONE=west", "__OW_API_HOST=http://h"} <= set(told["Config"]["Env"])
    labels = told["Config"]["Labels"]
    assert (labels["team"], labels["rewhisk.epoch"]) == ("blue", "7")
    assert (labels["rewhisk.stream"], labels["rewhisk.role"]) == ("invoker0", "action")


async def test_reach(driver: DockerDriver, listener: int) -> None:
    """Of the machine only the opened address; other containers not at all; the given DNS servers are asked."""
    with socket.create_server((driver.gateway, 0)) as gate:
        threading.Thread(target=_accept, args=(gate,), daemon=True).start()
        port = gate.getsockname()[1]
        await driver.open_gate([(driver.gateway, port)])
        assert driver.notes() == []
        other = await started(driver, LISTEN + PROBE)
        address = (await asked(other))["address"]
        container = await started(driver, PROBE)
        addresses = [driver.gateway, "172.17.0.1", *_own_addresses()]
        reach = [[driver.gateway, port], [address, 9999], *([each, listener] for each in addresses), ["169.254.169.254", 80]]
        found = await asked(container, reach=reach)
        gate.shutdown(socket.SHUT_RDWR)
    assert found["reach"].pop(f"{driver.gateway}:{port}") == "open"
    assert "open" not in found["reach"].values(), found["reach"]
    assert (await asked(other, reach=[["127.0.0.1", 9999]]))["reach"] == {"127.0.0.1:9999": "open"}, "it does listen"


def _own_addresses() -> list[str]:
    said = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    return [each for each in said if "." in each]


async def test_no_network_at_all() -> None:
    """With `none` there is not even a way out."""
    driver = DockerDriver(secrets.token_hex(4), "invoker0", DockerOptions(network="none"))
    await driver.open()
    try:
        assert driver.gateway == ""
        assert (await asked(await started(driver, PROBE)))["address"] == "OSError"
    finally:
        await driver.close()


async def test_rules_go_with_the_node(driver: DockerDriver) -> None:
    """After the end no rule, no network and no container of it is there."""
    await driver.open_gate([(driver.gateway, 1)])
    interface = driver._bridge.interface
    rules = ["iptables", "-w", "-S"]
    assert interface in subprocess.run(rules, capture_output=True, text=True, check=True).stdout
    await driver.close()
    assert interface not in subprocess.run(rules, capture_output=True, text=True, check=True).stdout
    assert interface not in [name for _, name in socket.if_nameindex()]


async def test_fork_bomb(driver: DockerDriver) -> None:
    """Processes are limited; the runtime answers all the same."""
    code = (
        "import os, time\ndef main(args):\n    made = 0\n    try:\n        while made < 500:\n            if os.fork() == 0:\n"
        "                time.sleep(30)\n                os._exit(0)\n            made += 1\n    except OSError:\n        pass\n"
        "    return {'made': made}"
    )
    assert 10 < (await asked(await started(driver, code)))["made"] < 64


async def test_creation_goes_on_while_containers_are_removed(driver: DockerDriver) -> None:
    """Removing many does not hold up the next start."""
    some = [await started(driver, PROBE) for _ in range(4)]
    removals = [asyncio.ensure_future(container.remove()) for container in some]
    await started(driver, PROBE)
    await asyncio.gather(*removals)
