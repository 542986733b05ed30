"""What the documentation shows works: every Python block runs, every command and flag is one that there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import rich_click as click

from console.cli import cli
from tests.fences import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PATIENCE = 120


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


PYTHON = [(page, block) for page in PAGES for block in blocks(page, "python")]


def code_in(page: Path) -> list[str]:
    text = page.read_text()
    lines = [line for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [*re.findall(r"`([^`\n]+)`", text), *lines]


@pytest.mark.parametrize(("page", "block"), PYTHON, ids=[page.stem for page, _ in PYTHON])
def test_python_blocks_run(page: Path, block: str) -> None:
    """From the repository's root, as the text says."""
    command = [sys.executable, "-c", block]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


def unknown(code: str) -> str | None:
    """What of a command line is no command or no flag of it; None for what is no `run.py` line, and for one that is right."""
    found = re.match(r"(?:\./|python )?run\.py ([a-z][\w-]*.*)", re.split(r"\s[#;&|]|\s\\$", code.strip())[0])
    if found is None:
        return None
    name, *words = found[1].split()
    command = cli.get_command(None, name)
    while isinstance(command, click.Group) and words and (inner := command.get_command(None, words[0])) is not None:
        command, words = inner, words[1:]
    if command is None:
        return name
    flags = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)} | {"--help"}
    wrong = [word for word in words if re.match(r"--[a-z]", word) and word.split("=")[0] not in flags]
    return wrong[0] if wrong else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_flags_exist(page: Path) -> None:
    """`run.py NAME` is a command; each long flag shown behind one is a flag of it."""
    assert [f"{word} in {code}" for code in code_in(page) if (word := unknown(code)) is not None] == []


def test_wrong_commands_and_flags_are_seen() -> None:
    """Or the test above could not fail."""
    assert unknown("./run.py nothing") == "nothing"
    assert unknown("./run.py status --nothing") == "--nothing"
    assert unknown("./run.py action put a b --nothing=1") == "--nothing=1"
    assert unknown("./run.py status --json  # --nothing") is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_make_targets_exist(page: Path) -> None:
    """`make NAME` is one."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for code in code_in(page) for name in re.findall(r"^make ([a-z][a-z-]+)", code)}
    assert named <= targets, named - targets
