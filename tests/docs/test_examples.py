"""What the documentation shows works: every Python block runs, every command is one that there is, every link leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links, to files and to folders."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def known_commands() -> set[str]:
    from console.cli import cli

    return set(cli.list_commands(None))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_flags_exist(page: Path) -> None:
    """`run.py NAME` is a command; each long flag shown behind one is a flag of it."""
    for code in code_in(page):
        found = re.match(r"(?:\./|python )?run\.py ([a-z][a-z-]*)(.*)", code.strip())
        if found is None:
            continue
        assert found[1] in known_commands(), f"{page.name}: {code}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_make_targets_exist(page: Path) -> None:
    """`make NAME` is one."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for code in code_in(page) for name in re.findall(r"^make ([a-z][a-z-]+)", code)}
    assert named <= targets, named - targets
