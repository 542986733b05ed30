"""The root: quick help, exit codes, no tracebacks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from console.cli import COMMANDS
from console.cli import cli as root
from console.exits import EXIT_CODES

ROOT = Path(__file__).resolve().parent.parent.parent


def test_help_lists_every_command(cli):
    """The root's help names all commands and the exit codes."""
    found = cli("--help")
    assert found.code == 0
    for name, (_, line) in COMMANDS.items():
        assert name in found.out
        assert line in found.out


def commands():
    import rich_click as click

    context = click.Context(root)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        yield (name,)
        for inner in getattr(command, "commands", ()):
            yield (name, inner)


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_help_has_an_example_and_the_exit_codes(cli, path):
    """Each --help shows how it is typed and how it ends."""
    found = cli(*path, "--help")
    text = " ".join(found.out.split())
    assert found.code == 0
    assert "Example" in text
    assert f"./run.py {path[0]}" in text
    assert EXIT_CODES in text


@pytest.mark.parametrize(
    "arguments", [("nope",), ("action", "nope"), ("invoke",), ("invoke", "a", "--nope"), ("action", "list", "--limit", "900")]
)
def test_wrong_usage_is_2_with_a_way_on(cli, arguments):
    """What can't be right is one error line and the way to the help."""
    found = cli(*arguments)
    assert found.code == 2
    assert found.err.startswith("error: ")
    assert "--help" in found.err
    assert found.out == ""


def test_version(cli):
    """--version is the project's."""
    assert cli("--version").out.split() == ["rewhisk", "0.1.0"]
    assert 'version = "0.1.0"' in (ROOT / "pyproject.toml").read_text()


def test_interrupt_is_130(cli, monkeypatch):
    """Ctrl-C ends with the shell's code, silently."""
    monkeypatch.setattr("console.activation_commands.when", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli("activation", "list", "--apihost", "http://127.0.0.1:1").code == 130


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(cli, shell):
    """Each shell gets a script that asks run.py."""
    found = cli("completion", shell)
    assert found.code == 0
    assert "_RUN_PY_COMPLETE" in found.out


def test_completion_answers():
    """The shell's question is answered with names."""
    env = {**os.environ, "_RUN_PY_COMPLETE": "bash_complete", "COMP_WORDS": "run.py activation lo", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, ROOT / "run.py"], env=env, capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout.split(), done.stderr) == (["plain,logs"], "")


def test_help_needs_no_heavy_imports():
    """Listing the commands imports none of them, nor the parts of the node: that keeps it quick."""
    code = (
        "import sys; sys.argv=['run.py']; from console.cli import main; main(['--help']);"
        "heavy = ('marshmallow', 'msgspec', 'structlog', 'store', 'actors', 'config', 'uvicorn');"
        "print([m for m in sys.modules if m.split('.')[0] in heavy or 'console.' in m and 'command' in m], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    assert done.stderr.strip() == "[]"


def test_a_closed_pipe_is_no_error():
    """`run.py --help | head -1` says nothing on standard error."""
    command = f"{sys.executable} {ROOT}/run.py completion zsh | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20, check=True)
    assert done.stderr == ""
