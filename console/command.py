"""How commands are declared: an example and the exit codes in each help, the options by which a node is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from console.exits import EXIT_CODES

DATA_DIR = click.Path(path_type=Path, file_okay=False)

Function = TypeVar("Function", bound=Callable[..., Any])


def help_text(text: str, *examples: str) -> str:
    """The help of a command: what it does, examples, exit codes."""
    shown = "\n".join(f"  ./run.py {example}" for example in examples)
    title = "Examples:" if len(examples) > 1 else "Example:"
    gap = "\n \n"  # the renderer would drop a line that is quite empty
    return f"{text}\n\n\b{gap}{title}\n{shown}{gap}Exit codes: {EXIT_CODES}"


def where(function: Function) -> Function:
    """Adds --apihost, --auth and --data-dir: how the node is found."""
    for option in (
        click.option(
            "--data-dir", type=DATA_DIR, default="./data", show_default=True, envvar="REWHISK_DATA_DIR",
            help="Data directory of a local node: tells address and credentials if nothing else does.",
        ),
        click.option("--auth", "-u", metavar="UUID:KEY", help="Credentials."),
        click.option("--apihost", metavar="URL", help="Address of the node, for instance http://127.0.0.1:3233."),
    ):  # fmt: skip
        function = option(function)
    return function


def pairs_option(*names: str, help: str) -> Callable[[Function], Function]:
    """An option that takes a key and a value and may be repeated."""
    return click.option(*names, type=(str, str), multiple=True, metavar="KEY VALUE", help=help)


def as_json(function: Function) -> Function:
    """Adds --json: machine-readable output."""
    return click.option("--json", "json_output", is_flag=True, help="Print JSON.")(function)
