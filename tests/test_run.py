"""`run.py` started by any Python: it finds the project's own environment, or says how to have it."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.fences import ROOT


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python without the project's libraries."""
    place = tmp_path_factory.mktemp("bare")
    venv.create(place, with_pip=False)
    return place / "bin" / "python"


def run(python, script, *arguments, **more):
    return subprocess.run([python, script, *arguments], capture_output=True, text=True, timeout=30, check=False, **more)


def test_another_python_goes_on_in_the_projects_own(bare, tmp_path):
    """`./run.py` works with whatever `python3` is first on PATH, from any directory, arguments untouched."""
    shutil.copy(ROOT / "run.py", tmp_path)
    shutil.copytree(ROOT / "console", tmp_path / "console")
    own = tmp_path / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    own.chmod(0o755)
    done = run(bare, tmp_path / "run.py", "action", "put", "", "no file", cwd="/")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: can't read no file")


def test_without_an_environment_it_says_how_to_have_one(bare, tmp_path):
    """One line what is missing, one what to type."""
    shutil.copy(ROOT / "run.py", tmp_path)
    done = run(bare, tmp_path / "run.py", "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert "make venv" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_is_executable_and_small():
    """`./run.py` needs no `python3` before it, and stays a door."""
    path = Path(ROOT / "run.py")
    assert os.access(path, os.X_OK)
    assert len(path.read_text().splitlines()) < 50
