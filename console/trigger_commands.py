"""`trigger create|update|get|list|fire|delete`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from console.command import as_json, help_text, pairs_option
from console.entity_options import (
    Row,
    content_options,
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


@click.group(help=help_text(
    "Triggers: named events that fire the actions of their rules.",
    "trigger create daily", "trigger fire daily -p day monday",
))  # fmt: skip
def trigger() -> None:
    """See the help."""


@trigger.command(help=help_text(
    "Create trigger NAME. With --feed its events come from that action, which is told and given the parameters; if it fails, "
    "the trigger is not kept.",
    "trigger create daily", "trigger create daily --feed /whisk.system/alarms/alarm -p cron '0 8 * * *'",
))  # fmt: skip
@click.argument("name")
@click.option("--feed", "-f", metavar="ACTION", help="Action that feeds events.")
@content_options
@as_json
@with_api
def create(name: str, feed: str | None, content: Row, json_output: bool, api: Api) -> None:
    """See the help."""
    if feed is None:
        stored = put(api, "triggers", name, content, False)
    else:
        from console import feeds

        stored = feeds.create(api, name, full_name(feed, packaged=True), content)
    report(stored, json_output, f"created trigger {shown_name(stored)}")


@trigger.command(help=help_text(
    "Change trigger NAME, or create it. Parameters and annotations given replace all there were; of a trigger with a feed the "
    "parameters go to the feed.",
    "trigger update daily -p day tuesday",
))  # fmt: skip
@click.argument("name")
@content_options
@as_json
@with_api
def update(name: str, content: Row, json_output: bool, api: Api) -> None:
    """See the help."""
    from console import feeds

    feed = feeds.of(api, name)
    if feed is None:
        stored = put(api, "triggers", name, content, True)
    else:
        feeds.call(api, feed, "UPDATE", name, content)
        stored = api.ask("GET", path_of("triggers", name)).document
    report(stored, json_output, f"updated trigger {shown_name(stored)}, version {stored.get('version')}")


@trigger.command(
    help=help_text("Show trigger NAME with its rules; of one with a feed what the feed says of it.", "trigger get daily")
)
@click.argument("name")
@as_json
@with_api
def get(name: str, json_output: bool, api: Api) -> None:
    """See the help."""
    from console import feeds

    found = api.ask("GET", path_of("triggers", name)).document
    feed = feeds.named_in(found)
    if feed is None or json_output:
        show(found)
    else:
        show(feeds.call(api, feed, "READ", name, {}))


@trigger.command("list", help=help_text("List triggers, newest change first.", "trigger list"))
@click.argument("namespace", required=False)
@page_options
@as_json
@with_api
def list_(namespace: str | None, page: dict[str, str], json_output: bool, api: Api) -> None:
    """See the help."""
    from console.feeds import named_in
    from console.output import moment

    table(
        rows(api, "triggers", namespace_of(namespace), page), json_output, ("trigger", "version", "updated", "feed"),
        lambda row: (shown_name(row), row.get("version"), moment(row.get("updated")), named_in(row) or ""),
        "no triggers: `run.py trigger create NAME` makes one",
    )  # fmt: skip


@trigger.command(help=help_text(
    "Fire trigger NAME: its active rules' actions run with these parameters. Without an active rule nothing happens, and the "
    "answer says so.",
    "trigger fire daily", "trigger fire daily -p day monday", "trigger fire daily -P event.json",
))  # fmt: skip
@click.argument("name")
@pairs_option("--param", "-p", "params", help="Parameter; may be repeated.")
@click.option("--param-file", "-P", type=click.Path(path_type=Path), metavar="FILE", help="Parameters as a JSON object.")
@as_json
@with_api
def fire(
    name: str, params: tuple[tuple[str, str], ...], param_file: Path | None, json_output: bool, api: Api
) -> None:  # fmt: skip
    """See the help."""
    from console.invoke_command import arguments
    from console.output import note, on_terminal

    reply = api.ask("POST", path_of("triggers", name), arguments(params, param_file))
    activation = reply.document.get("activationId")
    if json_output:
        show({"activationId": activation})
    elif activation:
        print(f"ok: fired trigger {name} with id {activation}" if on_terminal() else activation)
    if not activation:
        note(f"trigger {name} has no active rule: nothing was done")


@trigger.command(help=help_text("Delete trigger NAME; its rules stay and are inactive.", "trigger delete daily"))
@click.argument("name")
@as_json
@with_api
def delete(name: str, json_output: bool, api: Api) -> None:
    """See the help."""
    from console import feeds

    feed = feeds.of(api, name)
    if feed is not None:
        feeds.call(api, feed, "DELETE", name, {})
    gone = api.ask("DELETE", path_of("triggers", name)).document
    report(gone, json_output, f"deleted trigger {shown_name(gone)}")
