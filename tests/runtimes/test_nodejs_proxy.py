"""The Node.js runtime beyond the recording: kinds of modules, parallel runs, odd actions."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtimes.exchange import COMMANDS, PATIENCE, ROOT, Process, encode, read_answer
from tests.runtimes.test_both import END, Entry, Inherited, packed_zip


@pytest.fixture
def inherited(tmp_path: Path) -> Iterator[Inherited]:
    process = Inherited("nodejs", tmp_path)
    yield process
    process.end()


def test_sources_are_well_formed() -> None:
    """`node --check` accepts every file."""
    for path in (ROOT / "runtimes/nodejs").glob("*.js"):
        subprocess.run(["node", "--check", str(path)], check=True, timeout=PATIENCE)


PACKAGES: dict[str, tuple[list[Entry], str]] = {
    "a package of the archive": (
        [
            ("index.js", "exports.main = a => require('dep')"),
            ("node_modules/dep/package.json", '{"main": "lib.js"}'),
            ("node_modules/dep/lib.js", "module.exports = {got: 1}"),
        ],
        "main",
    ),
    "module by its ending": (
        [("package.json", '{"main": "x.mjs"}'), ("x.mjs", "export const main = async a => ({got: 1})")],
        "main",
    ),
    "default export": ([("package.json", '{"main": "x.mjs"}'), ("x.mjs", "export default {main: a => ({got: 1})}")], "main"),
    "top-level await": (
        [
            ("package.json", '{"type": "module", "main": "x.js"}'),
            ("x.js", "const n = await 1; export const main = a => ({got: n})"),
        ],
        "main",
    ),
    "dotted main": ([("index.js", "exports.lib = {main: a => ({got: 1})}")], "lib.main"),
    "named file": ([("index.js", ""), ("other.js", "exports.lib = {main: a => ({got: 1})}")], "other.lib.main"),
    "dynamic import": (
        [("index.js", "exports.main = async a => ({got: (await import('./x.mjs')).n})"), ("x.mjs", "export const n = 1")],
        "main",
    ),
}


@pytest.mark.parametrize("name", PACKAGES)
def test_modules_of_every_kind(inherited: Inherited, name: str) -> None:
    """CommonJS, modules, packages and named entries load from an archive."""
    files, main = PACKAGES[name]
    answer = inherited.init(base64.b64encode(packed_zip(files)).decode(), binary=True, main=main)
    assert answer["status"] == 200, answer
    assert inherited.run({}) == {"got": 1}


ODD: dict[str, tuple[str, Any]] = {
    "strict code": ("'use strict'; const main = a => ({got: 1})", {"got": 1}),
    "comment at the end": ("function main() { return {got: 1} } // the end", {"got": 1}),
    "names of CommonJS": ("const module = 1, exports = 2, require = 0; function main() { return {got: module} }", {"got": 1}),
    "require": ("const path = require('path'); function main() { return {got: path.join('a', 'b')} }", {"got": "a/b"}),
    "thenable": ("function main() { return {then: r => r({got: 1})} }", {"got": 1}),
    "error with a code": (
        "async function main() { const e = new Error('m'); e.code = 7; e.stack = 's'; throw e }",
        {"error": {"name": "Error", "message": "m", "stack": "s", "code": 7}},
    ),
    "console taken away": ("console.log = console.error = null; function main() { return {got: 1} }", {"got": 1}),
    "dynamic import": ("async function main() { return {got: (await import('path')).sep} }", {"got": "/"}),
    "listeners on everything": (
        "process.on('exit', () => {}); process.on('SIGTERM', () => {}); function main() { return {got: 1} }",
        {"got": 1},
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_actions_get_their_answers(inherited: Inherited, name: str) -> None:
    """Two runs answer, and their sentinels come."""
    code, wanted = ODD[name]
    answer = inherited.init(code)
    assert answer["status"] == 200, answer
    assert [inherited.run({}), inherited.run({})] == [wanted, wanted]
    assert inherited.close() == (0, END * 2, END * 2)


THROWN = [
    "null",
    "undefined",
    "Symbol('s')",
    "{toString() { throw 1 }}",
    "Object.create(null)",
    "new Proxy({}, {get() { throw 1 }})",
]


def test_whatever_is_thrown_is_answered(tmp_path: Path) -> None:
    """A thrown value without any text ends as an error, logged, with both sentinels."""
    processes = []
    try:
        for number, thrown in enumerate(THROWN):
            (directory := tmp_path / str(number)).mkdir()
            process = Inherited("nodejs", directory)
            processes.append(process)
            init = {"value": {"main": "main", "code": f"function main() {{ console.error = null; throw {thrown} }}"}}
            process.sock.sendall(encode({"path": "/init", "body": init}))
        for process in processes:
            assert read_answer(process.sock, "POST", PATIENCE)["status"] == 200
            answer = process.ask({"body": {"value": {}}})
            assert answer["status"] == 502
            assert json.loads(answer["body"])["error"].startswith("An error has occurred: ")
            status, out, err = process.close()
            assert (status, out) == (0, END)
            assert err.endswith(END)
    finally:
        for process in processes:
            process.end()


BAD_MAINS = ["not a name", "a;b", "main)", "", "..", "main.", "class", "a" * 10_000]


def test_bad_entry_names_are_told(tmp_path: Path) -> None:
    """A name that can't be in JavaScript is an error of the initialization and is never run as code."""
    processes = [Inherited("nodejs", tmp_path) for _ in BAD_MAINS]
    try:
        for name, process in zip(BAD_MAINS, processes, strict=True):
            process.sock.sendall(encode({"path": "/init", "body": {"value": {"main": name, "code": "var a = 1"}}}))
        for name, process in zip(BAD_MAINS, processes, strict=True):
            answer = read_answer(process.sock, "POST", PATIENCE)
            assert answer["status"] == (502 if name else 403), name
            assert json.loads(answer["body"])["error"]
    finally:
        for process in processes:
            process.end()


