"""User images pulled from a real registry on loopback: once for all who wait, anew where the name may mean something new."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from containers.contract import Container, ContainerSpec, ImageMissing
from containers.docker import DockerDriver
from containers.docker_config import DockerOptions
from containers.docker_engine import Engine
from containers.images import Images
from tests.contract.container_suite import LIMIT, body, until

pytestmark = [pytest.mark.docker, pytest.mark.registry]

CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {place}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Registry:
    """Debian's docker-registry. `stop` ends it."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        config = directory / "registry.yml"
        config.write_text(CONFIG.format(place=directory / "images", port=self.port))
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=quiet, stderr=quiet)

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = Registry(tmp_path)
    yield registry
    registry.stop()


class Publisher:
    """Puts images into the registry, each the Python runtime with a variable that tells them apart."""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self._engine = engine
        self._registry = registry

    async def publish(self, tag: str, zone: str) -> str:
        """The image's name; the engine no longer has it."""
        base = await Images(self._engine).own("rewhisk/python:3.11")
        repository = f"127.0.0.1:{self._registry.port}/guest/hello"
        name = f"{repository}:{tag}"

        def push(client: object) -> str:
            made = client.create_container(base, environment={"ZONE": zone})["Id"]  # type: ignore[attr-defined]
            client.commit(made, repository=repository, tag=tag)  # type: ignore[attr-defined]
            client.remove_container(made)  # type: ignore[attr-defined]
            return str(client.push(repository, tag=tag))  # type: ignore[attr-defined]

        said = await self._engine.call(push)
        assert "errorDetail" not in said, said
        await self.forget(name)
        return name

    async def forget(self, name: str) -> None:
        await self._engine.call(lambda client: client.remove_image(name, force=True))

    async def close(self) -> None:
        """Also what a newer `latest` has left without a name."""
        place = f"127.0.0.1:{self._registry.port}/guest/hello"
        found = await self._engine.call(lambda client: client.images(all=True))
        for each in found:
            if any(name.startswith(place) for name in [*(each["RepoTags"] or []), *(each["RepoDigests"] or [])]):
                await self.forget(each["Id"])


@pytest_asyncio.fixture
async def said() -> list[str]:
    return []


@pytest_asyncio.fixture
async def driver(said: list[str]) -> AsyncIterator[DockerDriver]:
    driver = DockerDriver(secrets.token_hex(4), "invoker0", DockerOptions(network="none"), say=said.append)
    await driver.open()
    yield driver
    await driver.close()


@pytest_asyncio.fixture
async def publisher(driver: DockerDriver, registry: Registry) -> AsyncIterator[Publisher]:
    await until(registry.answers)
    publisher = Publisher(driver.engine, registry)
    yield publisher
    await asyncio.gather(*(container.remove() for container in list(driver._containers.values())))
    await publisher.close()


async def made(driver: DockerDriver, image: str) -> Container:
    spec = ContainerSpec(kind="blackbox", memory=128, name="x", image=image, user_image=True)
    return await driver.create(spec, lambda *_: None, lambda: None)


async def zone(driver: DockerDriver, image: str) -> str:
    """What an action sees of its image."""
    container = await made(driver, image)
    code = "import os\ndef main(args):\n    return {'zone': os.environ['ZONE']}"
    value = {"name": "x", "main": "main", "binary": False, "code": code, "env": {}}
    body(await container.init(json.dumps({"value": value}).encode(), 20, LIMIT))
    found = body(await container.run(b'{"value": {}}', 20, LIMIT))["zone"]
    await container.remove()
    return str(found)


async def test_pulled_once(driver: DockerDriver, publisher: Publisher, said: list[str]) -> None:
    """Several containers of an image that isn't there wait for one pull; with a fixed tag it is never pulled again."""
    image = await publisher.publish("1", "west")
    await asyncio.gather(*(made(driver, image) for _ in range(3)))
    assert await zone(driver, image) == "west"
    assert said.count(f"pulling {image}") == 1


async def test_latest_is_what_it_means_now(
    driver: DockerDriver, publisher: Publisher, registry: Registry, said: list[str]
) -> None:
    """A new image under the same name is taken at the next creation; with the registry gone the last one will do."""
    image = await publisher.publish("latest", "west")
    assert await zone(driver, image) == "west"
    await publisher.publish("latest", "east")
    assert await zone(driver, image) == "east"
    registry.stop()
    assert await zone(driver, image) == "east"
    assert any(text.startswith(f"{image} can't be pulled") for text in said)


async def test_not_there(driver: DockerDriver, publisher: Publisher, registry: Registry) -> None:
    """An image that the registry doesn't have is the developer's fault; it is named as upstream does."""
    image = f"127.0.0.1:{registry.port}/guest/nothing:1"
    with pytest.raises(ImageMissing, match=f"Failed to pull container image '{image}'"):
        await made(driver, image)


async def test_manifest_images_are_pulled_too(driver: DockerDriver, publisher: Publisher) -> None:
    """A kind whose image isn't there gets it from the registry that the manifest names."""
    image = await publisher.publish("3", "north")
    spec = ContainerSpec(kind="python:3", memory=128, name="x", image=image)
    container = await driver.create(spec, lambda *_: None, lambda: None)
    assert container.spec.image == image
