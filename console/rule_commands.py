"""`rule create|update|get|status|list|enable|disable|delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from console.command import as_json, help_text, pairs_option
from console.entity_options import (
    Row,
    full_name,
    namespace_of,
    page_options,
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

annotations_option = pairs_option("--annotation", "-a", "annotations", help="Annotation; may be repeated.")


@click.group(help=help_text(
    "Rules: which action a trigger fires.", "rule create everyDay daily report", "rule disable everyDay"
))  # fmt: skip
def rule() -> None:
    """See the help."""


def _body(trigger: str, action: str, annotations: tuple[tuple[str, str], ...]) -> Row:
    from console.action_file import key_values

    body: Row = {"trigger": full_name(trigger), "action": full_name(action, packaged=True)}
    return {**body, "annotations": key_values(annotations)} if annotations else body


@rule.command(help=help_text("Create rule NAME: TRIGGER fires ACTION.", "rule create everyDay daily reports/send"))
@click.argument("name")
@click.argument("trigger")
@click.argument("action")
@annotations_option
@as_json
@with_api
def create(
    name: str, trigger: str, action: str, annotations: tuple[tuple[str, str], ...], json_output: bool, api: Api
) -> None:  # fmt: skip
    """See the help."""
    stored = put(api, "rules", name, _body(trigger, action, annotations), False)
    report(stored, json_output, f"created rule {shown_name(stored)}")


@rule.command(help=help_text("Change rule NAME, or create it; its status stays.", "rule update everyDay daily reports/mail"))
@click.argument("name")
@click.argument("trigger")
@click.argument("action")
@annotations_option
@as_json
@with_api
def update(
    name: str, trigger: str, action: str, annotations: tuple[tuple[str, str], ...], json_output: bool, api: Api
) -> None:  # fmt: skip
    """See the help."""
    stored = put(api, "rules", name, _body(trigger, action, annotations), True)
    report(stored, json_output, f"updated rule {shown_name(stored)}, {stored.get('status')}, version {stored.get('version')}")


@rule.command(help=help_text("Show rule NAME.", "rule get everyDay"))
@click.argument("name")
@as_json
@with_api
def get(name: str, json_output: bool, api: Api) -> None:
    """See the help."""
    show(api.ask("GET", path_of("rules", name)).document)


@rule.command(help=help_text("Tell whether rule NAME is active.", "rule status everyDay"))
@click.argument("name")
@as_json
@with_api
def status(name: str, json_output: bool, api: Api) -> None:
    """See the help."""
    found = api.ask("GET", path_of("rules", name)).document
    if json_output:
        show({"status": found.get("status")})
    else:
        print(found.get("status"))


@rule.command("list", help=help_text("List rules with their status, newest change first.", "rule list", "rule list --limit 200"))
@click.argument("namespace", required=False)
@page_options
@as_json
@with_api
def list_(namespace: str | None, page: dict[str, str], json_output: bool, api: Api) -> None:
    """See the help."""
    found = rows(api, "rules", namespace_of(namespace), page)
    # The list has no status: each rule is asked for it, as wsk does; one that was deleted meanwhile has none.
    whole = [{**row, **api.call("GET", path_of("rules", f"/{shown_name(row)}")).document, "name": row.get("name")} for row in found]
    table(
        whole, json_output, ("rule", "status", "trigger", "action"),
        lambda row: (shown_name(row), row.get("status"), _place(row.get("trigger")), _place(row.get("action"))),
        "no rules: `run.py rule create NAME TRIGGER ACTION` makes one",
    )  # fmt: skip


def _place(name: object) -> str:
    return f"{name.get('path')}/{name.get('name')}" if isinstance(name, dict) else str(name)


@rule.command(help=help_text("Let the trigger of rule NAME fire its action.", "rule enable everyDay"))
@click.argument("name")
@with_api
def enable(name: str, api: Api) -> None:
    """See the help."""
    _set(api, name, "active")
    print(f"ok: enabled rule {name}")


@rule.command(help=help_text("Stop the trigger of rule NAME from firing its action.", "rule disable everyDay"))
@click.argument("name")
@with_api
def disable(name: str, api: Api) -> None:
    """See the help."""
    _set(api, name, "inactive")
    print(f"ok: disabled rule {name}")


def _set(api: Api, name: str, status: str) -> None:
    api.ask("POST", path_of("rules", name), {"status": status})


@rule.command(help=help_text("Delete rule NAME; its trigger and action stay.", "rule delete everyDay"))
@click.argument("name")
@click.option("--disable", is_flag=True, help="Disable it first; wsk has this, and it changes nothing.")
@as_json
@with_api
def delete(name: str, disable: bool, json_output: bool, api: Api) -> None:
    """See the help."""
    if disable:
        _set(api, name, "inactive")
    gone = api.ask("DELETE", path_of("rules", name)).document
    report(gone, json_output, f"deleted rule {shown_name(gone)}")
