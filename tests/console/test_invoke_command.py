"""`invoke`: arguments in, result out, exit codes by outcome."""

import socket
import threading

import pytest

PATH = "/api/v1/namespaces/_/actions/hello"
ID = "3f2a9f0c6f8b4bb0aa9f0c6f8bbbb001"


def test_arguments(cli, node, tmp_path):
    """File first, then -p over it; values are JSON where they can be."""
    (tmp_path / "a.json").write_text('{"a": 1, "b": "x"}')
    node.on("POST", PATH, 200, {"ok": True})
    found = cli("invoke", "hello", "-r", "-P", "a.json", "-p", "b", "[1, 2]", "-p", "c", "plain text")
    assert (found.code, found.json) == (0, {"ok": True})
    assert node.last["body"] == {"a": 1, "b": [1, 2], "c": "plain text"}
    assert node.last["query"] == "blocking=true&result=true"


def test_not_blocking(cli, node):
    """Piped, the id alone; with --json an object. The body is always an object."""
    node.on("POST", PATH, 202, {"activationId": ID})
    assert cli("invoke", "hello") == (0, f"{ID}\n", "")
    assert node.last["query"] == "blocking=false&result=false"
    assert node.last["body"] == {}
    assert cli("invoke", "hello", "--json").json == {"activationId": ID}


def test_a_wait_that_is_over(cli, node):
    """202 on a blocking call: the id, and how to go on."""
    node.on("POST", PATH, 202, {"activationId": ID})
    found = cli("invoke", "hello", "-b")
    assert (found.code, found.out) == (0, f"{ID}\n")
    assert f"activation get {ID}" in found.err


@pytest.mark.parametrize("status", [500, 502])
def test_failed_activations_are_1(cli, node, status):
    """The record on standard output, the exit code of the action's own error."""
    node.on("POST", PATH, status, {"response": {"result": {"error": "boom"}}}, x_openwhisk_activation_id=ID)
    found = cli("invoke", "hello", "-b")
    assert found.code == 1
    assert found.json["response"]["result"] == {"error": "boom"}
    assert ID in found.err


@pytest.mark.parametrize(
    ("status", "text"),
    [(429, "Too many requests"), (503, "starting"), (413, "larger"), (500, "There was an internal server error.")],
)
def test_refusals_are_4(cli, node, status, text):
    """An answer that is no activation is a refusal."""
    node.on("POST", PATH, status, {"error": text, "code": "x"})
    found = cli("invoke", "hello", "-b")
    assert found.code == 4
    assert text in found.err


@pytest.mark.parametrize(
    ("text", "says"), [("[1]", "no JSON object"), ("{", "not JSON"), ("\x00", "not JSON"), ("[" * 100000, "not JSON")]
)
def test_bad_argument_files(cli, node, tmp_path, text, says):
    """A file of arguments is a JSON object."""
    (tmp_path / "a.json").write_text(text)
    found = cli("invoke", "hello", "-P", "a.json")
    assert found.code == 2
    assert says in found.err
    assert cli("invoke", "hello", "-P", "none.json").code == 2
    assert node.requests == []


def test_unreachable_is_3(cli):
    """Nobody listens: exit code 3, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = cli("invoke", "hello", "--apihost", f"http://127.0.0.1:{port}")
    assert found.code == 3
    assert "can't be reached: nobody listens there" in found.err
    assert "make node" in found.err


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"])
def test_a_connection_that_breaks_is_3(cli, answer):
    """A node that dies in the middle of an answer is told as such."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            link, _ = server.accept()
            with link:
                link.recv(65536)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        found = cli("invoke", "hello", "-b", "--apihost", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert found.code == 3
    assert "can't be reached" in found.err


def test_a_node_that_nobody_named_is_3(cli):
    """No flag, no properties, no local node."""
    found = cli("invoke", "hello")
    assert found.code == 3
    assert "no node is named" in found.err
