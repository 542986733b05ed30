"""The promises of `containers/contract.py`: every driver inherits `ContainerSuite` and gives it a driver and a kind."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from containers.contract import Answer, Container, ContainerSpec, Driver, Failure, KindUnavailable, Result
from tests.contract.container_actions import ACTIONS

SENTINEL = b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n"
LIMIT = 1 << 20


class Seen:
    """What one container told: its output, the ends of its streams, its own end."""

    def __init__(self) -> None:
        self.data = {"stdout": bytearray(), "stderr": bytearray()}
        self.ended: list[str] = []
        self.gone = 0
        self.longest = 0

    def output(self, stream: str, data: bytes) -> None:
        self.longest = max(self.longest, len(data))
        if data:
            self.data[stream] += data
        else:
            self.ended.append(stream)

    def went(self) -> None:
        self.gone += 1


async def until(condition: Any, within: float = 10.0) -> None:
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.005)


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def body(result: Result) -> Any:
    """The JSON of an answer with status 200."""
    assert isinstance(result, Answer), result
    assert result.status == 200, result
    return json.loads(result.body)


class ContainerCalls:
    """Inherit, set `kind` and `memory`, define the fixture `driver` (an open driver, closed afterwards).

    What may depend on the way to a container; `ContainerSuite` has the rest.
    """

    kind = ""
    memory = 256
    many = 20

    @pytest_asyncio.fixture
    async def driver(self) -> AsyncIterator[Driver]:
        raise NotImplementedError
        yield

    @pytest_asyncio.fixture(autouse=True)
    async def _setup(self, driver: Driver) -> None:
        self.driver = driver

    async def create(self, seen: Seen | None = None, **changes: Any) -> Container:
        seen = seen or Seen()
        given = {"kind": self.kind, "memory": self.memory, "name": "wsk0_1_guest_hello", **changes}
        return await self.driver.create(ContainerSpec(**given), seen.output, seen.went)

    def code(self, name: str) -> bytes:
        source = ACTIONS[self.kind.split(":")[0]][name]
        return json.dumps({"value": {"name": name, "main": "main", "binary": False, "code": source, "env": {}}}).encode()

    async def initialised(self, name: str, seen: Seen | None = None, **changes: Any) -> Container:
        container = await self.create(seen, **changes)
        body(await container.init(self.code(name), 10, LIMIT))
        return container

    async def run(self, container: Container, value: dict[str, Any], timeout: float = 10, limit: int = LIMIT) -> Result:
        return await container.run(json.dumps({"value": value}).encode(), timeout, limit)

    # Calls ------------------------------------------------------------------------------------------------------

    async def test_init_and_run(self) -> None:
        """An action is initialised and gives back what its code returns."""
        container = await self.initialised("echo")
        assert body(await self.run(container, {"a": "ü", "n": 1})) == {"a": "ü", "n": 1}

    async def test_init_refused(self) -> None:
        """Code that does not compile is answered by the runtime, with a status other than 200."""
        container = await self.create()
        answer = await container.init(self.code("broken"), 10, LIMIT)
        assert isinstance(answer, Answer)
        assert answer.status == 502

    async def test_warm_runs_share_the_process(self) -> None:
        """State lives from one run to the next."""
        container = await self.initialised("counter")
        assert [body(await self.run(container, {}))["count"] for _ in range(3)] == [1, 2, 3]

    async def test_big_bodies(self) -> None:
        """Megabytes go in and out; beyond the limit the body is cut and its length told."""
        container = await self.initialised("big")
        answer = body(await self.run(container, {"x": "z" * 2_000_000, "n": 1_000_000}))
        assert (answer["got"], len(answer["x"])) == (2_000_000, 1_000_000)
        cut = await self.run(container, {"n": 2_000_000}, limit=1000)
        assert isinstance(cut, Answer)
        assert cut.truncated
        assert len(cut.body) == 1000
        assert cut.length > 2_000_000

    async def test_exit_during_run(self) -> None:
        """Code that ends the process gives no result that could be taken for success."""
        seen = Seen()
        container = await self.initialised("exit", seen)
        result = await self.run(container, {})
        assert result is Failure.BROKEN or (isinstance(result, Answer) and result.status != 200)
        await until(lambda: seen.gone == 1)
        assert await self.run(container, {}) in (Failure.BROKEN, Failure.REFUSED)

    async def test_exit_during_init(self) -> None:
        """The same while it is initialised."""
        seen = Seen()
        container = await self.create(seen)
        result = await container.init(self.code("exit_init"), 10, LIMIT)
        assert result is Failure.BROKEN or (isinstance(result, Answer) and result.status != 200)

    async def test_time_limit_of_init(self) -> None:
        """Initialisation ends at its time limit."""
        container = await self.create()
        began = time.monotonic()
        assert await container.init(self.code("sleep_init"), 0.7, LIMIT) is Failure.TIMEOUT
        assert 0.6 < time.monotonic() - began < 2

    async def test_time_limit_of_run(self) -> None:
        """A run ends at its time limit."""
        container = await self.initialised("sleep")
        began = time.monotonic()
        assert await self.run(container, {"s": 60}, timeout=0.5) is Failure.TIMEOUT
        assert 0.4 < time.monotonic() - began < 2

    async def test_environment(self) -> None:
        """Code sees the variables it was given and none of the node's."""
        os.environ["SECRET_OF_THE_NODE"] = "hunter2"
        try:
            container = await self.initialised("env", env={"__OW_API_HOST": "http://10.0.0.1:3233"})
            found = body(await self.run(container, {}))
        finally:
            del os.environ["SECRET_OF_THE_NODE"]
        assert found["__OW_API_HOST"] == "http://10.0.0.1:3233"
        assert "SECRET_OF_THE_NODE" not in found
        assert "hunter2" not in str(found)

    # Life -------------------------------------------------------------------------------------------------------

    async def test_streams_end_with_the_container(self) -> None:
        """After `remove` both streams have ended, once, and `gone` was not called."""
        seen = Seen()
        container = await self.initialised("echo", seen)
        await container.remove()
        assert sorted(seen.ended) == ["stderr", "stdout"]
        assert seen.gone == 0

    async def test_gone(self) -> None:
        """A container that ends by itself between runs says so once."""
        seen = Seen()
        container = await self.initialised("later", seen)
        body(await self.run(container, {}))
        await until(lambda: seen.gone == 1)
        await container.remove()
        assert seen.gone == 1

    async def test_remove_twice_and_at_once(self) -> None:
        """Removing again, or by several, does nothing more and does not fail."""
        container = await self.initialised("echo")
        await asyncio.gather(container.remove(), container.remove())
        await container.remove()
        assert await self.run(container, {}) in (Failure.BROKEN, Failure.REFUSED)

    async def test_remove_while_running(self) -> None:
        """A call that is under way ends broken, soon."""
        container = await self.initialised("sleep")
        running = asyncio.ensure_future(self.run(container, {"s": 60}, timeout=60))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await container.remove()
        assert await running is Failure.BROKEN
        assert time.monotonic() - began < 3

    async def test_pause_and_resume(self) -> None:
        """A paused container does nothing; resumed it goes on where it was; paused it can be removed."""
        container = await self.initialised("counter")
        await container.pause()
        late = asyncio.ensure_future(self.run(container, {}, timeout=10))
        done, _ = await asyncio.wait([late], timeout=0.3)
        assert not done
        await container.resume()
        assert body(await late) == {"count": 1}
        await container.pause()
        await container.remove()

    async def test_concurrent_containers(self) -> None:
        """Containers run at the same time."""
        some = await asyncio.gather(*(self.initialised("sleep") for _ in range(4)))
        began = time.monotonic()
        results = await asyncio.gather(*(self.run(container, {"s": 0.5}) for container in some))
        assert [body(result) for result in results] == [{"slept": 0.5}] * 4
        assert time.monotonic() - began < 1.9

    async def test_create_many(self) -> None:
        """Many at once all come up, with ids of their own."""
        some = await asyncio.gather(*(self.create() for _ in range(self.many)))
        assert len({container.id for container in some}) == self.many
        for container in some:
            assert container.stages.keys() >= {"create", "start", "ready"}
        await asyncio.gather(*(container.remove() for container in some))

    async def test_unknown_kind(self) -> None:
        """A kind that can't run here is refused by name."""
        with pytest.raises(KindUnavailable, match="cobol"):
            await self.create(kind="cobol:74")

    async def test_nothing_is_left(self) -> None:
        """After close no process, no descriptor and nothing else of the driver is left."""
        before = descriptors()
        some = await asyncio.gather(*(self.initialised("sleep") for _ in range(3)))
        running = [asyncio.ensure_future(self.run(container, {"s": 60}, timeout=60)) for container in some[:2]]
        await asyncio.sleep(0.05)
        await self.driver.close()
        await asyncio.gather(*running)
        for container in some:
            if container.pid:
                assert not Path(f"/proc/{container.pid}").exists()
        await until(lambda: descriptors() <= before)
        self.nothing_left()

    def nothing_left(self) -> None:
        """Hook: what else must be gone after close."""


