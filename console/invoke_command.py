"""`invoke`: call an action, wait for it or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from console.command import as_json, help_text, pairs_option, where
from console.exits import ACTION_ERROR

if TYPE_CHECKING:
    from console.api import Api


def arguments(pairs: tuple[tuple[str, str], ...], file: Path | None) -> dict[str, object]:
    """The arguments: those of the file, then those of `-p`. Raises WrongUsage unless the file holds a JSON object."""
    from console.action_file import read_code, value_of
    from console.exits import WrongUsage

    found: object = {}
    if file is not None:
        try:
            found = json.loads(read_code(file))
        except (ValueError, RecursionError) as error:
            raise WrongUsage(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise WrongUsage(f"{file} holds no JSON object", 'write {"key": value, …}')
    return {**found, **{key: value_of(text) for key, text in pairs}}


@click.command(help=help_text(
    "Invoke action NAME.\n\nWithout -b or -r it answers with the activation's id at once; with -b it waits and prints the "
    "record, with -r only the result. Values are JSON if they can be read as JSON, else text.",
    "invoke hello -r -p name Ada", "invoke hello -P arguments.json", "invoke tools/resize -b",
))  # fmt: skip
@click.argument("name")
@pairs_option("--param", "-p", "params", help="Argument; may be repeated.")
@click.option("--param-file", "-P", type=click.Path(path_type=Path), metavar="FILE", help="Arguments as a JSON object.")
@click.option("--blocking", "-b", is_flag=True, help="Wait for the result.")
@click.option("--result", "-r", is_flag=True, help="Wait, and print only the result.")
@click.option("--wait", is_flag=True, help="Wait for the record, however long it takes; the node may be restarted meanwhile.")
@as_json
@where
def invoke(
    name: str, params: tuple[tuple[str, str], ...], param_file: Path | None, blocking: bool, result: bool, wait: bool,
    apihost: str | None, auth: str | None, data_dir: Path, json_output: bool,
) -> int:  # fmt: skip
    """See the help."""
    from console.api import Api, entity_path
    from console.connection import find
    from console.output import note, on_terminal, print_json

    body, path = arguments(params, param_file), entity_path(name, "actions")
    api = Api(find(apihost, auth, data_dir))
    waits = blocking or result
    query = {"blocking": str(waits).lower(), "result": str(result).lower()}
    reply = api.call("POST", path, body, query)
    activation = reply.headers.get("x-openwhisk-activation-id") or str(reply.document.get("activationId", ""))
    if reply.status == 202 and wait:
        return _waited(api, activation, result)
    if reply.status == 202:
        if json_output:
            print_json({"activationId": activation})
        else:
            print(f"ok: invoked {name} with id {activation}" if on_terminal() else activation)
        if waits:
            note(f"not finished yet; `run.py activation get {activation}` tells when it is")
        return 0
    failed = reply.status in (500, 502) and bool(activation)
    if not failed and reply.status != 200:
        raise api.refusal(reply)
    print_json(reply.body)
    if failed:
        note(f"error: activation {activation} failed; `run.py activation logs {activation}` shows its logs")
    return ACTION_ERROR if failed else 0


def _waited(api: Api, activation: str, only_result: bool) -> int:
    """Print the record, or its result, once it is there."""
    from console.activation_commands import until_recorded
    from console.output import print_json

    path = f"namespaces/_/activations/{activation}"
    until_recorded(api, path)
    record = api.ask("GET", path).document
    response = record.get("response")
    good = isinstance(response, dict) and response.get("success") is True
    print_json(response.get("result") if only_result and isinstance(response, dict) else record)
    return 0 if good else ACTION_ERROR
