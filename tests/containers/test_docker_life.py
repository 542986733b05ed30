"""Containers of the Docker driver that end, stay behind, belong to others, or meet an engine that does not answer."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import requests
from docker import APIClient
from docker.errors import APIError

from containers import docker, docker_engine
from containers.contract import ContainerError, ContainerSpec, CreateFailed, Failure, ImageMissing, KindUnavailable
from containers.docker import DockerDriver
from containers.docker_config import DockerOptions, cpu_shares
from containers.docker_container import DockerContainer
from containers.docker_engine import Engine, EngineError
from containers.docker_sandbox import KEPT, Sandboxes
from containers.images import PAUSE
from tests.contract.container_actions import PYTHON
from tests.contract.container_suite import LIMIT, Seen, body, until

pytestmark = pytest.mark.docker

SPEC = ContainerSpec(kind="python:3", memory=128, name="wsk0_1_guest_hello")
NONE = DockerOptions(network="none")


def ignore(*_: object) -> None:
    pass


@pytest_asyncio.fixture
async def driver() -> AsyncIterator[DockerDriver]:
    driver = DockerDriver(secrets.token_hex(4), "invoker0", NONE)
    await driver.open()
    yield driver
    await driver.close()


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    await engine.connect()
    yield engine
    await engine.close()


async def ids(engine: Engine, *labels: str) -> set[str]:
    found = await engine.call(lambda client: client.containers(all=True, filters={"label": list(labels)}))
    return {each["Id"] for each in found}


async def counter(driver: DockerDriver, seen: Seen | None = None) -> DockerContainer:
    seen = seen or Seen()
    container = await driver.create(SPEC, seen.output, seen.went)
    assert isinstance(container, DockerContainer)
    value = {"name": "counter", "main": "main", "binary": False, "code": PYTHON["counter"], "env": {}}
    body(await container.init(json.dumps({"value": value}).encode(), 20, LIMIT))
    return container


async def test_leftovers_are_exactly_ones_own(engine: Engine) -> None:
    """The next process of the same node removes what the one before left, frozen or not; nothing of another node or stream."""
    mine, other = secrets.token_hex(4), secrets.token_hex(4)
    dead = DockerDriver(mine, "invoker0", NONE)
    foreign = ((other, "invoker0"), (mine, "invoker1"), (f"{mine}1", "invoker0"))
    drivers = [dead, *(DockerDriver(installation, stream, NONE) for installation, stream in foreign)]
    for driver in drivers:
        await driver.open()
    heir = DockerDriver(mine, "invoker0", NONE)
    try:
        left = [await counter(driver) for driver in drivers]
        frozen = await counter(dead)
        await frozen.pause()
        await heir.open()
        assert await heir.leftovers(lambda identity: True) == []
        there = await ids(engine, f"rewhisk.installation={mine}") | await ids(engine, f"rewhisk.installation={other}")
        assert {left[0].id, frozen.id} & (there | await ids(engine, f"rewhisk.installation={mine}1")) == set()
        assert {left[1].id, left[2].id} <= there
        assert left[3].id in await ids(engine, f"rewhisk.installation={mine}1")
        own = await counter(heir)
        assert await heir.leftovers(lambda identity: True) == []
        assert body(await own.run(b'{"value": {}}', 10, LIMIT)) == {"count": 1}
    finally:
        for driver in (heir, *drivers):
            await driver.close()


async def test_leftovers_may_be_kept(driver: DockerDriver, engine: Engine) -> None:
    """What is not to be killed is told and lives on."""
    container = await counter(driver)
    heir = DockerDriver(driver._owner["rewhisk.installation"], "invoker0", NONE)
    await heir.engine.connect()
    assert await heir.leftovers(lambda identity: False) == [container.id]
    await heir.engine.close()
    assert body(await container.run(b'{"value": {}}', 10, LIMIT)) == {"count": 1}


@pytest_asyncio.fixture
async def heirs() -> AsyncIterator[tuple[DockerDriver, DockerDriver]]:
    """A driver of a process that says nothing any more, and the one of the next process; on a bridge, with a namespace for each."""
    mine = secrets.token_hex(4)
    dead, heir = DockerDriver(mine, "invoker0"), DockerDriver(mine, "invoker0")
    await dead.open()
    yield dead, heir
    await heir.close()
    await dead.close()


async def test_taken_over(heirs: tuple[DockerDriver, DockerDriver], engine: Engine) -> None:
    """The heir goes on with what it keeps, frozen or not: state, output, end; it is removed with its network's holder."""
    dead, heir = heirs
    kept, frozen, swept = [await counter(dead) for _ in range(3)]
    await frozen.pause()
    assert isinstance(dead._network, Sandboxes)
    await until(lambda: not dead._network._making)  # a dead process makes nothing more
    await heir.open()
    assert set(await heir.leftovers(lambda identity: identity == swept.id)) == {kept.id, frozen.id}
    seen = Seen()
    ours = [await heir.adopt(each.id, SPEC, seen.output, seen.went) for each in (kept, frozen)]
    for container in ours:
        assert body(await container.run(b'{"value": {}}', 10, LIMIT)) == {"count": 1}
    assert await heir.leftovers(lambda identity: True) == []
    await until(lambda: seen.data["stdout"].count(b"XXX_THE_END") == 2)
    await engine.remove_container(ours[0].id)
    await until(lambda: seen.gone == 1)
    await ours[0].remove()
    await heir.close()
    assert await ids(engine, f"rewhisk.installation={dead._owner['rewhisk.installation']}") == set()


