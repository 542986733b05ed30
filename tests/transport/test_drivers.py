"""Which driver a node gets: what was asked for, or a clear refusal; Docker by itself only when an engine answers."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from config.defaults import default_manifest
from config.errors import ConfigError
from config.load import load
from config.settings import Settings
from containers.docker import DockerDriver
from containers.process import ProcessDriver
from store.data_dir import DataDir
from transport.drivers import open_driver

NO_ENGINE = "unix:///nonexistent/engine"


def settings(tmp_path: Path, **given: str) -> Settings:
    environment = {f"REWHISK_{name.upper()}": value for name, value in given.items()}
    return load({"data_dir": str(tmp_path)}, environment)


async def opened(tmp_path: Path, **given: str) -> tuple[Any, list[str]]:
    driver, notes = await open_driver(settings(tmp_path, **given), default_manifest(), secrets.token_hex(4))
    await driver.close()
    return driver, notes


async def test_processes_where_no_engine_answers(tmp_path: Path) -> None:
    """Without a word: the banner says what was found."""
    driver, notes = await opened(tmp_path, driver="auto", docker_host=NO_ENGINE)
    assert isinstance(driver, ProcessDriver)
    assert not any("Docker can't" in note for note in notes)


async def test_processes_on_demand(tmp_path: Path) -> None:
    """No engine is looked for; so too if the machine's network was asked for, which containers don't get."""
    assert isinstance((await opened(tmp_path, driver="process"))[0], ProcessDriver)
    assert isinstance((await opened(tmp_path, driver="auto", action_network="host"))[0], ProcessDriver)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"driver": "docker", "docker_host": NO_ENGINE}, "can't be reached.*--driver process"),
        ({"driver": "docker", "action_network": "host"}, "bridge or none"),
        ({"driver": "process", "action_network": "bridge"}, "needs a Docker engine"),
        ({"driver": "auto", "action_network": "bridge", "docker_host": NO_ENGINE}, "needs a Docker engine"),
        ({"driver": "docker", "docker_host": "carrier://pigeon"}, "carrier"),
        ({"driver": "auto", "docker_extra_args": "privileged=true"}, "'privileged' is none that can be passed on"),
    ],
)
async def test_what_can_not_be_had(given: dict[str, str], text: str, tmp_path: Path) -> None:
    """Refused with what can be done about it."""
    with pytest.raises(ConfigError, match=text):
        await opened(tmp_path, **given)


async def test_the_engine_of_a_node_that_died_is_not_done_without(tmp_path: Path) -> None:
    """Its code may still run there, and must not run twice at the same time; another driver is taken only on demand."""
    given, data_dir = {"docker_host": NO_ENGINE}, DataDir.open(tmp_path, "invoker0")
    data_dir.set_driver("docker")
    data_dir.close(clean=False)
    data_dir = DataDir.open(tmp_path, "invoker0")
    with pytest.raises(ConfigError, match=r"may still run there.*can't be reached.*--driver process"):
        await open_driver(settings(tmp_path, **given), default_manifest(), "i", data_dir)
    driver, _ = await open_driver(settings(tmp_path, **given, driver="process"), default_manifest(), "i", data_dir)
    assert isinstance(driver, ProcessDriver)
    await driver.close()
    data_dir.close()


@pytest.mark.docker
async def test_docker_where_an_engine_answers(tmp_path: Path) -> None:
    """By itself, with what the settings say."""
    more = {"docker_env": "A=1,B", "docker_labels": "team=blue", "docker_dns": "192.0.2.53", "memory": "1g", "docker_pids": "99"}
    more |= {"docker_cpus": "1.5", "docker_extra_args": "--cap-add=KILL,ulimit=core=0"}
    driver, notes = await opened(tmp_path, driver="auto", **more)
    assert isinstance(driver, DockerDriver)
    assert notes == []
    options = driver.options
    assert (options.env, options.labels, options.dns) == ({"A": "1", "B": ""}, {"team": "blue"}, ("192.0.2.53",))
    assert (options.network, options.user_memory, options.pids) == ("bridge", 1024, 99)
    assert (options.cpus, options.extra) == (1.5, (("cap-add", "KILL"), ("ulimit", "core=0")))
    assert options.images["python:3"] == "rewhisk/python:3.11"
