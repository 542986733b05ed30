"""The Docker driver keeps the contract of containers: with a network and without, as root and as somebody else."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from containers.contract import Answer, ContainerSpec, Driver, Failure
from containers.docker import DockerDriver
from containers.docker_config import DockerOptions
from containers.docker_engine import Engine
from containers.docker_network import Bridge
from tests.contract.container_suite import ContainerCalls, ContainerSuite, Seen, body, until

pytestmark = pytest.mark.docker


class WithEngine:
    """`network`, `as_root` and `here`, whether the engine's networks are this machine's, choose the way to the container."""

    network = "none"
    as_root = True
    here = True
    memory = 128
    many = 6

    @pytest_asyncio.fixture
    async def driver(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Driver]:
        monkeypatch.setattr(Bridge, "is_here", lambda bridge: self.here)
        options = DockerOptions(network=self.network)
        self.installation = secrets.token_hex(4)
        driver = DockerDriver(self.installation, "invoker0", options, as_root=self.as_root)
        await driver.open()
        yield driver
        await driver.close()

    async def nothing_of_it(self) -> list[dict[str, Any]]:
        """Containers, in any state, and networks that carry the driver's labels."""
        engine, label = Engine(), f"rewhisk.installation={self.installation}"
        await engine.connect()
        containers = await engine.call(lambda client: client.containers(all=True, filters={"label": label}))
        networks = await engine.call(lambda client: client.networks(filters={"label": label}))
        await engine.close()
        return [*containers, *networks]


class OnDocker(WithEngine, ContainerSuite):
    """The whole contract."""

    async def test_memory_between_runs(self) -> None:
        """A container that hits its limit while idle is gone; the next request certainly reached nobody."""
        seen = Seen()
        container = await self.initialised("memory_later", seen)
        body(await self.run(container, {}))
        await until(lambda: seen.gone == 1)
        assert await self.run(container, {}) is Failure.REFUSED

    async def test_the_engine_has_nothing_of_it(self) -> None:
        """After close neither a container, helpers included, nor a network."""
        await self.initialised("echo")
        assert len(await self.nothing_of_it()) >= 1
        await self.driver.close()
        assert await self.nothing_of_it() == []


class TestPython(OnDocker):
    kind = "python:3"
    many = 20


class TestPythonOnBridge(OnDocker):
    kind = "python:3"
    network = "bridge"


class TestNodejs(OnDocker):
    kind = "nodejs:20"

    async def test_runs_at_the_same_time(self) -> None:
        """With a concurrency of its own one container runs that many at a time; one that fails leaves the others alone."""
        container = await self.initialised("sleep", concurrency=5, env={"__OW_ALLOW_CONCURRENT": "true"})
        began = time.monotonic()
        runs = [self.run(container, {"s": 1}) for _ in range(4)]
        *results, late = await asyncio.gather(*runs, self.run(container, {"s": 60}, timeout=0.5))
        assert [body(result) for result in results] == [{"slept": 1}] * 4
        assert late is Failure.TIMEOUT
        assert time.monotonic() - began < 2

    async def test_memory_that_several_share(self) -> None:
        """What one of them takes too much ends all that run there, each with memory as the reason."""
        container = await self.initialised("memory", concurrency=3, env={"__OW_ALLOW_CONCURRENT": "true"})
        assert await asyncio.gather(*(self.run(container, {}, timeout=30) for _ in range(3))) == [Failure.MEMORY] * 3


class TestNodejsNotRoot(WithEngine, ContainerCalls):
    """By published ports."""

    kind = "nodejs:20"
    network = "bridge"
    as_root = False
    here = False


class TestPythonNotRoot(WithEngine, ContainerCalls):
    """Without a network, by address."""

    kind = "python:3"
    as_root = False


async def test_own_bridge_without_root() -> None:
    """Where the machine has the bridge nothing is published."""
    driver = DockerDriver(secrets.token_hex(4), "invoker0", DockerOptions(), as_root=False)
    await driver.open()
    try:
        seen = Seen()
        container = await driver.create(ContainerSpec(kind="python:3", memory=128, name="x"), seen.output, seen.went)
        told = await driver.engine.call(lambda client: client.inspect_container(container.id))
        assert not told["HostConfig"]["PortBindings"]
        assert isinstance(await container.init(b"{}", 10, 1 << 20), Answer)
    finally:
        await driver.close()
