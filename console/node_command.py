"""`node`: settings from flags, environment and file, then the node itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click

from config.settings import OPTIONS
from console.command import help_text


def flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for every setting that has a flag; values are checked with all others together, not here."""
    for option in reversed(OPTIONS):
        if option.flag:
            shown = "" if option.default in ("", "none") else f" Default {option.default}."
            function = click.option(
                f"--{option.key}", option.name, metavar=option.metavar, help=option.help + shown, multiple=option.name == "cors"
            )(function)
    return function


@click.command(help=help_text(
    "Start a standalone node: the OpenWhisk API, the invoker and the store in one process. Every setting is also an environment "
    "variable (REWHISK_PORT) and a key of the configuration file (port = 4000); flags win, then the environment, then the file. "
    "docs/configuration.md lists them all.",
    "node", "node --port 4000 --data-dir /var/lib/rewhisk --memory 4g", "node --auth guest --config node.toml",
))  # fmt: skip
@flags
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Configuration file (TOML).")
@click.option(
    "--console/--no-console", default=None, help="A live console on the terminal. Default: if there is a terminal."
)
def node(config: Path | None, *, console: bool | None, **given: Any) -> int:
    """See the help."""
    from config.errors import ConfigError
    from config.load import load
    from console.exits import WrongUsage
    from store.errors import StoreError

    terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    if console and not terminal:
        raise WrongUsage("--console needs a terminal", "`run.py status --live` shows a node that runs elsewhere")
    given["cors"] = given["cors"] or None
    try:
        settings = load(given, os.environ, config)
        from console.full_screen import FullScreen
        from console.logging import set_up
        from console.screen import NodeScreen
        from transport.serve import run

        out = FullScreen(sys.stdout)
        set_up(settings.log_level, out if terminal else None)
        try:
            return int(run(settings, NodeScreen(settings, out, live=terminal and console is not False)))
        finally:
            out.close()
    except ConfigError as error:
        raise WrongUsage("\nerror: ".join(error.problems), "`run.py node --help` and docs/configuration.md") from None
    except StoreError as error:
        raise WrongUsage(str(error)) from None
