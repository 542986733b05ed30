"""`package create|update|bind|get|list|delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from console.command import as_json, help_text
from console.entity_options import (
    Row,
    content_options,
    namespace_of,
    page_options,
    parts,
    path_of,
    put,
    report,
    rows,
    show,
    shown_name,
    table,
    with_api,
)  # fmt: skip

if TYPE_CHECKING:
    from console.api import Api

shared_option = click.option("--shared", type=click.Choice(["yes", "no"]), help="Whether everybody may read and use it.")


@click.group(help=help_text(
    "Packages: actions that belong together, and bindings to those of others.",
    "package create tools --param host db1", "package bind /whisk.system/utils mine",
))  # fmt: skip
def package() -> None:
    """See the help."""


def _body(content: Row, shared: str | None) -> Row:
    return content if shared is None else {**content, "publish": shared == "yes"}


@package.command(help=help_text("Create package NAME.", "package create tools", "package create tools --shared yes -p host db1"))
@click.argument("name")
@shared_option
@content_options
@as_json
@with_api
def create(name: str, shared: str | None, content: Row, json_output: bool, api: Api) -> None:
    """See the help."""
    stored = put(api, "packages", name, _body(content, shared), False)
    report(stored, json_output, f"created package {shown_name(stored)}")


@package.command(help=help_text(
    "Change package NAME, or create it. Parameters and annotations given replace all there were.",
    "package update tools -p host db2", "package update tools --shared no",
))  # fmt: skip
@click.argument("name")
@shared_option
@content_options
@as_json
@with_api
def update(name: str, shared: str | None, content: Row, json_output: bool, api: Api) -> None:
    """See the help."""
    stored = put(api, "packages", name, _body(content, shared), True)
    report(stored, json_output, f"updated package {shown_name(stored)}, version {stored.get('version')}")


@package.command(help=help_text(
    "Make NAME stand for the package SOURCE, one's own or a shared one of others, with parameters of its own.",
    "package bind /whisk.system/utils mine", "package bind tools mytools -p host db3",
))  # fmt: skip
@click.argument("source")
@click.argument("name")
@click.option("--overwrite", "-o", is_flag=True, help="Change a binding that exists.")
@shared_option
@content_options
@as_json
@with_api
def bind(source: str, name: str, overwrite: bool, shared: str | None, content: Row, json_output: bool, api: Api) -> None:
    """See the help."""
    namespace, provider = parts(source)
    body = {**_body(content, shared), "binding": {"namespace": namespace, "name": provider}}
    stored = put(api, "packages", name, body, overwrite)
    report(stored, json_output, f"created binding {shown_name(stored)}")


@package.command(help=help_text(
    "Show package NAME: parameters, actions, feeds.", "package get tools", "package get /whisk.system/utils --summary"
))  # fmt: skip
@click.argument("name")
@click.option("--summary", "-s", is_flag=True, help="A line for the package and each action, with their descriptions.")
@as_json
@with_api
def get(name: str, summary: bool, json_output: bool, api: Api) -> None:
    """See the help."""
    found = api.ask("GET", path_of("packages", name)).document
    if not summary or json_output:
        show(found)
        return
    lines = [("package", f"/{shown_name(found)}", found)]
    for kind, collection in (("action", "actions"), ("feed", "feeds")):
        members: Any = found.get(collection)
        lines += [(kind, f"/{shown_name(found)}/{member.get('name')}", member) for member in members or []]
    for kind, place, entity in lines:
        description = _annotation(entity, "description")
        print(f"{kind} {place}" + (f": {description}" if description else ""))


def _annotation(entity: Row, key: str) -> object:
    pairs = entity.get("annotations")
    return next((pair.get("value") for pair in pairs if pair.get("key") == key), None) if isinstance(pairs, list) else None


@package.command("list", help=help_text(
    "List packages, newest change first; those of another NAMESPACE as far as they are shared.",
    "package list", "package list /whisk.system",
))  # fmt: skip
@click.argument("namespace", required=False)
@page_options
@as_json
@with_api
def list_(namespace: str | None, page: dict[str, str], json_output: bool, api: Api) -> None:
    """See the help."""
    found = rows(api, "packages", namespace_of(namespace), page)
    table(found, json_output, ("package", "", "version", "bound to"), _cells, "no packages: `run.py package create NAME` makes one")


def _cells(row: Row) -> tuple[object, ...]:
    binding = row.get("binding")
    bound = f"/{binding.get('namespace')}/{binding.get('name')}" if isinstance(binding, dict) and binding else ""
    return shown_name(row), "shared" if row.get("publish") else "private", row.get("version"), bound


@package.command(help=help_text("Delete package NAME.", "package delete tools", "package delete tools --force"))
@click.argument("name")
@click.option("--force", "-f", is_flag=True, help="With all actions in it.")
@as_json
@with_api
def delete(name: str, force: bool, json_output: bool, api: Api) -> None:
    """See the help."""
    gone = api.ask("DELETE", path_of("packages", name), None, {"force": "true"} if force else None).document
    report(gone, json_output, f"deleted package {shown_name(gone)}")
