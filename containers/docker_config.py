"""What the engine is told about a container: limits, rights, labels, names. Options in, the API's JSON out."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from msgspec import Struct

from containers.contract import ContainerSpec
from containers.docker_extra import add_extra
from containers.docker_network import Place

CONFIG = "rewhisk.config"
"""Label: the fingerprint of what the container was made from."""
HOLDER_MEMORY = 8 << 20
"""Bytes; the program itself has one page. The engine takes no less than 6 MB."""
OPEN_FILES = 1024
"""Upstream's `--ulimit nofile=1024:1024`."""
PIDS = 1024
"""Upstream's `--pids-limit 1024`."""
LEAST_CPUS = 0.01
LEAST_SHARES, ALL_SHARES = 2, 1024
"""Docker's bounds; a container's share is its part of the node's memory, as upstream."""


class DockerOptions(Struct, frozen=True):
    """What people may choose. `network` is `bridge` or `none`; `user_memory` in MB and `cpus` (0: no limit) all containers share.

    `shared`: a network that the node is on as well. `extra`: arguments as `docker run` has them, without their dashes.
    """

    network: str = "bridge"
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    pids: int = PIDS
    user_memory: int = 2048
    address: str = ""
    source: str = "auto"
    shared: str = ""
    cpus: float = 0.0
    extra: tuple[tuple[str, str], ...] = ()
    images: dict[str, str] = {}


def container_config(
    options: DockerOptions, labels: dict[str, str], spec: ContainerSpec, image: str, place: Place
) -> dict[str, Any]:
    """A container for actions. The node's own labels win over those that people chose."""
    host = {**_host_config(options, spec.memory << 20), "CpuShares": cpu_shares(options.user_memory, spec.memory)}
    if not str(place.host.get("NetworkMode", "")).startswith("container:"):
        host |= _names_config(options)
    host |= cpu_limit(options, spec.memory)
    add_extra(host, options.extra)
    environment = {**options.env, **spec.env}
    config: dict[str, Any] = {
        "Image": image, "Env": [f"{key}={value}" for key, value in environment.items()],
        "AttachStdout": True, "AttachStderr": True, "HostConfig": {**host, **place.host}, **place.top,
    }  # fmt: skip
    made = {"rewhisk.kind": spec.kind, CONFIG: fingerprint(config)}
    return {**config, "Labels": {**options.labels, **spec.labels, **made, **labels}}


def fingerprint(config: dict[str, Any]) -> str:
    """What a container was made from, whichever waiting network it joined. One that would be made otherwise now is not adopted."""
    host = dict(config["HostConfig"])
    host["NetworkMode"] = str(host.get("NetworkMode", "")).partition(":")[0]
    return hashlib.sha256(json.dumps({**config, "HostConfig": host}, sort_keys=True).encode()).hexdigest()[:32]


def holder_config(options: DockerOptions, labels: dict[str, str]) -> dict[str, Any]:
    """A container that only holds a network."""
    host = {**_host_config(options, HOLDER_MEMORY), **_names_config(options), "PidsLimit": 4, "ReadonlyRootfs": True}
    return {"Labels": labels, "HostConfig": host, "StopSignal": "SIGKILL"}  # an engine that ends would wait for it, for nothing


def _host_config(options: DockerOptions, memory: int) -> dict[str, Any]:
    return {
        "Memory": memory, "MemorySwap": memory, "PidsLimit": options.pids, "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"], "LogConfig": {"Type": "none", "Config": {}},
        "Ulimits": [{"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES}], "RestartPolicy": {"Name": "no"},
    }  # fmt: skip


def _names_config(options: DockerOptions) -> dict[str, Any]:
    return {"Dns": list(options.dns), "DnsSearch": list(options.dns_search), "DnsOptions": list(options.dns_options)}


def cpu_limit(options: DockerOptions, memory: int) -> dict[str, Any]:
    """Upstream's formula for `--cpus`: the container's part of them by its part of the memory, at least 0.01."""
    if not options.cpus:
        return {}
    cpus = max(LEAST_CPUS, round(options.cpus / max(1, options.user_memory // memory), 5))
    return {"NanoCpus": round(cpus * 1e9)}


def cpu_shares(user_memory: int, memory: int) -> int:
    """Upstream's formula; both in MB."""
    return max(LEAST_SHARES, ALL_SHARES // max(1, user_memory // memory))
