"""The command line's root: which commands there are, loaded only when used, and how each of them ends."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import rich_click as click
from click.exceptions import Abort, ClickException, NoArgsIsHelpError
from rich_click import Command, Context, RichGroup

from console.exits import EXIT_CODES, INTERRUPTED, USAGE, Failure

PROGRAM = "run.py"
COMPLETE_VARIABLE = "_RUN_PY_COMPLETE"

COMMANDS: dict[str, tuple[str, str]] = {
    "node": ("console.node_command:node", "Start a standalone node."),
    "controller": ("console.controller_command:controller", "Start a controller of a cluster."),
    "action": ("console.action_commands:action", "Put, get, list and delete actions."),
    "package": ("console.package_commands:package", "Packages and bindings."),
    "trigger": ("console.trigger_commands:trigger", "Triggers: create them, fire them."),
    "rule": ("console.rule_commands:rule", "Which action a trigger fires."),
    "namespace": ("console.namespace_commands:namespace", "What is in a namespace."),
    "invoke": ("console.invoke_command:invoke", "Invoke an action."),
    "activation": ("console.activation_commands:activation", "Records, logs and results of invocations."),
    "trace": ("console.journal_commands:trace", "The life of one activation, from the journal."),
    "journal": ("console.journal_commands:journal", "The journaled events of a node."),
    "status": ("console.status_command:status", "What a node is doing, on one screen."),
    "drain": ("console.status_command:drain", "Let a node finish its work and stop."),
    "user": ("console.user_commands:user", "Namespaces and their credentials."),
    "limits": ("console.limits_commands:limits", "What a namespace may do."),
    "backup": ("console.backup_commands:backup", "Copy the store into a file while the node runs."),
    "restore": ("console.backup_commands:restore", "Bring a backup back into a data directory."),
    "wsk-props": ("console.wsk_props:wsk_props", "Write ~/.wskprops for wsk and the commands here."),
    "completion": ("console.completion_command:completion", "Shell completion for bash, zsh or fish."),
}
"""Name → where the command is (module:attribute) and its line in the list."""


class LazyGroup(RichGroup):
    """A group whose commands are imported when they are used; listing them imports none."""

    listing = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Command | None:
        """The command; while help is written only its name and line."""
        if cmd_name not in COMMANDS:
            return None
        place, line = COMMANDS[cmd_name]
        if self.listing:
            return click.RichCommand(name=cmd_name, help=line)
        module, _, attribute = place.partition(":")
        command: Command = getattr(importlib.import_module(module), attribute)
        return command

    def get_help(self, ctx: Context) -> str:
        """The help text of the root."""
        self.listing = True
        try:
            return super().get_help(ctx)
        finally:
            self.listing = False


def version_text() -> str:
    """Name and version of this release."""
    from console.version import VERSION

    return f"rewhisk {VERSION}"


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(version_text())
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"Exit codes: {EXIT_CODES}.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version.")
def cli() -> None:
    """rewhisk: an OpenWhisk-compatible serverless node that loses no accepted invocation.

    Start one with `make node`, or `./run.py node`; then see `./run.py invoke --help`.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code. Never raises, never shows a traceback for what a user did."""
    try:
        code = cli.main(args=None if argv is None else list(argv), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except Failure as failure:
        _say(failure.message, failure.hint)
        return failure.exit_code
    except NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return USAGE
    except ClickException as error:
        context = getattr(error, "ctx", None)
        _say(error.format_message(), f"`{context.command_path if context else PROGRAM} --help` says how")
        return USAGE
    except (Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left (`| head`): nothing to say, and nothing may be flushed into the pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def _say(message: str, hint: str) -> None:
    print(f"error: {message}" + (f"\nhint: {hint}" if hint else ""), file=sys.stderr)
