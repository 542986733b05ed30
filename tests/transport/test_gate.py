"""The door for actions lets them to the API and nowhere else."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from transport.gate import ApiOnly, addresses, listen


async def answer(path: str) -> int:
    statuses: list[int] = []

    async def api(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    await ApiOnly(api)({"type": "http", "path": path}, None, send)
    return statuses[0]


@pytest.mark.parametrize("path", ["/", "/metrics", "/admin/status", "/ready", "/invokers", "/apiary", "/API/v1", "", "//api/v1"])
async def test_closed(path: str) -> None:
    """Metrics, administration and whatever else is not the API."""
    assert await answer(path) == 404


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/namespaces/_/actions"])
async def test_open(path: str) -> None:
    """The API."""
    assert await answer(path) == 200


def test_listening() -> None:
    """On the wanted port, on another if it is taken, not at all on an address of another machine."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = listen("127.0.0.1", port)
    assert other is not None
    assert other.getsockname()[1] not in (0, port)
    other.close()
    assert listen("192.0.2.77", 0) is None


def test_addresses() -> None:
    """Host and port of a URL, by name too; none for a name that nobody knows."""
    assert addresses("http://127.0.0.1:8080") == [("127.0.0.1", 8080)]
    assert addresses("https://127.0.0.1/x") == [("127.0.0.1", 443)]
    assert addresses("http://localhost") == [("127.0.0.1", 80)]
    assert addresses("http://name.invalid") == []
