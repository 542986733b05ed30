"""Further arguments of `docker run`, and what else of a container's configuration is computed: pure."""

from __future__ import annotations

from typing import Any

import pytest

from containers.contract import ContainerSpec
from containers.docker_config import DockerOptions, container_config
from containers.docker_extra import ARGUMENTS, WrongArgument, add_extra
from containers.docker_network import Place

TOLD = [
    ((("ulimit", "nofile=512:1024"), ("ulimit", "core=0")),
     {"Ulimits": [{"Name": "nofile", "Soft": 512, "Hard": 1024}, {"Name": "core", "Soft": 0, "Hard": 0}]}),
    ((("cap-add", "NET_BIND_SERVICE"), ("cap-add", "KILL")), {"CapAdd": ["NET_BIND_SERVICE", "KILL"]}),
    ((("pids-limit", "64"), ("pids-limit", "99")), {"PidsLimit": 99}),
    ((("read-only", ""), ("tmpfs", "/tmp:size=8m")), {"ReadonlyRootfs": True, "Tmpfs": {"/tmp": "size=8m"}}),
    ((("sysctl", "net.core.somaxconn=10"),), {"Sysctls": {"net.core.somaxconn": "10"}}),
    ((("device", "/dev/null:/dev/x:r"), ("runtime", "runsc")),
     {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}], "Runtime": "runsc"}),
    ((("shm-size", "64m"), ("memory-swap", "1GB")), {"ShmSize": 64 << 20, "MemorySwap": 1 << 30}),
]  # fmt: skip


@pytest.mark.parametrize(("extra", "host"), TOLD)
def test_arguments_become_the_engines(extra: tuple[tuple[str, str], ...], host: dict[str, Any]) -> None:
    found: dict[str, Any] = {}
    add_extra(found, extra)
    assert found == host


@pytest.mark.parametrize("extra", [
    ("privileged", "true"), ("ulimit", "nofile"), ("ulimit", "nofile=many"), ("pids-limit", "x"), ("shm-size", "big"),
    ("sysctl", "x"), ("read-only", "perhaps"), ("log-driver", "json-file"),
])  # fmt: skip
def test_what_can_not_be_passed_on_is_named(extra: tuple[str, str]) -> None:
    """Unknown ones with those that there are, wrong values with the reason."""
    with pytest.raises(WrongArgument, match=extra[0]):
        add_extra({}, (extra,))
    assert extra[0] not in ARGUMENTS or extra[0] != "privileged"


def config(options: DockerOptions, memory: int = 256) -> dict[str, Any]:
    spec = ContainerSpec(kind="python:3", memory=memory, name="x")
    return dict(container_config(options, {}, spec, "image", Place({}, {}))["HostConfig"])


def test_arguments_replace_defaults() -> None:
    """As upstream: a flag that is given does away with its default values."""
    host = config(DockerOptions(extra=(("cap-drop", "NET_RAW"), ("ulimit", "core=0"))))
    assert host["CapDrop"] == ["NET_RAW"]
    assert [each["Name"] for each in host["Ulimits"]] == ["core"]


@pytest.mark.parametrize(("cpus", "memory", "nano"), [(0.0, 256, None), (2.0, 256, 250_000_000), (0.01, 128, 10_000_000)])
def test_processors_by_memory(cpus: float, memory: int, nano: int | None) -> None:
    """Upstream's formula; without a limit the engine isn't told any."""
    assert config(DockerOptions(cpus=cpus, user_memory=2048), memory).get("NanoCpus") == nano
