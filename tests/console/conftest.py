"""The command line run in this process, in a home of its own."""

import json
from typing import NamedTuple

import pytest

from console.cli import main
from tests.console.fake_api import AUTH, fake_node


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """No setting of the person who runs the tests counts, and every file lands in tmp_path."""
    for name in ("WSK_CONFIG_FILE", "WHISK_APIHOST", "WHISK_AUTH", "REWHISK_DATA_DIR", "REWHISK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(capsys):
    """`cli("invoke", "hello")` → exit code, standard output, standard error."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Outcome(code, out, err)

    return run


@pytest.fixture
def node(monkeypatch):
    """A node that the environment names."""
    with fake_node() as found:
        monkeypatch.setenv("WHISK_APIHOST", found.url)
        monkeypatch.setenv("WHISK_AUTH", AUTH)
        yield found
