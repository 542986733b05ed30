"""What of Python and Node.js is on this machine, for the process driver. Everything here blocks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from containers.contract import ContainerError


def own_python() -> str:
    """The interpreter that runs the node, outside its virtual environment: the node's libraries are not the actions'."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable) or sys.executable)


def ask_python(python: str) -> tuple[str, list[str]]:
    """The interpreter's real program (a name or a wrapper may be given) and the directories it needs.

    Raises ContainerError if it can't be run or is too old.
    """
    code = "import sys; print(sys.version_info >= (3, 9)); print(sys.executable)"
    code += "\nfor part in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix): print(part)"
    try:
        done = subprocess.run(
            [python, "-I", "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ContainerError(f"The Python {python} can't be run: {error}. Name another one with --python.") from error
    recent, executable, *prefixes = [*done.stdout.splitlines(), "", ""]
    if recent != "True":
        said = done.stderr.strip().splitlines()
        why = said[0] if said and recent != "False" else "it is older than 3.9"
        raise ContainerError(f"The Python {python} can't run actions: {why}. Name another one with --python.")
    return executable, [path for path in prefixes if path not in ("", "/")]


def node_home(node: Path) -> str:
    """The directory tree of a Node.js installation, or the file alone where it lies among other things."""
    home = node.parent.parent
    return str(home) if (home / "include" / "node").is_dir() and home != Path.home() else str(node)


def version(program: str) -> str:
    """What `program --version` prints, empty if it can't be run."""
    try:
        done = subprocess.run(
            [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip().removeprefix("v")
