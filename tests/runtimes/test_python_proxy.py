"""The Python runtime beyond the recording: its HTTP parser, its use by a forking template, its behaviour to odd actions."""

from __future__ import annotations

import ast
import base64
import importlib.util
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtimes.exchange import PATIENCE, ROOT, Process, encode, read_answer
from tests.runtimes.test_both import END, Inherited, packed_zip

SOURCES = ROOT / "runtimes/python"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"runtime_{name}", SOURCES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


HTTP = module("_ow_http")

BODIES = st.binary(max_size=300)
PATHS = st.sampled_from(["/run", "/init", "/", "/run?x=1", "/%72un"])
HEADERS = st.dictionaries(
    st.sampled_from(["Accept", "X-A", "User-Agent", "Content-Type"]), st.text("ab: ,;=/", max_size=30).map(str.strip)
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, tuple[bytes, bytes]]:
    """A request's bytes, with what a parser must make of it: path and body."""
    body, path = draw(BODIES), draw(PATHS)
    lines = [f"POST {path} HTTP/1.1", "Host: x", *(f"{name}:{value}" for name, value in draw(HEADERS).items())]
    if draw(st.booleans()):
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
        parts = [part for part in map(lambda a, b: body[a:b], [0, *cuts], [*cuts, len(body)]) if part]
        lines.append("transfer-encoding: chunked")
        extension = draw(st.sampled_from([b"", b";a=b"]))
        data = b"".join(b"%X%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
        data += b"0\r\n" + draw(st.sampled_from([b"", b"Trailer: x\r\n"])) + b"\r\n"
    else:
        lines.append(f"Content-length:  {len(body)} ")
        data = body
    decoded = "/run" if "un" in path else path
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data, (decoded.encode(), body)


def parsed(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    parser, found = HTTP.Parser(), []
    for piece in pieces:
        parser.feed(piece)
        while (request := parser.next()) is not None:
            found.append((request.path, request.body))
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=4), st.data())
def test_requests_do_not_depend_on_how_their_bytes_are_cut(wanted: list[Any], data: st.DataObject) -> None:
    """Any sequence of requests, cut anywhere, gives the same requests in order."""
    whole = b"".join(raw for raw, _ in wanted)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True) if b > a]
    assert parsed(pieces) == [meaning for _, meaning in wanted]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=400), requests().map(lambda it: it[0])), st.binary(max_size=60), st.integers(0, 400))
def test_any_bytes_are_requests_or_a_bad_request(start: bytes, garbage: bytes, at: int) -> None:
    """Nothing but BadRequest is ever raised, also where a good request has garbage in it."""
    try:
        parsed([start[:at], garbage, start[at:]])
    except HTTP.BadRequest as reason:
        assert str(reason).startswith("400 ")


def test_leave_to_send_is_given_once() -> None:
    """`Expect: 100-continue` is answered before the body has come, and not again with it."""
    parser = HTTP.Parser()
    parser.feed(b"POST /run HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    assert parser.next() is None
    assert parser.interim() == b"HTTP/1.1 100 Continue\r\n\r\n"
    parser.feed(b"{}")
    assert parser.next().body == b"{}"
    assert parser.interim() == b""


def test_runtime_uses_nothing_newer_than_python_3_8() -> None:
    """Every file compiles with the grammar of the oldest Python it promises."""
    for path in SOURCES.glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 8))


@pytest.fixture
def inherited(tmp_path: Path) -> Iterator[Inherited]:
    process = Inherited("python", tmp_path)
    yield process
    process.end()


TEMPLATE = """
import importlib.util, os, socket, sys
before = set(os.listdir('/proc/self/fd'))
spec = importlib.util.spec_from_file_location('rewhisk_proxy', sys.argv[1])
proxy = importlib.util.module_from_spec(spec); spec.loader.exec_module(proxy); proxy.preload()
assert set(os.listdir('/proc/self/fd')) == before, 'the import opened something'
pids = []
for number, directory in zip(sys.argv[2:4], sys.argv[4:6]):
    pid = os.fork()
    if not pid:
        os._exit(proxy.serve_connection(socket.socket(fileno=int(number)), directory))
    os.close(int(number))
    pids.append(pid)
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))
"""


