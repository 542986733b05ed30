"""A node whose manifest names OpenWhisk's own images, of which it may assume nothing but `/init` and `/run`.

The images are doubles that answer and print as the recorded runtimes do, where those differ from the project's own.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containers.docker_engine import connect
from containers.image_files import pack
from containers.images import RECIPES
from containers.make_images import main as make_images
from tests.containers.test_docker_pull import Registry
from tests.crash.node import Node, until

pytestmark = [pytest.mark.docker, pytest.mark.registry]

DOUBLES = Path(__file__).resolve().parents[1] / "doubles"
PYTHON, NODEJS = RECIPES
LIMIT_MS = 60_000


def build(client: Any, base: str, double: str, command: list[str], name: str) -> None:
    recipe = f"FROM {base}\nUSER 0:0\nWORKDIR /\nCOPY {double} /{double}\nENTRYPOINT []\nCMD {json.dumps(command)}\n"
    files = pack([("Dockerfile", recipe.encode(), 0o644), (double, (DOUBLES / double).read_bytes(), 0o644)])
    steps = list(client.build(fileobj=io.BytesIO(files), custom_context=True, tag=name, rm=True, forcerm=True, decode=True))
    assert not any("error" in step for step in steps), steps


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One image is there, the other only in a registry; stem cells of both are wanted at the start."""
    assert make_images([*RECIPES]) == 0
    directory = tmp_path_factory.mktemp("upstream")
    registry, (client, _) = Registry(directory), connect("", 60)
    remote = f"127.0.0.1:{registry.port}/openwhisk"
    images = {
        "nodejs": {"prefix": remote, "name": "action-nodejs-v20", "tag": "nightly"},
        "python": {"prefix": "openwhisk", "name": "action-python-v3.11", "tag": f"test-{secrets.token_hex(4)}"},
    }
    names = {kind: f"{each['prefix']}/{each['name']}:{each['tag']}" for kind, each in images.items()}
    cell = {"initialCount": 1, "memory": "256 MB"}
    manifest = {"runtimes": {
        kind.partition(":")[0]: [{"kind": kind, "default": True, "image": images[kind.partition(":")[0]], "stemCells": [cell]}]
        for kind in ("nodejs:20", "python:3.11")
    }}  # fmt: skip
    (directory / "runtimes.json").write_text(json.dumps(manifest))
    try:
        build(client, NODEJS, "nodejs.js", ["node", "/nodejs.js"], names["nodejs"])
        build(client, PYTHON, "python.py", ["python3", "/python.py"], names["python"])
        until(registry.answers, 30, "the registry does not answer")
        assert "errorDetail" not in client.push(f"{remote}/action-nodejs-v20", tag="nightly")
        client.remove_image(names["nodejs"], force=True)
        with Node(directory / "data", "--driver", "docker", "--runtimes", str(directory / "runtimes.json")) as node:
            node.wait_ready()
            yield node
            assert node.stop().code == 0, node.output
    finally:
        registry.stop()
        for name in names.values():
            client.remove_image(name, force=True)
        client.close()


def record(node: Node, **arguments: Any) -> dict[str, Any]:
    """Of one blocking invocation of `it`, with its logs as (stream, text)."""
    answer = node.api("POST", "actions/it?blocking=true", arguments)
    assert answer.status in (200, 502), answer
    path = f"activations/{answer.headers['x-openwhisk-activation-id']}"
    until(lambda: node.api("GET", path).status == 200, 30, path)
    found: dict[str, Any] = node.api("GET", path).body
    found["lines"] = [tuple(line[31:].split(": ", 1)) for line in found["logs"]]
    return found


def result(node: Node, **arguments: Any) -> tuple[int, Any]:
    """Status code and result."""
    response = record(node, **arguments)["response"]
    return {"success": 0, "application error": 1, "action developer error": 2}[response["status"]], response["result"]


