"""The serverless framework with its OpenWhisk plugin (clients.md 1): deploy, invoke, logs, remove."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import MODULES, Wsk
from tests.support.waiting import until

pytestmark = pytest.mark.clients

SERVICE = f"""service: sls
configValidationMode: off
provider: {{name: openwhisk, runtime: 'nodejs:default'}}
functions:
  hello:
    handler: handler.hello
    events: [{{trigger: slst}}]
plugins: [{MODULES}/serverless-openwhisk]
"""
HANDLER = "exports.hello = given => { console.log('seen'); return { hi: given.name || 'you' } }\n"


def test_a_service_is_deployed_invoked_and_removed(surroundings: dict[str, str], wsk: Wsk, tmp_path: Path) -> None:
    (tmp_path / "serverless.yml").write_text(SERVICE)
    (tmp_path / "handler.js").write_text(HANDLER)

    def serverless(*arguments: str) -> str:
        command = ["node", str(MODULES / ".bin" / "serverless"), *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=120, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    shown = serverless("deploy")
    assert "sls-dev-hello" in shown
    assert "slst" in shown
    assert wsk("GET", "/namespaces/_/rules/sls_slst_to_hello")[1]["status"] == "active"
    assert '"hi": "Bo"' in serverless("invoke", "-f", "hello", "-d", '{"name": "Bo"}')
    until(lambda: wsk("GET", "/namespaces/_/activations?limit=1&skip=0&name=sls-dev-hello")[1])
    assert "seen" in serverless("logs", "-f", "hello")
    serverless("remove")
    for path in ("actions/sls-dev-hello", "triggers/slst", "rules/sls_slst_to_hello"):
        assert wsk("GET", f"/namespaces/_/{path}")[0] == 404
