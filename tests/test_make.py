"""`make`: an environment from nothing, no install the second time, and a clear word where something is missing."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.fences import ROOT


def make(place, *arguments, **env):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=place,
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def clone(tmp_path):
    """The Makefile with requirements that need no network."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text("# nothing\n")
    return tmp_path


def tools(place, *names):
    """A PATH with these programs alone."""
    found = place / "bin"
    found.mkdir()
    for name in names:
        (found / name).symlink_to(shutil.which(name))
    return str(found)


BASICS = ("sh", "cksum", "tr", "cat", "rm", "touch", "grep", "awk")


def test_an_environment_is_made_once(clone):
    """The second `make venv` installs nothing; a changed requirement does."""
    first = make(clone, "venv", PYTHON=sys.executable)
    assert first.returncode == 0, first.stderr
    assert "installing requirements.txt" in first.stdout
    assert (clone / ".venv" / "bin" / "python").exists()
    second = make(clone, "venv")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    (clone / "requirements.txt").write_text("# something else\n")
    third = make(clone, "venv")
    assert third.stdout == "installing requirements.txt\n"


def test_an_environment_whose_python_is_gone_is_made_anew(clone):
    """A removed or replaced Python doesn't leave a broken environment behind."""
    (clone / ".venv").mkdir()
    (clone / ".venv" / ".made").touch()
    python = clone / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = -m ] && echo "called with $*" && exit 1\nexit 0\n')
    python.chmod(0o755)
    done = make(clone, "venv", PYTHON=str(python))
    assert done.returncode == 2
    assert "making .venv" in done.stdout
    assert "called with -m venv --clear .venv" in done.stdout


def test_without_python(clone):
    """No Python at all: what to install."""
    done = make(clone, "venv", PATH=tools(clone, "make", *BASICS))
    assert done.returncode == 2
    assert "no Python 3.11 or newer" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ('case "$2" in *version_info*) exit 1;; esac', "no Python 3.11 or newer"),
        ('case "$2" in *ensurepip*) exit 1;; esac', "apt-get install python3-venv"),
    ],
)
def test_with_half_a_python(clone, code, text):
    """Too old, or Debian's python3 without python3-venv: told apart."""
    path = tools(clone, "make", *BASICS)
    python = clone / "bin" / "python3"
    python.write_text(f"#!/bin/sh\n{code}\n")
    python.chmod(0o755)
    done = make(clone, "venv", PATH=path)
    assert done.returncode == 2
    assert text in done.stderr


def test_help_is_the_default_and_complete(clone):
    """`make` alone lists every target that people call."""
    text = make(clone).stdout
    for target in ("venv", "node", "services", "test", "lint", "bench", "crash-full", "docs", "clean"):
        assert f"make {target} " in text


def test_parts_of_the_suite_are_known():
    """A wrong part is told with the right ones."""
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "suite.py", "nope"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "lint, types, imports, tests" in done.stderr


@pytest.mark.parametrize(("ci", "code", "word"), [("", 0, "LEFT OUT"), ("true", 1, "FAILED")])
def test_what_is_missing_is_named_and_fails_in_ci(tmp_path, ci, code, word):
    """Without `node` its tests are left out by name, with the way to have it; with CI=true that is a failure."""
    env = {**os.environ, "PATH": str(tmp_path), "CI": ci}
    command = [sys.executable, ROOT / ".ci" / "suite.py", "imports"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert f"{word}  tests marked nodejs: Node.js" in done.stdout
    assert "apt-get install nodejs" in done.stdout
    assert done.returncode == code


def test_the_fresh_machine_script_is_valid_shell():
    """`.ci/run` parses, is executable, and stops at the first failure."""
    path = ROOT / ".ci" / "run"
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", path], capture_output=True, timeout=20, check=True).stderr == b""
    assert "set -euo pipefail" in path.read_text()