NODE_CASES: list[tuple[str, str, list[tuple[dict[str, Any], int, Any]]]] = [
    ("array", "function main() { return [1, { x: 2 }] }", [({}, 0, [1, {"x": 2}])]),
    ("chunked", "function main(a) { return { __http: a.how, n: a.n } }",
     [({"how": how, "n": n}, 0, {"__http": how, "n": n}) for n, how in enumerate(("chunked", "plain", "close", "plain"))]),
    ("promise", "async function main(a) { if (a.ok) return { ok: true }; throw new Error('no') }",
     [({}, 1, {"error": {"name": "Error", "message": "no"}}), ({"ok": True}, 0, {"ok": True})]),
    ("thrown: the runtime refuses all after it", "function main(a) { if (a.ok) return { ok: true }; throw new RangeError('x') }",
     [({}, 2, {"error": "An error has occurred: RangeError: x"}), ({"ok": True}, 0, {"ok": True})]),
    ("no object", "function main(a) { return a.ok ? { ok: true } : 'text' }",
     [({}, 2, {"error": "The action did not return a dictionary."}), ({"ok": True}, 0, {"ok": True})]),
    ("null", "function main() { return null }",
     [({}, 2, {"error": "The action did not produce a valid JSON or JSON Array response: null"})]),
    ("exit", "function main(a) { if (a.ok) return { ok: true }; process.exit(3) }",
     [({}, 2, {"error": "The action did not produce a valid response and exited unexpectedly."}), ({"ok": True}, 0, {"ok": True})]),
]  # fmt: skip
PYTHON_CASES: list[tuple[str, str, list[tuple[dict[str, Any], int, Any]]]] = [
    ("array", "def main(a):\n    return [1, {'x': 2}]", [({}, 0, [1, {"x": 2}])]),
    ("thrown", "def main(a):\n    return {'ok': True} if a.get('ok') else [][1]",
     [({}, 1, {"error": "list index out of range"}), ({"ok": True}, 0, {"ok": True})]),
    ("exit: the proxy lives and is useless", "import os\ndef main(a):\n    return {'ok': True} if a.get('ok') else os._exit(3)",
     [({}, 2, {"error": "command exited"}), ({"ok": True}, 0, {"ok": True})]),
    ("context", "import os\ndef main(a):\n    return {'ok': os.environ['__OW_DEADLINE'].isdigit()}", [({}, 0, {"ok": True})]),
]  # fmt: skip
CASES = [("nodejs:20", *case) for case in NODE_CASES] + [("python:3.11", *case) for case in PYTHON_CASES]


def test_pulled_and_found(node: Node) -> None:
    """Cold or from a stem cell, the image that the registry alone had runs; it was pulled once."""
    node.put_action("it", "nodejs:20", "function main() { return { node: process.version } }")
    assert result(node)[1]["node"].startswith("v")
    assert node.output.count("pulling 127.0.0.1") == 1


def test_results(node: Node) -> None:
    """Each result is told as upstream's invoker tells it, and whatever a runtime refuses from then on hurts no later call."""
    for kind, name, code, calls in CASES:
        node.put_action("it", kind, code)
        for arguments, status, expected in calls:
            assert result(node, **arguments) == (status, expected), (kind, name)


def test_logs(node: Node) -> None:
    """What /init printed belongs to the first run; a sentinel inside of a line is none of the log."""
    code = "console.log('loading')\nfunction main(a) { console.error('run', a.n); process.stdout.write('cut'); return {} }"
    node.put_action("it", "nodejs:20", code)
    assert sorted(record(node, n=1)["lines"]) == [("stderr", "run 1"), ("stdout", "loading")]
    assert record(node, n=2)["lines"] == [("stderr", "run 2")]
    node.put_action("it", "python:3.11", "print('loading')\ndef main(a):\n    print('run', a['n'])\n    return {}")
    assert record(node, n=1)["lines"] == [("stdout", "loading"), ("stdout", "run 1")]
    assert record(node, n=2)["lines"] == [("stdout", "run 2")]


@pytest.mark.parametrize("kind", ["nodejs:20", "python:3.11"])
def test_one_at_a_time(node: Node, kind: str) -> None:
    """Runtimes answer a second run meanwhile with nonsense: with a concurrency of 1 none meets it."""
    code = {
        "nodejs:20": "const main = a => new Promise(done => setTimeout(() => done({ n: a.n }), 50))",
        "python:3.11": "import time\ndef main(a):\n    time.sleep(0.05)\n    return {'n': a['n']}",
    }
    node.put_action("it", kind, code[kind])
    ids = [node.api("POST", "actions/it", {"n": n}).body["activationId"] for n in range(12)]
    node.wait_quiet()
    assert [node.api("GET", f"activations/{each}").body["response"]["result"] for each in ids] == [{"n": n} for n in range(12)]


def test_limits(node: Node) -> None:
    """Time and memory limits, with a runtime that knows of neither; the next call has another container."""
    code = "function main(a) { const all = []; while (!a.ok) if (a.size) all.push(Buffer.alloc(a.size, 1)); return { ok: true } }"
    node.put_action("it", "nodejs:20", code, limits={"timeout": 1000, "memory": 128})
    assert result(node, size=0) == (2, {"error": "The action exceeded its time limits of 1000 milliseconds."})
    assert result(node, size=1 << 24)[1]["error"] in (
        "The action exhausted its memory and was aborted.", "The action exceeded its time limits of 1000 milliseconds.",
    )  # fmt: skip
    assert result(node, ok=True) == (0, {"ok": True})