def test_template_process_forks_independent_runtimes(tmp_path: Path) -> None:
    """Imported without side effects, forked twice, each child serves its own connection and ends with its status."""
    pairs = [socket.socketpair() for _ in range(2)]
    directories = [tmp_path / "a", tmp_path / "b"]
    for directory in directories:
        directory.mkdir()
    numbers = [str(theirs.fileno()) for _, theirs in pairs]
    command = [sys.executable, "-I", "-c", TEMPLATE, str(SOURCES / "proxy.py"), *numbers, *map(str, directories)]
    child = subprocess.Popen(command, pass_fds=[int(number) for number in numbers], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    archive = packed_zip([("__main__.py", "import proxy\ndef main(a): return {'n': proxy.N + a['n']}"), ("proxy.py", "N = 5")])
    codes = [(base64.b64encode(archive).decode(), True), ("import sys\ndef main(a): sys.exit(7)", False)]
    answers = []
    for (ours, theirs), (code, binary) in zip(pairs, codes, strict=True):
        theirs.close()
        ours.sendall(encode({"path": "/init", "body": {"value": {"code": code, "binary": binary}}}))
        assert read_answer(ours, "POST", PATIENCE)["status"] == 200
        ours.sendall(encode({"body": {"value": {"n": 1}}}))
        answers.append(read_answer(ours, "POST", PATIENCE))
        ours.close()
    out, err = child.communicate(timeout=PATIENCE)
    assert (answers[0]["status"], json.loads(answers[0]["body"])) == (200, {"n": 6})
    assert (answers[1]["status"], json.loads(answers[1]["body"])) == (400, {"error": "command exited"})
    assert (child.returncode, out, err) == (7, END * 2, END * 2)


ODD = {
    "stderr closed, then a failure": (
        "import sys\ndef main(a):\n    sys.stderr.close()\n    raise ValueError('x')",
        {"error": "x"},
    ),
    "streams set to None": ("import sys\ndef main(a):\n    sys.stdout = sys.stderr = None\n    return {'ok': 1}", {"ok": 1}),
    "a name like the runtime's": ("import json\njson.dumps = json.loads = None\ndef main(a): return {'ok': 1}", {"ok": 1}),
    "source that looks like an archive": ("PK = 1\ndef main(a): return {'ok': PK}", {"ok": 1}),
    "own excepthook": ("import sys\nsys.excepthook = None\ndef main(a): raise ValueError('x')", {"error": "x"}),
    "main__ can be imported": ("import main__\ndef main(a): return {'ok': main__.main is main}", {"ok": True}),
    "a signal handler": (
        "import signal\ndef main(a):\n    signal.signal(signal.SIGUSR1, lambda *_: a.update(ok=1))\n"
        "    signal.raise_signal(signal.SIGUSR1)\n    return a",
        {"ok": 1},
    ),
    "a child process": ("import os\ndef main(a):\n    return {'got': os.popen('echo hi').read()}", {"got": "hi\n"}),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_actions_get_their_answers(inherited: Inherited, name: str) -> None:
    """Whatever an action does to its own interpreter, two runs answer, and their sentinels come."""
    code, wanted = ODD[name]
    assert inherited.init(code)["status"] == 200
    assert [inherited.run({}), inherited.run({})] == [wanted, wanted]
    status, out, err = inherited.close()
    assert (status, out.count(END)) == (0, 2)
    assert err.count(END) == 2


def test_traceback_shows_the_users_lines_only(inherited: Inherited) -> None:
    """No frame of the runtime, and the text of the failing line."""
    assert inherited.init("def main(a):\n    return {}['missing']\n")["status"] == 200
    assert inherited.run({}) == {"error": "'missing'"}
    _, _, err = inherited.close()
    assert b"return {}['missing']" in err
    assert b"_ow_action" not in err


def test_second_initialization_can_follow_a_failed_one_with_files_of_the_same_name(inherited: Inherited) -> None:
    """Modules of the action that failed are forgotten."""
    first = packed_zip([("__main__.py", "import helper\nraise ValueError"), ("helper.py", "N = 1")])
    second = packed_zip([("__main__.py", "import helper\ndef main(a): return {'n': helper.N}"), ("helper.py", "N = 2")])
    assert inherited.init(base64.b64encode(first).decode(), binary=True)["status"] == 502
    assert inherited.init(base64.b64encode(second).decode(), binary=True)["status"] == 200
    assert inherited.run({}) == {"n": 2}


def test_virtualenv_of_the_standard_library_is_found(inherited: Inherited) -> None:
    """`python -m venv` writes no activate_this.py; its site-packages are used all the same."""
    code = packed_zip(
        [
            ("__main__.py", "import inside\ndef main(a): return {'n': inside.N}"),
            ("virtualenv/lib/python3.11/site-packages/inside.py", "N = 3"),
        ]
    )
    assert inherited.init(base64.b64encode(code).decode(), binary=True)["status"] == 200
    assert inherited.run({}) == {"n": 3}


BAD_INITS: list[tuple[dict[str, Any], int]] = [
    ({"code": "x", "main": "not a name"}, 502),
    ({"code": "x", "binary": "yes"}, 400),
    ({"code": "QUJ", "binary": True}, 400),
    ({"code": "QQ==QQ==", "binary": True}, 400),
    ({"code": "x", "env": {"a=b": "c"}}, 400),
    ({"code": "x", "env": {"": "c"}}, 400),
    ({"code": "x", "env": {"a": "b\0c"}}, 400),
    ({"code": "x\0y"}, 502),
    ({"code": "\ud800"}, 502),
    ({"code": "(" * 100_000}, 502),
    ({"code": "H4sIAAAA", "binary": True}, 502),
]


def test_bad_initializations_are_told_and_leave_it_usable(inherited: Inherited) -> None:
    """Each has its status and an error text; the next good one works."""
    for value, status in BAD_INITS:
        answer = inherited.ask({"path": "/init", "body": {"$raw": json.dumps({"value": value})}})
        assert answer["status"] == status, (value, answer)
        assert json.loads(answer["body"])["error"]
    assert inherited.init("def main(a): return a")["status"] == 200


def test_deep_arguments_are_refused(inherited: Inherited) -> None:
    """Nesting beyond what the parser can follow is an answer, not the end."""
    assert inherited.init("def main(a): return {}")["status"] == 200
    assert inherited.ask({"body": {"$raw": '{"value":' + "[" * 200_000}})["status"] == 400
    assert inherited.run({}) == {}


def test_others_are_answered_while_an_action_computes(tmp_path: Path) -> None:
    """A busy loop keeps neither refusals nor unknown paths from being answered, and keeps its own answer."""
    process = Process("python", tmp_path)
    try:
        with process.connect() as first:
            code = "import time\ndef main(a):\n    end = time.time() + 1\n    while time.time() < end: pass\n    return {'done': 1}"
            first.sendall(encode({"path": "/init", "body": {"value": {"code": code}}}))
            assert read_answer(first, "POST", PATIENCE)["status"] == 200
            first.sendall(encode({"body": {"value": {}}}))
            time.sleep(0.2)
            for path, status in (("/run", 403), ("/init", 403), ("/", 200)):
                with process.connect() as other:
                    other.sendall(encode({"path": path, "body": {"value": {}}}))
                    assert read_answer(other, "POST", PATIENCE)["status"] == status
            assert json.loads(read_answer(first, "POST", PATIENCE)["body"]) == {"done": 1}
    finally:
        process.end()


def test_files_stay_in_the_given_directory(inherited: Inherited, tmp_path: Path) -> None:
    """The action works in its own directory below, and nothing else is written."""
    assert inherited.init("import os\ndef main(a): return {'cwd': os.getcwd(), 'file': __file__}")["status"] == 200
    where = tmp_path / "1" / "bin"
    assert inherited.run({}) == {"cwd": str(where), "file": str(where / "main__.py")}
    assert [path.name for path in where.iterdir()] == ["main__.py"]