@pytest.mark.parametrize("why", ["hangs", "other memory", "holder ended", "foreign"])
async def test_not_taken_over(heirs: tuple[DockerDriver, DockerDriver], engine: Engine, why: str) -> None:
    """What doesn't answer, would be made otherwise now or has lost its network is removed with all that belongs to it."""
    dead, heir = heirs
    container = await counter(dead)
    if why == "hangs":
        os.kill(container.pid, signal.SIGSTOP)
    elif why == "holder ended":
        found = await engine.call(lambda client: client.inspect_container(container.id))
        await engine.call(lambda client: client.kill(found["HostConfig"]["NetworkMode"].partition(":")[2]))
    await heir.open()
    await heir.leftovers(lambda identity: False)
    spec = ContainerSpec(kind="python:3", memory=256 if why == "other memory" else 128, name="x")
    if why == "foreign":
        stranger = DockerDriver(secrets.token_hex(4), "invoker0", NONE)
        await stranger.open()
        foreign = await counter(stranger)
        with pytest.raises(ContainerError):
            await heir.adopt(foreign.id, spec, ignore, ignore)
        assert body(await foreign.run(b'{"value": {}}', 10, LIMIT)) == {"count": 1}, "it is not the heir's to remove"
        await stranger.close()
        return
    with pytest.raises(ContainerError):
        await heir.adopt(container.id, spec, ignore, ignore)
    assert container.id not in await ids(engine, f"rewhisk.installation={dead._owner['rewhisk.installation']}")


@pytest.mark.parametrize("by", ["engine", "signal"])
async def test_killed_from_outside(driver: DockerDriver, by: str) -> None:
    """It is told once, and its output has ended."""
    seen = Seen()
    container = await counter(driver, seen)
    if by == "engine":
        await driver.engine.remove_container(container.id)
    else:
        os.kill(container.pid, signal.SIGKILL)
    await until(lambda: seen.gone == 1)
    assert sorted(seen.ended) == ["stderr", "stdout"]
    await container.remove()
    assert seen.gone == 1


@pytest.mark.parametrize("path", ["init", "run"])
async def test_killed_from_outside_at_work(driver: DockerDriver, path: str) -> None:
    """Whoever told the engine to: it is not the code that ended, and nothing of it is left when that is said."""
    container = await driver.create(SPEC, ignore, ignore)
    assert isinstance(container, DockerContainer)
    code = "import time\n" + ("time.sleep(60)\n" if path == "init" else "") + "def main(args):\n    time.sleep(60)"
    value = {"name": "sleep", "main": "main", "binary": False, "code": code, "env": {}}
    working = asyncio.ensure_future(container.init(json.dumps({"value": value}).encode(), 60, LIMIT))
    if path == "run":
        body(await working)
        working = asyncio.ensure_future(container.run(b'{"value": {}}', 60, LIMIT))
    await asyncio.sleep(0.3)
    await driver.engine.call(lambda client: client.kill(container.id))
    assert await working is Failure.LOST
    assert not Path(f"/proc/{container.pid}").exists()
    assert not driver._containers


async def test_freezing_by_the_engine(driver: DockerDriver) -> None:
    """Where the freezer can't be written the engine does it; many times in a row, and the frozen one can be removed."""
    container = await counter(driver)
    assert container._cgroup is not None
    container._cgroup.writable = False
    for number in range(5):
        await container.pause()
        await container.resume()
        assert body(await container.run(b'{"value": {}}', 10, LIMIT)) == {"count": number + 1}
    await container.pause()
    await container.remove()
    with pytest.raises(ContainerError, match="has ended"):
        await container.pause()


