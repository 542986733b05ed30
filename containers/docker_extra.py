"""Further arguments of `docker run` (upstream's `extra-args`) as parts of the engine's API. What is given replaces the default."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from containers.contract import ContainerError

Apply = Callable[[list[str]], dict[str, Any]]

_SIZE = re.compile(r"(\d+)([bkmg]?)b?", re.IGNORECASE)


class WrongArgument(ContainerError):
    """An argument that can't be passed on; the text names it."""


def add_extra(host: dict[str, Any], extra: tuple[tuple[str, str], ...]) -> None:
    """Change a container's configuration by arguments (name without dashes, value). Raises WrongArgument."""
    given: dict[str, list[str]] = {}
    for name, value in extra:
        given.setdefault(name, []).append(value)
    for name, values in given.items():
        apply = ARGUMENTS.get(name)
        if apply is None:
            raise WrongArgument(f"docker-extra-args: '{name}' is none that can be passed on; there are: {', '.join(ARGUMENTS)}.")
        try:
            host |= apply(values)
        except ValueError as error:
            raise WrongArgument(f"docker-extra-args: {name}={','.join(values)}: {error}.") from error


def _list(key: str) -> Apply:
    return lambda values: {key: values}


def _last(key: str, parse: Callable[[str], object] = str) -> Apply:
    return lambda values: {key: parse(values[-1])}


def _pairs(key: str) -> Apply:
    return lambda values: {key: dict(_pair(value, "=") for value in values)}


def _pair(value: str, between: str) -> tuple[str, str]:
    name, found, rest = value.partition(between)
    if not found or not name:
        raise ValueError(f"must have the form NAME{between}VALUE")
    return name, rest


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("must be a size such as 64m")
    return int(match[1]) << {"": 0, "b": 0, "k": 10, "m": 20, "g": 30}[match[2].lower()]


def _switch(text: str) -> bool:
    if text not in ("true", "false", ""):
        raise ValueError("must be true or false")
    return text != "false"


def _ulimits(values: list[str]) -> dict[str, Any]:
    found = []
    for value in values:
        name, limits = _pair(value, "=")
        soft, _, hard = limits.partition(":")
        found.append({"Name": name, "Soft": int(soft), "Hard": int(hard or soft)})
    return {"Ulimits": found}


def _devices(values: list[str]) -> dict[str, Any]:
    found = []
    for value in values:
        outside, inside, rights = (*value.split(":"), "", "")[:3]
        found.append({"PathOnHost": outside, "PathInContainer": inside or outside, "CgroupPermissions": rights or "rwm"})
    return {"Devices": found}


def _tmpfs(values: list[str]) -> dict[str, Any]:
    return {"Tmpfs": dict(value.partition(":")[::2] for value in values)}


def _log_options(values: list[str]) -> dict[str, Any]:
    raise ValueError("the node reads what actions print itself, no log driver does")


ARGUMENTS: dict[str, Apply] = {
    "add-host": _list("ExtraHosts"), "cap-add": _list("CapAdd"), "cap-drop": _list("CapDrop"),
    "cpu-shares": _last("CpuShares", int), "cpuset-cpus": _last("CpusetCpus"), "device": _devices,
    "dns": _list("Dns"), "dns-option": _list("DnsOptions"),
    "dns-search": _list("DnsSearch"), "group-add": _list("GroupAdd"), "ipc": _last("IpcMode"), "log-driver": _log_options,
    "log-opt": _log_options, "memory-swap": _last("MemorySwap", _bytes), "pids-limit": _last("PidsLimit", int),
    "read-only": _last("ReadonlyRootfs", _switch), "runtime": _last("Runtime"), "security-opt": _list("SecurityOpt"),
    "shm-size": _last("ShmSize", _bytes), "sysctl": _pairs("Sysctls"), "tmpfs": _tmpfs, "ulimit": _ulimits,
    "userns": _last("UsernsMode"), "volume": _list("Binds"),
}  # fmt: skip
"""Name → its part of the engine's HostConfig."""
