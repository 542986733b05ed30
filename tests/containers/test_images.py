"""The project's own images: made once, found by what is in them, refused with a reason; and `make runtimes`."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from containers import image_packages
from containers.contract import ContainerSpec, KindUnavailable
from containers.docker import DockerDriver
from containers.docker_config import DockerOptions
from containers.docker_engine import Engine
from containers.images import PAUSE, RECIPES, RUNTIMES, Images
from containers.make_images import main
from tests.contract.container_suite import LIMIT, body

pytestmark = pytest.mark.docker

PYTHON, NODE = RECIPES


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine()
    await engine.connect()
    yield engine
    await engine.close()


async def test_made_once(engine: Engine) -> None:
    """However many ask, and whoever asks again: one reference, nothing made anew, the plain name leads to it."""
    said: list[str] = []
    first = await Images(engine, said.append).own(PYTHON)
    said.clear()
    images = Images(engine, said.append)
    assert set(await asyncio.gather(*(images.own(PYTHON) for _ in range(5)))) == {first}
    assert said == []
    same = [await engine.call(lambda client, name=name: client.inspect_image(name)["Id"]) for name in (first, PYTHON)]
    assert same[0] == same[1]


async def test_what_is_in_them_is_in_their_name(engine: Engine, tmp_path: Path) -> None:
    """A changed runtime is another image; only its own layer is made anew."""
    said: list[str] = []
    images = Images(engine, said.append)
    before = await images.own(PYTHON)
    await images._base(PYTHON, RECIPES[PYTHON])  # an engine may have the image of a time when its base was another
    said.clear()
    shutil.copytree(RUNTIMES, tmp_path / "runtimes")
    proxy = tmp_path / "runtimes" / "python" / "proxy.py"
    proxy.write_text(f"{proxy.read_text()}# {secrets.token_hex(4)}\n")
    after = await Images(engine, said.append, runtimes=tmp_path / "runtimes").own(PYTHON)
    try:
        assert after != before
        assert not any("downloading" in text for text in said)
    finally:
        await engine.call(lambda client: client.remove_image(after, force=True))
        await Images(engine).own(PYTHON)


async def test_no_way_to_make_one(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No registry, no packages, no recipe: each with what can be done. A failure is tried again."""
    shutil.copytree(RUNTIMES, tmp_path / "runtimes")
    (tmp_path / "runtimes" / "python" / "new.py").write_text(f"# {secrets.token_hex(4)}\n")
    images = Images(engine, runtimes=tmp_path / "runtimes", source="registry")
    monkeypatch.setitem(RECIPES, PYTHON, RECIPES[PYTHON].__class__("python", "127.0.0.1:1/none:1", image_packages.python_tree))
    for _ in range(2):
        with pytest.raises(KindUnavailable, match=r"can't be made.*registry"):
            await images.own(PYTHON)
    with pytest.raises(KindUnavailable, match="no recipe"):
        await images.own("rewhisk/cobol:74")

    def fail(root: Path, say: object) -> str:
        raise image_packages.CannotBuild("apt-get: no lists")

    monkeypatch.setitem(RECIPES, PYTHON, RECIPES[PYTHON].__class__("none", "127.0.0.1:1/none:1", fail))
    (tmp_path / "runtimes" / "none").mkdir()
    (tmp_path / "runtimes" / "none" / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(KindUnavailable, match="apt-get: no lists"):
        await Images(engine, runtimes=tmp_path / "runtimes", source="packages").own(PYTHON)


@pytest.mark.parametrize(("kind", "code", "needle"), [
    ("python:3", "import sys, ssl, sqlite3, ctypes, zoneinfo\ndef main(args):\n    return {'version': sys.version}", "3."),
    ("nodejs:20", "function main() { require('https'); return { version: process.version } }", "v"),
])  # fmt: skip
async def test_they_hold_a_whole_language(kind: str, code: str, needle: str) -> None:
    """Modules with libraries of their own load; a shell and the authorities' certificates are there."""
    driver = DockerDriver(secrets.token_hex(4), "invoker0", DockerOptions(network="none"))
    await driver.open()
    try:
        import json

        container = await driver.create(ContainerSpec(kind=kind, memory=128, name="x"), lambda *_: None, lambda: None)
        value = {"name": "x", "main": "main", "binary": False, "code": code, "env": {}}
        body(await container.init(json.dumps({"value": value}).encode(), 20, LIMIT))
        assert body(await container.run(b'{"value": {}}', 20, LIMIT))["version"].startswith(needle)
        command = ["sh", "-c", "ls /etc/ssl/certs/ca-certificates.crt && id -u"]

        def inside(client: object) -> bytes:
            made = client.exec_create(container.id, command)  # type: ignore[attr-defined]
            return bytes(client.exec_start(made["Id"]))  # type: ignore[attr-defined]

        assert b"65532" in await driver.engine.call(inside)
    finally:
        await driver.close()


def test_make_runtimes(capsys: pytest.CaptureFixture[str]) -> None:
    """Says what is there with its version; wrong names and silent engines have exit codes of their own."""
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in (PAUSE, *RECIPES))
    assert main(["rewhisk/cobol:74"]) == 1
    assert "no recipe" in capsys.readouterr().err
    assert main(["--docker-host", "unix:///nonexistent/engine"]) == 3