async def test_cancelled_while_starting(driver: DockerDriver, engine: Engine) -> None:
    """A creation that nobody waits for any more leaves nothing, whenever it is given up."""
    for moment in (0.0, 0.005, 0.03, 0.1):
        making = asyncio.ensure_future(driver.create(SPEC, ignore, ignore))
        await asyncio.sleep(moment)
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)
    label = f"rewhisk.installation={driver._owner['rewhisk.installation']}"
    await until(lambda: not driver._containers)
    await asyncio.sleep(0.2)
    assert await ids(engine, label) == set()


async def test_images_that_are_not_there(driver: DockerDriver) -> None:
    """A user's is the developer's fault, a kind's is this machine's; both are named."""
    missing = "127.0.0.1:1/nobody/nothing:1"
    spec = {"memory": 128, "name": "x", "image": missing}
    with pytest.raises(ImageMissing, match=missing):
        await driver.create(ContainerSpec(kind="blackbox", user_image=True, **spec), ignore, ignore)  # type: ignore[arg-type]
    with pytest.raises(KindUnavailable, match=missing):
        await driver.create(ContainerSpec(kind="ruby:3", **spec), ignore, ignore)  # type: ignore[arg-type]
    with pytest.raises(KindUnavailable, match="no recipe"):
        await driver.create(ContainerSpec(kind="ruby:3", memory=128, name="x", image="rewhisk/ruby:3"), ignore, ignore)


async def test_image_without_a_program(driver: DockerDriver, engine: Engine) -> None:
    """A user's image whose command does not exist is the developer's fault."""
    from containers.image_files import pack

    reference = f"rewhisk-test:{secrets.token_hex(4)}"
    repository, _, tag = reference.partition(":")
    content = pack([("file", b"", 0o644)])
    await engine.call(
        lambda client: client.import_image_from_data(content, repository=repository, tag=tag, changes=['CMD ["/nothing"]'])
    )
    try:
        spec = ContainerSpec(kind="blackbox", memory=128, name="x", image=reference, user_image=True)
        with pytest.raises(ImageMissing, match="executable file not found in image"):
            await driver.create(spec, ignore, ignore)
    finally:
        await engine.call(lambda client: client.remove_image(reference, force=True))
    assert not driver._containers


