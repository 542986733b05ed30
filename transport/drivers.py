"""Which driver runs a node's containers: Docker when an engine answers, else processes."""

from __future__ import annotations

import structlog

from config.errors import ConfigError
from config.manifest import Manifest
from config.settings import Settings
from containers.contract import ContainerError, Driver
from containers.docker import DockerDriver
from containers.docker_config import DockerOptions
from containers.docker_extra import add_extra
from containers.process import ProcessDriver
from store.data_dir import DataDir

log = structlog.get_logger("containers")

LEFT = "The node that ran here before did not end cleanly, and what it ran in Docker containers may still run there."
FIX = "start the engine (and let this user reach its socket), or use --driver process"


async def open_driver(
    settings: Settings, manifest: Manifest, installation: str, data_dir: DataDir | None = None
) -> tuple[Driver, list[str]]:
    """The driver that the settings ask for, open, and what people should know about it.

    The data directory tells the driver of a process that died here, whose code may run on where only that driver reaches it.
    Raises ConfigError if what they ask for can't be had, ContainerError if the machine can't run containers at all.
    """
    died = data_dir.died if data_dir is not None else None
    found = await _open(settings, manifest, installation, died.driver if died is not None else "")
    if data_dir is not None:
        data_dir.set_driver(found[0].name)
    return found


async def _open(settings: Settings, manifest: Manifest, installation: str, before: str) -> tuple[Driver, list[str]]:
    if settings.driver == "process" or (settings.driver == "auto" and settings.action_network == "host"):
        return await _processes(settings, installation, [])
    if settings.driver == "docker" and settings.action_network == "host":
        raise ConfigError([
            "--action-network host can't be had with Docker: actions would reach everything that listens on this machine; "
            "use bridge or none"
        ])  # fmt: skip
    driver = _docker(settings, manifest, installation)
    try:
        await driver.open()
    except ContainerError as error:
        if settings.driver == "docker":
            raise ConfigError([f"--driver docker: {error} Fix: {FIX}."]) from error
        if before == driver.name:
            raise ConfigError([f"{LEFT} {error} Fix: start the engine, or say --driver process if it is gone for good."]) from error
        warnings = [f"Docker can't be used, actions run as processes: {error}"] if driver.engine.info else []
        return await _processes(settings, installation, warnings)
    return driver, driver.notes()


async def _processes(settings: Settings, installation: str, notes: list[str]) -> tuple[Driver, list[str]]:
    if settings.action_network == "bridge":
        raise ConfigError(["--action-network bridge needs a Docker engine: use host or none, or start one"])
    network = "none" if settings.action_network == "none" else "host"
    driver = ProcessDriver(installation, settings.stream, python=settings.python, network=network)
    await driver.open()
    return driver, [*notes, *driver.notes()]


def _docker(settings: Settings, manifest: Manifest, installation: str) -> DockerDriver:
    try:
        add_extra({}, settings.docker_extra_args)
    except ContainerError as error:
        raise ConfigError([str(error)]) from error
    options = DockerOptions(
        network="none" if settings.action_network == "none" else "bridge",
        env=dict(settings.docker_env),
        labels=dict(settings.docker_labels),
        dns=settings.docker_dns,
        dns_search=settings.docker_dns_search,
        dns_options=settings.docker_dns_options,
        pids=settings.docker_pids,
        user_memory=settings.memory,
        address=settings.docker_host or "",
        source=settings.image_source,
        shared=settings.docker_network or "",
        cpus=settings.docker_cpus or 0.0,
        extra=settings.docker_extra_args,
        images={kind.kind: kind.image for kind in manifest.kinds},
    )
    return DockerDriver(installation, settings.stream, options, say=log.info, warn=log.warning, starts=settings.parallel_starts)
