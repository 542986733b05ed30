"""Plays one recorded case against one of our runtimes: a process, its two streams, and a client that is as rude as the case."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "python": [sys.executable, "-I", str(ROOT / "runtimes/python/proxy.py")],
    "nodejs": ["node", str(ROOT / "runtimes/nodejs/proxy.js")],
}
IMAGE_ENV = {
    # what upstream's Python image and proxy set themselves, so that cases which list the environment compare
    "python": {
        "__OW_EXECUTION_ENV": "openwhisk/action-python-v3.11",
        "__OW_PROXY_VERSION": "1.17.1",
        "__OW_WAIT_FOR_ACK": "1",
    },
    "nodejs": {},
}
PATIENCE = 20.0
"""Seconds within which anything that must come comes, on a machine under load."""
NO_ANSWER = 1.2
"""Seconds after which an answer that must not come counts as not coming; the recording waited up to 6."""


class Process:
    """A running runtime; `take` gives what came on its streams since the last time."""

    def __init__(self, runtime: str, directory: Path, env: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.path = str(directory / "s")
        plain = {"PATH": os.environ["PATH"], "LANG": "C", **IMAGE_ENV[runtime], **(env or {})}
        command = [*COMMANDS[runtime], "--unix", self.path, "--dir", str(directory)]
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=plain, cwd=directory, start_new_session=True
        )
        self._got = {"stdout": bytearray(), "stderr": bytearray()}
        self._lock = threading.Lock()
        streams = (("stdout", self.child.stdout), ("stderr", self.child.stderr))
        self._readers = [threading.Thread(target=self._read, args=it, daemon=True) for it in streams]
        for reader in self._readers:
            reader.start()
        self._await_listening()

    def _await_listening(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.child.poll() is None:
            with suppress(OSError):
                self.connect().close()
                return
            time.sleep(0.01)
        raise AssertionError(f"the runtime does not listen: {self.take()}")

    def _read(self, name: str, stream: Any) -> None:
        while data := os.read(stream.fileno(), 1 << 16):
            with self._lock:
                self._got[name] += data

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(PATIENCE)
            sock.connect(self.path)
        except OSError:
            sock.close()
            raise
        return sock

    def peek(self) -> dict[str, bytes]:
        with self._lock:
            return {name: bytes(data) for name, data in self._got.items()}

    def take(self) -> dict[str, bytes]:
        with self._lock:
            got = {name: bytes(data) for name, data in self._got.items()}
            for data in self._got.values():
                data.clear()
        return got

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        for stream in (self.child.stdout, self.child.stderr):
            stream.close()


def expand(value: Any) -> Any:
    """`<repeat:x:N>` written out, everywhere in a JSON value."""
    if isinstance(value, str):
        return re.sub(r"<repeat:(.*?):(\d+)>", lambda m: m[1] * int(m[2]), value, flags=re.DOTALL)
    if isinstance(value, list):
        return [expand(item) for item in value]
    if isinstance(value, dict):
        return {key: expand(item) for key, item in value.items()}
    return value


def archive(files: dict[str, str], kind: str, cut: int | None) -> str:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as packed:
            for name, text in files.items():
                packed.writestr(name, text)
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                tar.addfile(entry, io.BytesIO(text.encode()))
    return base64.b64encode(out.getvalue()[:cut]).decode()


def init_request(given: dict[str, Any], overlay: dict[str, Any], directory: Path) -> dict[str, Any]:
    code = given.get("code", "").replace("/tmp/f", str(directory / "f"))
    if "files" in given:
        code = archive(given["files"], given.get("archive", "zip"), given.get("cut"))
    value: dict[str, Any] = {"name": "action", "main": "main", "binary": "files" in given, "code": code, "env": {}}
    request: dict[str, Any] = {"path": "/init", "body": {"value": value}}
    for key, item in overlay.items():
        if key == "$request" or key == "$with":
            request |= item
        elif item == {"$absent": True}:
            value.pop(key)
        else:
            value[key] = item
    return request


def encode(request: dict[str, Any]) -> bytes:
    """The bytes of a request as the recording's reader describes them."""
    if "bytes" in request:
        return request["bytes"].encode()
    body = expand(request.get("body"))
    if isinstance(body, dict) and "$raw" in body:
        data = body["$raw"].encode("utf-8", "surrogatepass")
    else:
        data = b"" if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    headers: dict[str, str | None] = {"Host": "localhost", "Content-Type": "application/json" if body is not None else None}
    if request.get("gzip"):
        data = gzip.compress(data)
        headers["Content-Encoding"] = "gzip"
    if request.get("chunked"):
        headers["Transfer-Encoding"] = "chunked"
        middle = len(data) // 2
        data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (data[:middle], data[middle:], b""))
    elif body is not None:
        headers["Content-Length"] = str(len(data))
    headers |= request.get("headers") or {}
    lines = [f"{request.get('method', 'POST')} {request.get('path', '/run')} HTTP/{request.get('http', '1.1')}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


def read_answer(sock: socket.socket, method: str, limit: float) -> dict[str, Any]:
    """One answer, or why there is none."""
    got, interim, deadline = b"", b"", time.monotonic() + limit
    try:
        while True:
            head, end, rest = got.partition(b"\r\n\r\n")
            if end and head.startswith(b"HTTP/1.1 100"):
                got, interim = rest, head + end
                continue
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            if b"\nTransfer-Encoding" in head and rest.endswith(b"0\r\n\r\n"):
                rest = b""
                break
            if end and (method == "HEAD" or (length and len(rest) >= int(length[1]))):
                break
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            if not (data := sock.recv(1 << 20)):
                if end:
                    break
                return {"status": None, "error": "closed without an answer"}
            got += data
    except TimeoutError:
        return {"status": None, "error": "no answer"}
    except OSError:
        return {"status": None, "error": "closed without an answer"}
    answer = {"status": int(head.split(b" ")[1]), "body": rest.decode("utf-8", "surrogatepass"), "head": head}
    return answer | ({"interim": interim.decode()} if interim else {})


class Player:
    """Performs the steps of one case."""

    def __init__(self, process: Process, given: dict[str, Any]) -> None:
        self.process = process
        self.given = given

    def init(self) -> dict[str, Any]:
        return self.ask(init_request(self.given, self.given.get("init") or {}, self.process.directory))

    def step(self, step: dict[str, Any]) -> dict[str, Any]:
        """What the step's answer is, in the recording's form."""
        for name in ("parallel", "same_connection", "pipelined", "background", "join", "docker", "signal", "stop"):
            if name in step:
                return getattr(self, f"_{name}")(step)
        if "wait_ms" in step and not step.keys() - {"wait_ms"}:
            time.sleep(step["wait_ms"] / 1000)
            return {"waited_ms": step["wait_ms"]}
        return self.ask(step)

    def ask(self, request: dict[str, Any], sock: socket.socket | None = None) -> dict[str, Any]:
        """Send one request, on its own connection if none is given."""
        request = self._built(request)
        method = request.get("method", "POST")
        try:
            own = sock or self.process.connect()
        except OSError:
            return {"status": None, "error": "connection refused"}
        try:
            with suppress(OSError):  # it may close or answer before it has read all
                own.sendall(encode(request))
            if "hang_up_ms" in request:
                time.sleep(request["hang_up_ms"] / 1000)
                return {"status": None, "error": f"client hung up after {request['hang_up_ms']} ms"}
            patience = min(NO_ANSWER, request["timeout_ms"] / 1000) if "timeout_ms" in request else PATIENCE
            return read_answer(own, method, patience)
        finally:
            if sock is None:
                own.close()

    def _built(self, request: dict[str, Any]) -> dict[str, Any]:
        if "$init" not in request:
            return request
        built = init_request(self.given, request["$init"], self.process.directory)
        return built | {key: value for key, value in request.items() if key != "$init"}

    def _parallel(self, step: dict[str, Any]) -> dict[str, Any]:
        with ExitStack() as stack:
            waiting = []
            for number, request in enumerate(step["parallel"]):
                data, sock = encode(self._built(request)), stack.enter_context(self.process.connect())
                time.sleep(step.get("stagger_ms", 0) / 1000 if number else 0)
                sock.sendall(data)
                waiting.append(sock)
            return {"answers": [read_answer(sock, "POST", PATIENCE) for sock in waiting]}

    def _same_connection(self, step: dict[str, Any]) -> dict[str, Any]:
        answers = []
        with self.process.connect() as sock:
            for request in step["same_connection"]:
                time.sleep(request.get("wait_ms", 0) / 1000)
                answers.append(self.ask(request, sock))
        return {"answers": answers}

    def _pipelined(self, step: dict[str, Any]) -> dict[str, Any]:
        with self.process.connect() as sock:
            sock.sendall(b"".join(encode(request) for request in step["pipelined"]))
            data, answers = b"", []
            while len(answers) < len(step["pipelined"]):
                data += sock.recv(1 << 16)
                while whole := re.match(rb"HTTP/1.1 (\d+).*?\r\n\r\n", data, re.DOTALL):
                    length = int(re.search(rb"(?i)content-length: *(\d+)", whole[0])[1])  # type: ignore[index]
                    body = data[whole.end() : whole.end() + length]
                    if len(body) < length:
                        break
                    answers.append({"status": int(whole[1]), "body": body.decode()})
                    data = data[whole.end() + length :]
        return {"answers": answers}

    def _background(self, step: dict[str, Any]) -> dict[str, Any]:
        answers: list[dict[str, Any]] = []
        thread = threading.Thread(target=lambda: answers.append(self.ask(step["background"])))
        thread.start()
        self._running = (thread, answers)
        time.sleep(step["then_wait_ms"] / 1000)
        return {"background": "started"}

    def _join(self, _step: dict[str, Any]) -> dict[str, Any]:
        thread, answers = self._running
        thread.join()
        return {"background": answers[0]}

    def _docker(self, step: dict[str, Any]) -> dict[str, Any]:
        what = {"pause": signal.SIGSTOP, "unpause": signal.SIGCONT}[step["docker"]]
        os.killpg(self.process.child.pid, what)
        return dict(step)

    def _signal(self, step: dict[str, Any]) -> dict[str, Any]:
        self.process.child.send_signal(getattr(signal, step["signal"]))
        try:
            self.process.child.wait(step["limit_ms"] / 1000)
        except subprocess.TimeoutExpired:
            return {"signal": step["signal"], "exits": False}
        return {"signal": step["signal"], "exits": True}

    def _stop(self, step: dict[str, Any]) -> dict[str, Any]:
        self.process.child.terminate()
        try:
            self.process.child.wait(step["stop"])
        except subprocess.TimeoutExpired:
            return {"stopped": "killed at the end of the grace time"}
        return {"stopped": "by the signal"}