def test_parallel_runs_each_get_their_own_answer(tmp_path: Path) -> None:
    """With `__OW_ALLOW_CONCURRENT=true` 20 runs overlap, each answered, with 20 sentinels on each stream."""
    process = Process("nodejs", tmp_path, {"__OW_ALLOW_CONCURRENT": "true"})
    code = "let n = 0, most = 0; async function main(a) { n++; most = Math.max(most, n);"
    code += "await new Promise(r => setTimeout(r, 300)); n--; return {i: a.i, most} }"
    answers: dict[int, Any] = {}

    def ask(number: int, sock: socket.socket) -> None:
        with sock:
            sock.sendall(encode({"body": {"value": {"i": number}}}))
            answers[number] = json.loads(read_answer(sock, "POST", PATIENCE)["body"])

    try:
        with process.connect() as sock:
            sock.sendall(encode({"path": "/init", "body": {"value": {"main": "main", "code": code}}}))
            assert read_answer(sock, "POST", PATIENCE)["status"] == 200
        threads = [threading.Thread(target=ask, args=(number, process.connect())) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {number: answer["i"] for number, answer in answers.items()} == {number: number for number in range(20)}
        assert max(answer["most"] for answer in answers.values()) > 1
    finally:
        process.end()
    assert process.take() == {"stdout": END * 20, "stderr": END * 20}


def test_compressed_bodies_are_bounded(inherited: Inherited) -> None:
    """A body that unpacks to more than the limit is refused, and one that is cut off or no gzip too; the runtime goes on."""
    assert inherited.init("function main(a) { return {n: (a.s || '').length} }")["status"] == 200
    assert inherited.ask({"body": {"value": {"s": "<repeat:x:60000000>"}}, "gzip": True})["status"] == 500
    assert inherited.ask({"body": {"value": {}}, "headers": {"Content-Encoding": "gzip"}})["status"] == 500
    assert inherited.run({"s": "abc"}) == {"n": 3}


def test_several_inherited_connections_share_the_action(tmp_path: Path) -> None:
    """Runs on different connections overlap; the runtime outlives one that closes and ends with the last."""
    pairs = [socket.socketpair() for _ in range(3)]
    numbers = [theirs.fileno() for _, theirs in pairs]
    command = [*COMMANDS["nodejs"], "--fd", ",".join(map(str, numbers)), "--dir", str(tmp_path)]
    environment = {**os.environ, "__OW_ALLOW_CONCURRENT": "true"}
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, pass_fds=numbers, stdout=pipe, stderr=pipe, cwd=tmp_path, env=environment)
    ours = [mine for mine, theirs in pairs if theirs.close() is None]
    try:
        code = "let open; const all = new Promise(r => { open = r }); let n = 0;"
        code += "function main(a) { if (++n === 3) open(); return all.then(() => ({i: a.i})) }"
        ours[0].sendall(encode({"path": "/init", "body": {"value": {"main": "main", "code": code}}}))
        assert read_answer(ours[0], "POST", PATIENCE)["status"] == 200
        for number, sock in enumerate(ours):
            sock.sendall(encode({"body": {"value": {"i": number}}}))
        assert [json.loads(read_answer(sock, "POST", PATIENCE)["body"])["i"] for sock in ours] == [0, 1, 2]
        ours.pop(0).close()
        ours[0].sendall(encode({"body": {"value": {"i": 3}}}))
        assert json.loads(read_answer(ours[0], "POST", PATIENCE)["body"]) == {"i": 3}
        for sock in ours:
            sock.close()
        assert child.wait(PATIENCE) == 0
    finally:
        child.kill()
        assert child.communicate(timeout=PATIENCE) == (END * 4, END * 4)
