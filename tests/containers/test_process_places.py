"""Where a checkout may lie: also below a directory that containers have anew."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from pathlib import Path

import pytest

from containers.contract import Answer, ContainerSpec
from containers.process import RUNTIMES, ProcessDriver

ENTRY = {
    "python:3": "def main(args):\n    import csv\n    return {'ok': True}\n",
    "nodejs:20": "function main() { return { ok: true } }",
}


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm"])
@pytest.mark.parametrize("kind", [pytest.param("nodejs:20", marks=pytest.mark.nodejs), "python:3"])
async def test_checkout_below_a_private_directory(kind: str, place: str) -> None:
    """Its runtimes are seen in containers, whose own directory there stays empty but for them."""
    checkout = Path(tempfile.mkdtemp(dir=place))
    driver = ProcessDriver(secrets.token_hex(4), "invoker0", runtimes=checkout / "runtimes")
    try:
        shutil.copytree(RUNTIMES, checkout / "runtimes")
        checkout.chmod(0o755)
        (checkout / "secret").write_text("of the machine")
        await driver.open()
        container = await driver.create(ContainerSpec(kind=kind, memory=256, name="t"), lambda *_: None, lambda: None)
        value = {"name": "a", "main": "main", "binary": False, "code": ENTRY[kind], "env": {}}
        assert isinstance(await container.init(json.dumps({"value": value}).encode(), 20, 1 << 20), Answer)
        answer = await container.run(b'{"value":{}}', 20, 1 << 20)
        assert isinstance(answer, Answer)
        assert json.loads(answer.body) == {"ok": True}
    finally:
        await driver.close()
        shutil.rmtree(checkout)
