"""`node`: settings from flags, environment and file, then the node itself."""

from __future__ import annotations

import os
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
    "--console/--no-console", default=False, help="A live console on the terminal: not in this release, so only --no-console works."
)
def node(config: Path | None, *, console: bool, **given: Any) -> int:
    """See the help."""
    from config.errors import ConfigError
    from config.load import load
    from console.exits import WrongUsage
    from store.errors import StoreError

    if console:
        raise WrongUsage("--console: there is no live console in this release", "`run.py status` shows the node's state")
    given["cors"] = given["cors"] or None
    try:
        settings = load(given, os.environ, config)
        from console.logging import set_up
        from console.screen import NodeScreen
        from transport.serve import run

        set_up(settings.log_level)
        return int(run(settings, NodeScreen(settings)))
    except ConfigError as error:
        raise WrongUsage("\nerror: ".join(error.problems), "`run.py node --help` and docs/configuration.md") from None
    except StoreError as error:
        raise WrongUsage(str(error)) from None
