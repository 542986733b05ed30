"""`node`: settings reach the node, every wrong one is told before anything starts."""

import pytest

from config.errors import PortTaken
from store.errors import DataDirInUse


@pytest.fixture
def started(monkeypatch):
    """What the node was started with, instead of a node."""
    calls = []
    monkeypatch.setattr("transport.serve.run", lambda settings, screen: calls.append(settings) or 0)
    monkeypatch.setattr("console.logging.set_up", lambda level, out: None)
    return calls


def test_flags(cli, started, tmp_path):
    """Every flag of the design that this release has."""
    (tmp_path / "c.toml").write_text('log-level = "debug"\n')
    flags = {
        "host": "127.0.0.1",
        "port": "4000",
        "data-dir": str(tmp_path),
        "driver": "auto",
        "memory": "1g",
        "store": "sqlite",
        "id": "2",
        "auth": "guest",
        "admin-key": "k" * 20,
        "cors": "https://a.example",
        "api-host": "http://h:1",
        "action-network": "none",
        "max-concurrency": "5",
        "invocations-per-minute": "60",
        "concurrent-invocations": "30",
        "fires-per-minute": "60",
        "drain-timeout": "5s",
        "max-age": "1h",
        "keep-activations": "1d",
        "keep-journal": "2h",
        "config": str(tmp_path / "c.toml"),
    }
    found = cli("node", *(word for name, value in flags.items() for word in (f"--{name}", value)), "--cors", "https://b.example")
    assert found.code == 0
    (settings,) = started
    assert (settings.port, settings.id, settings.memory, settings.log_level) == (4000, 2, 1024, "debug")
    assert settings.cors == ("https://a.example", "https://b.example")
    assert (settings.max_age, settings.drain_timeout) == (3600, 5)


def test_live_console(cli, started):
    """Saying that none is wanted is fine; asking for one without a terminal is not."""
    assert cli("node", "--no-console").code == 0
    asked = cli("node", "--console")
    assert asked.code == 2
    assert "--console needs a terminal" in asked.err
    assert len(started) == 1


def test_defaults(cli, started):
    """No flag at all is a node."""
    assert cli("node").code == 0
    assert not started[0].given


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--port", "x"), "--port must be a whole number"),
        (("--driver", "podman"), "--driver must be"),
        (("--store", "ftp://a:b@c"), "must be sqlite, or a CouchDB's address"),
        (("--kafka", "h"), "--kafka must be host:port"),
        (("--api-hosts", "h:1"), "No such option"),
        (("--config", "none.toml"), "none.toml"),
        (("--port", "x", "--memory", "y"), "--memory must be a size"),
    ],
)
def test_wrong_settings(cli, started, arguments, text):
    """Exit code 2, each problem on a line, nothing started."""
    found = cli("node", *arguments)
    assert found.code == 2
    assert text in found.err
    assert started == []


@pytest.mark.parametrize(
    "error", [PortTaken(["port 1 on 127.0.0.1 is taken"]), DataDirInUse("data is in use by process 7 at http://127.0.0.1:1")]
)
def test_starts_that_fail(cli, monkeypatch, error):
    """What the node finds when it starts is told as it is."""

    def run(settings, screen):
        raise error

    monkeypatch.setattr("transport.serve.run", run)
    monkeypatch.setattr("console.logging.set_up", lambda level, out: None)
    found = cli("node")
    assert found.code == 2
    assert str(error) in found.err