async def test_images_that_never_listen(driver: DockerDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold up no other start, and their /init ends at its time limit."""
    monkeypatch.setattr(docker, "BOOT_LIMIT", 0.3)
    monkeypatch.setattr(docker, "READY_LIMIT", 4.0)
    silent = ContainerSpec(kind="blackbox", memory=16, name="x", image=await driver.images.own(PAUSE), user_image=True)
    making = [asyncio.ensure_future(driver.create(silent, ignore, ignore)) for _ in range(4)]
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    await counter(driver)
    assert asyncio.get_running_loop().time() - began < 3.5
    assert not any(each.done() for each in making)
    some = await asyncio.gather(*making)
    assert await some[0].init(b"{}", 0.3, LIMIT) is Failure.TIMEOUT
    assert await some[0].run(b"{}", 0.3, LIMIT) is Failure.REFUSED


@pytest.mark.parametrize("failures", [1, 2])
async def test_starts_that_the_engine_fails(
    driver: DockerDriver, engine: Engine, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is made up for by a fresh container, of which alone is told; two in a row are the platform's failure. Nothing is left."""
    failing, start = list(range(failures)), APIClient.start

    def fails(client: APIClient, container: str) -> None:
        start(client, container)
        if failing:
            failing.pop()
            response = requests.Response()
            response.status_code = 500
            raise APIError("500", response, "cannot start a stopped process")

    monkeypatch.setattr(APIClient, "start", fails)
    seen, mine = Seen(), f"rewhisk.installation={driver._owner['rewhisk.installation']}"
    if failures == 1:
        container = await counter(driver, seen)
        assert await ids(engine, mine) == {container.id}
        assert (seen.ended, seen.gone) == ([], 0)
    else:
        with pytest.raises(CreateFailed, match="cannot start a stopped process"):
            await driver.create(SPEC, seen.output, seen.went)
        assert await ids(engine, mine) == set()
    assert not failing


class FakeEngine:
    """Takes connections and answers each request with these bytes; none: never."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.address = f"unix://{path}"
        self._path = path
        self._answer = answer

    async def __aenter__(self) -> FakeEngine:
        self._server = await asyncio.start_unix_server(self._serve, str(self._path))
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            if self._answer:
                writer.write(self._answer)
        writer.close()

    async def __aexit__(self, *_: Any) -> None:
        self._server.close()


REFUSALS = [
    (b"HTTP/1.1 500 No\r\nContent-Length: 23\r\n\r\n{\"message\":\"disk full\"}\n", "disk full"),
    (b"\x00\x01garbage\r\n\r\n", "can't be reached"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope", "can't be reached"),
]


@pytest.mark.parametrize(("answer", "text"), REFUSALS)
async def test_an_engine_that_makes_no_sense(answer: bytes, text: str, tmp_path: Path) -> None:
    """Whatever answers at the address, opening fails with its reason and leaves nothing open."""
    async with FakeEngine(tmp_path / "engine", answer) as fake:
        driver = DockerDriver("a", "invoker0", DockerOptions(address=fake.address))
        with pytest.raises(EngineError, match=text):
            await driver.open()


async def test_an_engine_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening ends by itself, soon."""
    monkeypatch.setattr(docker_engine, "PING_LIMIT", 0.3)
    async with FakeEngine(tmp_path / "engine", b"") as fake:
        driver = DockerDriver("a", "invoker0", DockerOptions(address=fake.address))
        with pytest.raises(EngineError, match=r"did not answer|can't be reached"):
            await driver.open()


async def test_no_engine(tmp_path: Path) -> None:
    """Nobody listens: said at once."""
    driver = DockerDriver("a", "invoker0", DockerOptions(address=f"unix://{tmp_path}/none"))
    with pytest.raises(EngineError, match="can't be reached"):
        await driver.open()
    with pytest.raises(CreateFailed, match="not open"):
        await driver.create(SPEC, ignore, ignore)


async def test_network_of_the_machine_is_refused() -> None:
    """With it actions would reach all that listens here."""
    with pytest.raises(ContainerError, match="bridge"):
        await DockerDriver("a", "invoker0", DockerOptions(network="host")).open()


async def test_engine_that_falls_silent(driver: DockerDriver) -> None:
    """The node hears that its events ended, says so, comes back by itself, and looks at its containers."""
    seen = Seen()
    await counter(driver, seen)
    assert driver.problem() is None
    address, driver.engine.address = driver.engine.address, "unix:///nonexistent/engine"
    assert driver._watch._stream is not None
    driver._watch._stream.close()
    await until(lambda: driver.problem() is not None)
    driver.engine.address = address
    await until(lambda: driver.problem() is None)
    assert seen.gone == 0


SHARES = [(1024, 256, 256), (1024, 1024, 1024), (512, 1024, 1024), (1 << 20, 128, 2), (1000, 300, 341)]


@pytest.mark.parametrize(("user", "one", "shares"), SHARES)
def test_cpu_shares(user: int, one: int, shares: int) -> None:
    """Upstream's formula: by the part of the node's memory."""
    assert cpu_shares(user, one) == shares


async def test_holders_that_were_killed(engine: Engine) -> None:
    """A waiting network whose holder is gone isn't given away; one that is gone under a container ends only its network."""
    driver = DockerDriver(secrets.token_hex(4), "invoker0", DockerOptions())
    await driver.open()
    try:
        sandboxes = driver._network
        assert isinstance(sandboxes, Sandboxes)
        await until(lambda: len(sandboxes._waiting) == KEPT)
        for sandbox in list(sandboxes._waiting):
            os.kill(sandbox.pid, signal.SIGKILL)
            await until(lambda pid=sandbox.pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]
        container = await counter(driver)
        assert body(await container.run(b'{"value": {}}', 10, LIMIT)) == {"count": 1}
        holder = (await ids(engine, f"rewhisk.process={driver._labels['rewhisk.process']}", "rewhisk.role=network"))
        for identity in holder:
            await engine.remove_container(identity)
        assert body(await container.run(b'{"value": {}}', 10, LIMIT)) == {"count": 2}
        await container.remove()
        assert body(await (await counter(driver)).run(b'{"value": {}}', 10, LIMIT)) == {"count": 1}
    finally:
        await driver.close()
    assert await ids(engine, f"rewhisk.process={driver._labels['rewhisk.process']}") == set()
