"""`action`: what is sent, what is shown, what is refused before anything is sent."""

import base64
import io
import zipfile

import pytest

ACTIONS = "/api/v1/namespaces/_/actions"
STORED = {"namespace": "guest", "name": "a", "version": "0.0.1", "exec": {"kind": "python:3", "binary": False}}


def archive(*names):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as found:
        for name in names:
            found.writestr(name, "x")
    return data.getvalue()


@pytest.fixture
def files(tmp_path):
    for name, data in {
        "a.py": b"def main(args):\n    return args\n",
        "b.js": "function main() { return 'é' }".encode(),
        "p.zip": archive("__main__.py"),
        "j.zip": archive("package.json", "lib.js"),
        "both.zip": archive("__main__.py", "index.js"),
        "none.zip": archive("sub/__main__.py"),
        "broken.zip": b"PK not a zip",
        "bin.py": b"\x7fELF\xff\x00",
        "zero.py": b"a\x00b",
        "x.txt": b"text",
        "bom.py": b"\xef\xbb\xbfx = 1",
    }.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.py", "python:default"), ("b.js", "nodejs:default"), ("p.zip", "python:default"), ("j.zip", "nodejs:default")],
)
def test_kind_from_the_file(cli, node, files, name, kind):
    """Extension or the archive's top tell the kind; text goes as text, archives as base64."""
    node.on("PUT", f"{ACTIONS}/a", 200, STORED)
    found = cli("action", "put", "a", files / name)
    assert found == (0, "ok: action guest/a, kind python:3, version 0.0.1\n", "")
    sent = node.last["body"]["exec"]
    data = (files / name).read_bytes()
    assert sent["kind"] == kind
    assert sent["code"] == (base64.b64encode(data).decode() if name.endswith("zip") else data.decode())
    assert node.last["query"] == "overwrite=true"


def test_all_options(cli, node, files):
    """Every option arrives in the body in the API's form."""
    node.on("PUT", f"{ACTIONS}/pkg/a", 200, STORED)
    found = cli(
        "action",
        "put",
        "pkg/a",
        files / "a.py",
        "--kind",
        "python:3.11",
        "--main",
        "go",
        "--param",
        "n",
        "1",
        "--param",
        "s",
        "text",
        "--param",
        "n",
        "2",
        "--annotation",
        "replay",
        "never",
        "--timeout",
        "1000",
        "--memory",
        "128",
        "--logsize",
        "1",
        "--concurrency",
        "4",
        "--web",
        "raw",
        "--json",
    )
    assert found.code == 0
    assert found.json == STORED
    body = node.last["body"]
    assert body["exec"]["kind"] == "python:3.11"
    assert body["exec"]["main"] == "go"
    assert body["parameters"] == [{"key": "n", "value": 2}, {"key": "s", "value": "text"}]
    assert body["limits"] == {"timeout": 1000, "memory": 128, "logs": 1, "concurrency": 4}
    assert {pair["key"]: pair["value"] for pair in body["annotations"]} == {
        "replay": "never",
        "web-export": True,
        "raw-http": True,
        "final": True,
    }


def test_an_image(cli, node):
    """--docker needs no file."""
    node.on("PUT", f"{ACTIONS}/a", 200, STORED)
    assert cli("action", "put", "a", "--docker", "me/image").code == 0
    assert node.last["body"] == {"exec": {"kind": "blackbox", "image": "me/image"}}


def test_a_byte_order_mark_is_no_code(cli, node, files):
    """What an editor put before the code doesn't reach Python."""
    node.on("PUT", f"{ACTIONS}/a", 200, STORED)
    assert cli("action", "put", "a", files / "bom.py").code == 0
    assert node.last["body"]["exec"]["code"] == "x = 1"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("a", "none.py"), "can't read none.py: No such file"),
        (("a", "."), "can't read .: Is a directory"),
        (("a", "bin.py"), "no UTF-8 text (byte 4)"),
        (("a", "zero.py"), "binary, not source"),
        (("a", "broken.zip"), "no zip archive"),
        (("a", "none.zip"), "kind of none.zip is unknown"),
        (("a", "both.zip"), "--kind"),
        (("a", "x.txt"), "its extension tells none"),
        (("a",), "no file given"),
        (("/", "a.py"), "is no name"),
        (("a//b", "a.py"), "is no name"),
        (("a/b/c", "a.py"), "is no name"),
        (("", "a.py"), "is no name"),
    ],
)
def test_wrong_input_is_told_and_not_sent(cli, node, files, arguments, text):
    """A file or name that can't be right is wrong usage, before any request."""
    found = cli("action", "put", *arguments)
    assert found.code == 2
    assert text in found.err
    assert node.requests == []


def test_names(cli, node):
    """Names with a namespace and odd characters become the right path."""
    node.on("GET", "/api/v1/namespaces/other/actions/p%20k/a%26b", 200, STORED)
    assert cli("action", "get", "/other/p k/a&b").json == STORED


def test_get_code(cli, node):
    """--code gives the code alone, an archive as bytes."""
    node.on("GET", f"{ACTIONS}/a", 200, {**STORED, "exec": {"kind": "python:3", "binary": False, "code": "x = 1\n"}})
    assert cli("action", "get", "a", "--code").out == "x = 1\n"
    assert node.last["query"] == "code=true"
    node.on("GET", f"{ACTIONS}/a", 200, {**STORED, "exec": {"kind": "sequence"}})
    assert "no code" in cli("action", "get", "a", "--code").err


def test_list(cli, node):
    """One line an action when piped; what steers a terminal is taken out."""
    row = {
        "namespace": "guest/p",
        "name": "a\x1b[2J",
        "version": "0.0.2",
        "updated": 1700000000000,
        "annotations": [{"key": "exec", "value": "python:3"}],
    }
    node.on("GET", ACTIONS, 200, [row])
    found = cli("action", "list")
    assert found.code == 0
    assert found.out.startswith("guest/p/a\N{REPLACEMENT CHARACTER}[2J\tpython:3\t0.0.2\t20")
    assert cli("action", "list", "--json").json == [row]
    node.on("GET", f"{ACTIONS}/p/", 200, [])
    assert "no actions yet" in cli("action", "list", "p").err


def test_delete(cli, node):
    """Says what is gone."""
    node.on("DELETE", f"{ACTIONS}/a", 200, STORED)
    assert cli("action", "delete", "a").out == "ok: deleted action guest/a\n"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "The supplied authentication is invalid"),
        (403, "not authorized"),
        (404, "does not exist"),
        (409, "conflict"),
        (429, "Too many requests"),
    ],
)
def test_refusals(cli, node, status, text):
    """The node's own words, exit code 4."""
    node.on("DELETE", f"{ACTIONS}/a", status, {"error": text, "code": "x"})
    found = cli("action", "delete", "a")
    assert found.code == 4
    assert f"error: {text} (HTTP {status})" in found.err


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"error": 5}', b"\xff\xfe"])
def test_answers_that_make_no_sense(cli, node, body):
    """Whatever comes back, no traceback."""
    node.on("DELETE", f"{ACTIONS}/a", 500, body)
    assert cli("action", "delete", "a").code == 4
    node.on("GET", ACTIONS, 200, body)
    assert cli("action", "list").code == 0
