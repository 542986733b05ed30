"""The Docker driver keeps the contract of containers: with a network and without, as root and as somebody else."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from containers.contract import Driver
from containers.docker import DockerDriver, DockerOptions
from tests.contract.container_suite import ContainerSuite

pytestmark = pytest.mark.docker


class OnDocker(ContainerSuite):
    """`network` and `as_root` choose the way to the container."""

    network = "none"
    as_root = True
    memory = 128

    @pytest_asyncio.fixture
    async def driver(self) -> AsyncIterator[Driver]:
        options = DockerOptions(network=self.network)
        driver = DockerDriver(secrets.token_hex(4), "invoker0", options, as_root=self.as_root)
        await driver.open()
        yield driver
        await driver.close()


class TestPython(OnDocker):
    kind = "python:3"


class TestPythonOnBridge(OnDocker):
    kind = "python:3"
    network = "bridge"


class TestNodejs(OnDocker):
    kind = "nodejs:20"


class TestNodejsNotRoot(OnDocker):
    """By published ports."""

    kind = "nodejs:20"
    network = "bridge"
    as_root = False


class TestPythonNotRoot(OnDocker):
    """Without a network, by address."""

    kind = "python:3"
    as_root = False
