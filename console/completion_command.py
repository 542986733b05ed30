"""`completion bash|zsh|fish`: the script that makes a shell complete the commands."""

from __future__ import annotations

import rich_click as click

from console.command import help_text


@click.command(help=help_text(
    "Print the completion script of a shell; the shell completes `run.py …` and `./run.py …` once it has read it.",
    "completion bash > ~/.local/share/bash-completion/completions/run.py", "completion zsh > ~/.zfunc/_run.py",
))  # fmt: skip
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """See the help."""
    from click.shell_completion import get_completion_class

    from console.cli import COMPLETE_VARIABLE, PROGRAM, cli

    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"no completion for {shell}")
    print(found(cli, {}, PROGRAM, COMPLETE_VARIABLE).source())
