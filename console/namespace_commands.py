"""`namespace list|get`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from console.command import as_json, help_text
from console.entity_options import namespace_of, rows, shown_name, with_api

if TYPE_CHECKING:
    from console.api import Api

COLLECTIONS = ("packages", "actions", "triggers", "rules")


@click.group(help=help_text("Namespaces: whose entities are meant.", "namespace list", "namespace get"))
def namespace() -> None:
    """See the help."""


@namespace.command("list", help=help_text("List the namespace that the credentials select.", "namespace list"))
@as_json
@with_api
def list_(json_output: bool, api: Api) -> None:
    """See the help."""
    from console.output import print_json

    found = api.ask("GET", "namespaces").body
    if json_output:
        print_json(found)
    else:
        print("\n".join(map(str, found if isinstance(found, list) else [])))


@namespace.command(help=help_text(
    "Show what is in a namespace: packages, actions, triggers, rules.", "namespace get", "namespace get /guest --json"
))  # fmt: skip
@click.argument("name", required=False)
@as_json
@with_api
def get(name: str | None, json_output: bool, api: Api) -> None:
    """See the help."""
    from console.output import print_json, print_table

    place = namespace_of(name)
    found = {collection: rows(api, collection, place, {"limit": "0", "skip": "0"}) for collection in COLLECTIONS}
    if json_output:
        print_json(found)
        return
    shown = [(kind.removesuffix("s"), shown_name(row), row.get("version")) for kind, members in found.items() for row in members]
    print_table(("", "name", "version"), shown, "nothing there yet")
