"""The process driver keeps the contract of containers, isolated and not, with Python and with Node.js."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from containers.contract import Answer, Container, Driver, Failure
from containers.process import ProcessDriver
from tests.contract.container_suite import LIMIT, ContainerSuite, Seen, body, until


class Isolated(ContainerSuite):
    """With namespaces and control groups."""

    @pytest_asyncio.fixture
    async def driver(self) -> AsyncIterator[Driver]:
        driver = ProcessDriver(secrets.token_hex(4), "invoker0")
        await driver.open()
        assert driver.notes() == []
        yield driver
        await driver.close()

    async def test_memory_between_runs(self) -> None:
        """A container that hits its limit while idle is gone; the next request certainly reached nobody."""
        seen = Seen()
        container = await self.initialised("memory_later", seen)
        body(await self.run(container, {}))
        await until(lambda: seen.gone == 1)
        await asyncio.sleep(0.05)
        assert await self.run(container, {}) is Failure.REFUSED

    def nothing_left(self) -> None:
        driver = self.driver
        assert isinstance(driver, ProcessDriver)
        for controller in ("memory", "pids"):
            assert not Path(f"/sys/fs/cgroup/{controller}/rewhisk/{driver.owner}").exists()
        assert "rewhisk" not in Path("/proc/self/mounts").read_text()


class TestPython(Isolated):
    kind = "python:3"
    memory = 128


class TestNodejs(Isolated):
    kind = "nodejs:20"

    async def test_runs_at_the_same_time(self) -> None:
        """With a concurrency of its own one process runs that many at a time; one that fails leaves the others alone."""
        container = await self.initialised("sleep", concurrency=5, env={"__OW_ALLOW_CONCURRENT": "true"})
        began = time.monotonic()
        runs = [self.run(container, {"s": 1}) for _ in range(4)]
        *results, late = await asyncio.gather(*runs, self.run(container, {"s": 60}, timeout=0.5))
        assert [body(result) for result in results] == [{"slept": 1}] * 4
        assert late is Failure.TIMEOUT
        assert time.monotonic() - began < 2
        assert body(await self.run(container, {"s": 0})) == {"slept": 0}

    async def test_memory_that_several_share(self) -> None:
        """What one of them takes too much ends all that run there, each with memory as the reason."""
        container = await self.initialised("memory", concurrency=3, env={"__OW_ALLOW_CONCURRENT": "true"})
        assert await asyncio.gather(*(self.run(container, {}, timeout=30) for _ in range(3))) == [Failure.MEMORY] * 3


class TestPythonNotIsolated(ContainerSuite):
    """Without namespaces, as for a user who isn't root; memory is the interpreter's own business there."""

    kind = "python:3"
    memory = 128

    @pytest_asyncio.fixture
    async def driver(self) -> AsyncIterator[Driver]:
        driver = ProcessDriver(secrets.token_hex(4), "invoker0", isolate=False)
        await driver.open()
        yield driver
        await driver.close()

    async def test_memory_in_run(self) -> None:
        """Taking too much is the code's own MemoryError; the limit is enforced."""
        seen = Seen()
        container = await self.initialised("memory", seen)
        assert json.loads(await self.answer(container)).keys() == {"error"}
        await until(lambda: b"MemoryError" in seen.data["stderr"])

    async def test_memory_in_init(self) -> None:
        """The same while it is initialised."""
        container = await self.create()
        answer = await container.init(self.code("memory_init"), 30, LIMIT)
        assert isinstance(answer, Answer)
        assert answer.status == 502

    async def test_memory_in_child(self) -> None:
        """A child has the same limit for itself."""
        container = await self.initialised("memory_child")
        assert json.loads(await self.answer(container)) != {"status": 0}

    async def answer(self, container: Container) -> bytes:
        answer = await self.run(container, {}, timeout=30)
        assert isinstance(answer, Answer)
        return answer.body