class ContainerSuite(ContainerCalls):
    """The whole of it: memory and output as well."""

    # Memory -----------------------------------------------------------------------------------------------------

    async def test_memory_in_run(self) -> None:
        """The memory limit is enforced and found out as the reason."""
        container = await self.initialised("memory")
        assert await self.run(container, {}, timeout=30) is Failure.MEMORY

    async def test_memory_in_init(self) -> None:
        """The same while it is initialised."""
        container = await self.create()
        assert await container.init(self.code("memory_init"), 30, LIMIT) is Failure.MEMORY

    async def test_memory_in_child(self) -> None:
        """A child process that takes too much counts as well, although the runtime survives it."""
        container = await self.initialised("memory_child")
        assert await self.run(container, {}, timeout=30) is Failure.MEMORY

    # Output -----------------------------------------------------------------------------------------------------

    async def test_output_comes_whole_and_in_order(self) -> None:
        """Both streams bring every line in order, then the sentinel."""
        seen = Seen()
        container = await self.initialised("lines", seen)
        body(await self.run(container, {}))
        await until(lambda: all(data.endswith(SENTINEL) for data in seen.data.values()))
        for stream, word in (("stdout", "out"), ("stderr", "err")):
            wanted = "".join(f"{word} {i}\n" for i in range(2000)).encode() + SENTINEL
            assert bytes(seen.data[stream]) == wanted

    async def test_binary_output(self) -> None:
        """Bytes of every value pass unchanged."""
        seen = Seen()
        container = await self.initialised("binary", seen)
        body(await self.run(container, {}))
        await until(lambda: all(data.endswith(SENTINEL) for data in seen.data.values()))
        assert seen.data["stdout"].startswith(bytes(range(256)))
        assert seen.data["stderr"].startswith(bytes(range(255, -1, -1)))

    async def test_endless_output_starves_nobody(self) -> None:
        """Endless printing ends at the time limit; the loop stays responsive and other containers work."""
        seen = Seen()
        container = await self.initialised("endless", seen)
        other = await self.initialised("echo")
        printing = asyncio.ensure_future(self.run(container, {}, timeout=1.5))
        began = time.monotonic()
        assert body(await self.run(other, {"a": 1})) == {"a": 1}
        assert not printing.done(), "beside the flood"
        assert await printing is Failure.TIMEOUT
        assert time.monotonic() - began < 4
        await container.remove()
        assert len(seen.data["stdout"]) > 100_000
        assert seen.longest <= 65_536
