"""`controller`: settings from flags, environment and file, then the controller itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import rich_click as click

from console.command import help_text
from console.node_command import flags


@click.command(help=help_text(
    "Start a controller of a cluster: the OpenWhisk API in front of nodes (`run.py node --kafka …`) on this and other machines, "
    "which it reaches through Kafka and over HTTP. Settings are a node's where they make sense; the rates of a namespace are "
    "upstream's (60 invocations a minute, 30 at a time, 60 fires) unless you choose others.",
    "controller --kafka 127.0.0.1:9092 --store http://admin:secret@127.0.0.1:5984 --auth guest",
))  # fmt: skip
@flags
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Configuration file (TOML).")
def controller(config: Path | None, **given: Any) -> int:
    """See the help."""
    from config.errors import ConfigError
    from config.load import load
    from console.exits import WrongUsage
    from store.errors import StoreError

    given["cors"] = given["cors"] or None
    try:
        settings = load(given, os.environ, config)
        if not settings.kafka:
            raise WrongUsage("a controller needs a broker", "give --kafka HOST:PORT; `make services` starts one on this machine")
        from console.controller_screen import ControllerScreen
        from console.logging import set_up
        from transport.serve_controller import run

        set_up(settings.log_level)
        return int(run(settings, ControllerScreen(settings)))
    except ConfigError as error:
        raise WrongUsage("\nerror: ".join(error.problems), "`run.py controller --help` and docs/configuration.md") from None
    except StoreError as error:
        raise WrongUsage(str(error)) from None
