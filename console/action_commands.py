"""`action put|get|list|delete`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import rich_click as click

from console.command import as_json, help_text, pairs_option, where


@click.group(help=help_text("Put, get, list and delete actions.", "action put hello hello.py", "action list"))
def action() -> None:
    """See the help."""


@action.command(help=help_text(
    "Create action NAME from FILE, or update it.\n\nThe kind follows from the extension; of a .zip archive from __main__.py, "
    "package.json or index.js at its top. Values are JSON if they can be read as JSON, else text.",
    "action put hello hello.py", "action put tools/resize resize.zip --kind nodejs:20 --memory 512 --param width 100",
    "action put both --sequence hello,/whisk.system/utils/echo",
))  # fmt: skip
@click.argument("name")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--kind", metavar="KIND", help="Runtime, for instance python:3 or nodejs:20.")
@click.option("--main", metavar="FUNCTION", help="Function to call; default main.")
@click.option("--docker", metavar="IMAGE", help="Image that runs the action (kind blackbox).")
@pairs_option("--param", "-p", "params", help="Default parameter; may be repeated.")
@pairs_option("--annotation", "-a", "annotations", help="Annotation; may be repeated.")
@click.option("--timeout", "-t", type=int, metavar="MS", help="Time limit of a run in milliseconds.")
@click.option("--memory", "-m", type=int, metavar="MB", help="Memory limit.")
@click.option("--logsize", "-l", "logs", type=int, metavar="MB", help="Limit of the logs.")
@click.option("--concurrency", "-c", type=int, metavar="N", help="Activations that one container runs at a time.")
@click.option("--sequence", metavar="A,B,…", help="Make a sequence of these actions instead of code.")
@click.option("--web", type=click.Choice(["true", "raw", "false"]), help="Annotations of a web action.")
@as_json
@where
def put(
    name: str, file: Path | None, apihost: str | None, auth: str | None, data_dir: Path, json_output: bool, **wanted: Any
) -> None:
    """See the help."""
    from console.action_file import Wanted, body_of
    from console.api import Api, entity_path
    from console.connection import find
    from console.output import print_json

    body = body_of(file, Wanted(**wanted))
    path = entity_path(name, "actions")
    stored = Api(find(apihost, auth, data_dir)).ask("PUT", path, body, {"overwrite": "true"}).document
    if json_output:
        print_json(stored)
        return
    code = stored.get("exec")
    kind = code.get("kind") if isinstance(code, dict) else "?"
    print(f"ok: action {stored.get('namespace')}/{stored.get('name')}, kind {kind}, version {stored.get('version')}")


@action.command(help=help_text("Show action NAME.", "action get hello", "action get hello --code > hello.py"))
@click.argument("name")
@click.option("--code", is_flag=True, help="Only the code; an archive as bytes.")
@as_json
@where
def get(name: str, code: bool, apihost: str | None, auth: str | None, data_dir: Path, json_output: bool) -> None:
    """See the help."""
    import base64

    from console.api import Api, entity_path
    from console.connection import find
    from console.exits import WrongUsage
    from console.output import print_json

    query = {"code": "true" if code else "false"}
    stored = Api(find(apihost, auth, data_dir)).ask("GET", entity_path(name, "actions"), None, query).document
    if not code or json_output:
        print_json(stored)
        return
    found = stored.get("exec")
    text = found.get("code") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(text, str):
        raise WrongUsage(f"action {name} has no code of its own")
    binary = found.get("binary") is True
    click.echo(base64.b64decode(text) if binary else text, nl=False)


@action.command("list", help=help_text("List actions, newest change first.", "action list", "action list tools --limit 200"))
@click.argument("package", required=False)
@click.option("--limit", type=click.IntRange(0, 200), default=30, show_default=True, help="How many; 0 means 200.")
@click.option("--skip", type=click.IntRange(0), default=0, help="How many to leave out.")
@as_json
@where
def list_(
    package: str | None, limit: int, skip: int, apihost: str | None, auth: str | None, data_dir: Path, json_output: bool
) -> None:
    """See the help."""
    from console.api import Api
    from console.connection import find
    from console.output import moment, print_json, print_table

    path = "namespaces/_/actions" + (f"/{quote(package, safe='')}/" if package else "")
    rows = Api(find(apihost, auth, data_dir)).ask("GET", path, None, {"limit": str(limit), "skip": str(skip)}).body
    if json_output:
        print_json(rows)
        return
    shown = [
        (f"{row.get('namespace')}/{row.get('name')}", _kind(row), row.get("version"), moment(row.get("updated")))
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
    ]
    print_table(("action", "kind", "version", "updated"), shown, "no actions yet: `run.py action put NAME FILE` makes one")


def _kind(row: dict[str, object]) -> object:
    annotations = row.get("annotations")
    pairs = annotations if isinstance(annotations, list) else []
    return next((pair["value"] for pair in pairs if isinstance(pair, dict) and pair.get("key") == "exec"), "?")


@action.command(help=help_text("Delete action NAME.", "action delete hello"))
@click.argument("name")
@as_json
@where
def delete(name: str, apihost: str | None, auth: str | None, data_dir: Path, json_output: bool) -> None:
    """See the help."""
    from console.api import Api, entity_path
    from console.connection import find
    from console.output import print_json

    gone = Api(find(apihost, auth, data_dir)).ask("DELETE", entity_path(name, "actions")).document
    if json_output:
        print_json(gone)
    else:
        print(f"ok: deleted action {gone.get('namespace')}/{gone.get('name')}")
