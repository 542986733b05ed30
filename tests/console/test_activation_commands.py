"""`activation`: lists, records, logs and results, finished or not."""

import pytest

from console.activation_commands import when
from console.exits import WrongUsage

LIST = "/api/v1/namespaces/_/activations"
ID = "3f2a9f0c6f8b4bb0aa9f0c6f8bbbb001"
ROW = {
    "activationId": ID,
    "name": "a",
    "namespace": "guest",
    "version": "0.0.1",
    "start": 1700000000000,
    "duration": 1500,
    "statusCode": 2,
    "annotations": [{"key": "path", "value": "guest/p/a"}, {"key": "kind", "value": "nodejs:20"}, {"key": "initTime", "value": 3}],
}


def test_list(cli, node):
    """The row in words; filters arrive in the query."""
    node.on("GET", LIST, 200, [ROW])
    found = cli("activation", "list", "--name", "p/a", "--since", "1700000000000", "--limit", "5")
    assert found.out.split("\t")[1:] == [ID, "nodejs:20", "cold", "1.5 s", "developer error", "p/a:0.0.1\n"]
    assert node.last["query"] == "name=p%2Fa&since=1700000000000&limit=5&skip=0"
    assert cli("activation", "list", "--json").json == [ROW]


def test_rows_with_little_in_them(cli, node):
    """Trigger rows have neither end nor status; odd values don't break the list."""
    node.on("GET", LIST, 200, [{"activationId": ID}, {"start": "x", "duration": None, "annotations": 3, "statusCode": 9}, 7])
    found = cli("activation", "list")
    assert found.code == 0
    assert len(found.out.splitlines()) == 2


def test_since_takes_how_long_ago():
    """A duration is counted back from now."""
    assert when("10m", 1000.0) == "400000"
    assert when("1700000000000", 0) == "1700000000000"
    assert when(None, 0) is None
    with pytest.raises(WrongUsage):
        when("yesterday", 0)


def test_get_and_last(cli, node):
    """By id, or the newest."""
    node.on("GET", f"{LIST}/{ID}", 200, ROW)
    node.on("GET", LIST, 200, [ROW])
    assert cli("activation", "get", ID).json == ROW
    assert cli("activation", "get", "--last").json == ROW
    assert cli("activation", "get").code == 2
    assert cli("activation", "get", ID, "--last").code == 2
    node.on("GET", LIST, 200, [])
    assert "no activations yet" in cli("activation", "get", "--last").err


def test_get_of_an_unfinished_one(cli, node, monkeypatch):
    """404, but pending: its state; unknown: exit code 4."""
    answers = node.answers

    class Pending(dict):
        def get(self, key, default=None):
            if key == ("GET", f"{LIST}/{ID}") and node.requests[-1]["query"] == "pending=true":
                return 200, {"state": "running", "since": 0, "attempt": 1}, {}
            return answers.get(key, default)

    node.answers = Pending()
    found = cli("activation", "get", ID)
    assert found.code == 0
    assert found.json["state"] == "running"
    assert "not finished yet: running" in found.err
    node.answers = answers
    assert cli("activation", "get", ID).code == 4


def test_logs_and_result(cli, node):
    """Plain lines, plain result."""
    node.on("GET", f"{LIST}/{ID}/logs", 200, {"logs": ["t stdout: é", "t stderr: y"]})
    node.on("GET", f"{LIST}/{ID}/result", 200, {"result": [1], "success": True})
    assert cli("activation", "logs", ID).out == "t stdout: é\nt stderr: y\n"
    assert cli("activation", "result", ID).json == [1]
    assert cli("activation", "result", ID, "--json").json["success"] is True
    node.on("GET", f"{LIST}/{ID}/logs", 200, {"logs": []})
    assert cli("activation", "logs", ID) == (0, "", "no logs\n")
    assert cli("activation", "logs", "../../x").code == 4
