"""What holds for both runtimes beyond the recording: one inherited connection, rude bytes, large bodies, hostile archives."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import stat
import subprocess
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.runtimes.exchange import COMMANDS, PATIENCE, Process, encode, read_answer

END = b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n"
ECHO = {"python": "def main(a): return {'got': a}", "nodejs": "function main(a) { return {got: a} }"}
ENTRY = {
    "python": ("__main__.py", "def main(a): return {'got': open('data').read()}"),
    "nodejs": ("index.js", "exports.main = a => ({got: require('fs').readFileSync('data', 'utf8')})"),
}


class Inherited:
    """A runtime on one inherited connection."""

    def __init__(self, runtime: str, directory: Path) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(PATIENCE)
        command = [*COMMANDS[runtime], "--fd", str(theirs.fileno()), "--dir", str(directory)]
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, pass_fds=[theirs.fileno()], cwd=directory
        )
        theirs.close()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.sock.sendall(encode(request))
        return read_answer(self.sock, "POST", PATIENCE)

    def init(self, code: str, **more: Any) -> dict[str, Any]:
        value = {"name": "action", "main": "main", "binary": False, "code": code, "env": {}, **more}
        return self.ask({"path": "/init", "body": {"value": value}})

    def run(self, value: Any) -> Any:
        answer = self.ask({"body": {"value": value}})
        assert answer["status"] == 200, answer
        return json.loads(answer["body"])

    def close(self) -> tuple[int, bytes, bytes]:
        self.sock.close()
        out, err = self.child.communicate(timeout=PATIENCE)
        return self.child.returncode, out, err

    def end(self) -> None:
        self.sock.close()
        self.child.kill()
        self.child.communicate(timeout=PATIENCE)


@pytest.fixture(params=["python", "nodejs"])
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def inherited(runtime: str, tmp_path: Path) -> Iterator[Inherited]:
    process = Inherited(runtime, tmp_path)
    yield process
    process.end()


@pytest.fixture
def listening(runtime: str, tmp_path: Path) -> Iterator[Process]:
    process = Process(runtime, tmp_path)
    yield process
    process.end()


def test_inherited_connection_carries_all_and_ends_the_runtime(inherited: Inherited, runtime: str) -> None:
    """Nothing listens; the runtime ends with status 0 when its connection closes, and both logs are complete."""
    assert inherited.init(ECHO[runtime])["status"] == 200
    for number in range(20):
        assert inherited.run({"n": number}) == {"got": {"n": number}}
    assert inherited.close() == (0, END * 20, END * 20)


def test_requests_may_come_in_any_pieces(inherited: Inherited, runtime: str) -> None:
    """Byte by byte, or several in one piece: each request gets its answer, in order."""
    assert inherited.init(ECHO[runtime])["status"] == 200
    for byte in encode({"body": {"value": {"n": "ä"}}}):
        inherited.sock.sendall(bytes([byte]))
    assert json.loads(read_answer(inherited.sock, "POST", PATIENCE)["body"]) == {"got": {"n": "ä"}}
    inherited.sock.sendall(b"".join(encode({"body": {"value": {"n": n}}, "chunked": n % 2 == 0}) for n in range(10)))
    got = b""
    while got.count(b'"got"') < 10:
        got += inherited.sock.recv(1 << 16)
    assert [json.loads(part.split(b"}}")[0] + b"}}")["got"]["n"] for part in got.split(b"\r\n\r\n")[1:]] == list(range(10))


def test_user_code_hits_neither_connection_nor_logs_by_closing_descriptors(inherited: Inherited, runtime: str) -> None:
    """A forged answer on descriptors 3 to 30 changes nothing."""
    codes = {
        "python": "import os\ndef main(a):\n    for n in range(3, 30):\n        try: os.write(n, b'HTTP/1.1 200 OK')\n"
        "        except OSError: pass\n    os.closerange(3, 256)\n    return {'n': a['n']}",
        "nodejs": "function main(a) { return {n: a.n} }",
    }
    assert inherited.init(codes[runtime])["status"] == 200
    assert [inherited.run({"n": n}) for n in range(3)] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_bodies_up_to_the_limit(inherited: Inherited, runtime: str) -> None:
    """48 MB of arguments arrive, and 8 MB of result leave, in one piece."""
    codes = {
        "python": "def main(a): return {'n': len(a['s']), 's': a['s'][:8 << 20]}",
        "nodejs": "function main(a) { return {n: a.s.length, s: a.s.slice(0, 8 << 20)} }",
    }
    assert inherited.init(codes[runtime])["status"] == 200
    size = (48 << 20) - 100
    got = inherited.run({"s": "x" * size})
    assert (got["n"], len(got["s"])) == (size, 8 << 20)


RUDE = {
    "oversized head": b"POST /run HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000,
    "no end of lines": b"x" * 200_000,
    "binary": bytes(range(128, 256)) * 10 + b"\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "negative length": b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "bad chunk": b"POST /run HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "unknown coding": b"POST /run HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    "no colon": b"POST /run HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
}


def test_garbage_is_answered_and_harms_nobody_else(listening: Process, runtime: str) -> None:
    """Each ends its own connection, with a 4xx or without an answer; the next client is served."""
    for name, data in RUDE.items():
        with listening.connect() as sock:
            try:
                sock.sendall(data)
                answer = read_answer(sock, "POST", PATIENCE)
            except OSError:
                continue
        assert answer["status"] is None or 400 <= answer["status"] < 500, (name, answer)
    with ExitStack() as stack:
        for _ in range(30):  # idle ones, and ones that stop in the middle
            stack.enter_context(listening.connect()).sendall(b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        with listening.connect() as sock:
            sock.sendall(encode({"path": "/init", "body": {"value": {"main": "main", "code": ECHO[runtime]}}}))
            assert read_answer(sock, "POST", PATIENCE)["status"] == 200
    assert listening.child.poll() is None


def test_clients_that_hang_up_cost_nothing(listening: Process, runtime: str) -> None:
    """A run whose client has gone is finished and logged; the next one gets its own answer."""
    with listening.connect() as sock:
        sock.sendall(encode({"path": "/init", "body": {"value": {"main": "main", "code": ECHO[runtime]}}}))
        assert read_answer(sock, "POST", PATIENCE)["status"] == 200
    for number in range(20):
        with listening.connect() as sock:
            sock.sendall(encode({"body": {"value": {"n": number, "s": "x" * 100_000}}}))
    answer: dict[str, Any] = {}
    deadline = time.monotonic() + PATIENCE
    while answer.get("status") != 200 and time.monotonic() < deadline:
        with listening.connect() as sock:
            sock.sendall(encode({"body": {"value": {"n": "last"}}}))
            answer = read_answer(sock, "POST", PATIENCE)
    assert json.loads(answer["body"]) == {"got": {"n": "last"}}


Entry = tuple[str, Any]


def packed_zip(entries: list[Entry]) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # a name that comes twice is meant
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            link = isinstance(content, Path)
            info.external_attr = (stat.S_IFLNK | 0o777 if link else stat.S_IFREG | 0o755) << 16
            archive.writestr(info, str(content))
    return out.getvalue()


def packed_tar(entries: list[Entry], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form) as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if isinstance(content, Path):
                info.type, info.linkname = tarfile.SYMTYPE, str(content)
                archive.addfile(info)
            else:
                info.size, info.mode = len(content.encode()), 0o755
                archive.addfile(info, io.BytesIO(content.encode()))
    return out.getvalue()


HOSTILE: dict[str, list[Entry]] = {
    "dots": [("../evil", "x")],
    "dots inside": [("a/../../evil", "x")],
    "absolute": [("/tmp/rewhisk-evil", "x")],
    "backslashes": [("..\\evil", "x")],
    "link to the outside": [("out", Path("/etc"))],
    "link upwards": [("out", Path("../../.."))],
    "write through a link": [("out", Path("..")), ("out/evil", "x")],
    "two links": [("a", Path("b/..")), ("b", Path("../..")), ("a/evil", "x")],
    "overwrite a link": [("data2", Path("../evil")), ("data2", "x")],
}


@pytest.mark.parametrize("pack", [packed_zip, packed_tar])
def test_hostile_archives_are_refused(runtime: str, tmp_path: Path, pack: Callable[[list[Entry]], bytes]) -> None:
    """Nothing is written outside, the error says what is wrong, and nothing that the archive brings is run."""
    processes = []
    try:
        for number, entries in enumerate(HOSTILE.values()):
            directory = tmp_path / str(number) / "in"
            directory.mkdir(parents=True)
            processes.append(Inherited(runtime, directory))
            code = pack([ENTRY[runtime], ("data", "x"), *entries])
            value = {"main": "main", "binary": True, "code": base64.b64encode(code).decode()}
            processes[-1].sock.sendall(encode({"path": "/init", "body": {"value": value}}))
        for name, process in zip(HOSTILE, processes, strict=True):
            assert read_answer(process.sock, "POST", PATIENCE)["status"] == 502, name
            _, out, err = process.close()
            assert out == END, name
            assert err.endswith(END), name
            assert b"archive" in err, name
            assert b"outside" in err, (name, err)
    finally:
        for process in processes:
            process.end()
    assert not [found for found in tmp_path.rglob("*evil*") if found.name == "evil"]
    assert not Path("/tmp/rewhisk-evil").exists()


GOOD: list[Entry] = [
    ("lib/deep/" + "n" * 120, "long name"),
    ("lib/" + "d" * 90 + "/" + "e" * 90, "long path"),
    ("unicode ☃", "ä"),
    ("data", Path("lib/data")),
    ("lib/data", "through a link"),
]


@pytest.mark.parametrize(
    "pack",
    [packed_zip, packed_tar, lambda entries: packed_tar(entries, tarfile.GNU_FORMAT)],
    ids=["zip", "tar-pax", "tar-gnu"],
)
def test_archives_keep_names_links_and_modes(inherited: Inherited, runtime: str, pack: Callable[..., bytes]) -> None:
    """Long and foreign names, links within the archive, and the right to execute survive."""
    code = pack([*GOOD, ENTRY[runtime]])
    assert inherited.init(base64.b64encode(code).decode(), binary=True)["status"] == 200
    assert inherited.run({}) == {"got": "through a link"}
    cwd = Path(f"/proc/{inherited.child.pid}/cwd").readlink()
    for name, content in GOOD:
        if not isinstance(content, Path):
            assert (cwd / name).read_text() == content
            assert os.access(cwd / name, os.X_OK) and (cwd / name).stat().st_mode & 0o111


@pytest.mark.parametrize("pack", [packed_zip, packed_tar])
def test_every_damaged_archive_is_an_error_of_the_initialization(
    runtime: str, tmp_path: Path, pack: Callable[[list[Entry]], bytes]
) -> None:
    """Cut anywhere, or with a byte changed in its directory, it answers 502 or (if nothing that matters broke) works."""
    whole = pack([ENTRY[runtime], ("data", "x" * 3000)])
    cases = [whole[:cut] for cut in (5, 40, len(whole) // 2, len(whole) - 30)]
    cases += [whole[: len(whole) - back] + b"\xff" + whole[len(whole) - back + 1 :] for back in (12, 30)]
    processes = []
    try:
        for number, case in enumerate(cases):
            (directory := tmp_path / str(number)).mkdir()
            processes.append(Inherited(runtime, directory))
            value = {"main": "main", "binary": True, "code": base64.b64encode(case).decode()}
            processes[-1].sock.sendall(encode({"path": "/init", "body": {"value": value}}))
        statuses = [read_answer(process.sock, "POST", PATIENCE)["status"] for process in processes]
    finally:
        for process in processes:
            process.end()
    assert set(statuses) <= {200, 502}
    assert statuses[:3] == [502, 502, 502]


@pytest.mark.parametrize(
    "arguments", [["--port", "x"], ["--nonsense", "1"], ["--unix"], ["--unix", "/nowhere/at/all"], ["--fd", "77"]]
)
def test_wrong_usage_is_told(runtime: str, arguments: list[str], tmp_path: Path) -> None:
    """A line that says what is wrong, a status that isn't 0, no traceback."""
    done = subprocess.run([*COMMANDS[runtime], *arguments], capture_output=True, timeout=PATIENCE, cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_listens_on_tcp(runtime: str, tmp_path: Path) -> None:
    """`--port` on `--host`, as in a container; the port can come from the environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "__OW_PORT": str(port)}
    command = [*COMMANDS[runtime], "--host", "127.0.0.1", "--dir", str(tmp_path)]
    child = subprocess.Popen(command, env=environment, cwd=tmp_path)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        with sock:
            sock.sendall(encode({"path": "/init", "body": {"value": {"main": "main", "code": ECHO[runtime]}}}))
            assert read_answer(sock, "POST", PATIENCE)["status"] == 200
    finally:
        child.kill()
        child.wait(PATIENCE)
