"""`status` and `drain`: a running node seen and stopped from outside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import rich_click as click

from console.api import Api
from console.command import as_json, help_text, where
from console.exits import WrongUsage


def operator(place: str | None, apihost: str | None, auth: str | None, data_dir: Path) -> Api:
    """A client that speaks as operator if the node's admin key is at hand, else as its namespace.

    `place` is a URL, or the number of a node of this data directory.
    """
    from config.credentials import admin_pair
    from console.connection import find, normal_url, read_local

    number = int(place) if place is not None and place.isdecimal() else None
    target = find(apihost or (place if number is None else None), auth, data_dir, node=number)
    local = read_local(data_dir, number)
    if not auth and local.admin_key and local.url and normal_url(local.url) == target.url:
        target = replace(target, auth=admin_pair(local.admin_key))
    return Api(target)


@click.command(help=help_text(
    "Show what a node is doing: work, containers, memory, journal. NODE is a URL or the number of a node of the data directory.",
    "status", "status --live", "status http://127.0.0.1:3233 --json",
))  # fmt: skip
@click.argument("node", required=False)
@click.option("--live/--once", default=False, help="A full screen that goes on until q is pressed; once is the default.")
@click.option("--lines-from", type=int, hidden=True, help="A descriptor from which the node's own lines come.")
@as_json
@where
def status(
    node: str | None, apihost: str | None, auth: str | None, data_dir: Path, json_output: bool, *, live: bool,
    lines_from: int | None,
) -> None:  # fmt: skip
    """See the help."""
    if live:
        show_live(operator(node, apihost, auth, data_dir), json_output, lines_from)
    else:
        show_once(operator(node, apihost, auth, data_dir), json_output)


def show_live(api: Api, json_output: bool, lines_from: int | None) -> None:
    """The full screen. Raises WrongUsage where there is none, Unreachable and Refused before it begins."""
    import sys

    from console.live import LiveConsole

    if json_output:
        hint = "GET /admin/status with `Accept: text/event-stream` streams JSON"
        raise WrongUsage("--live is for people, --json for scripts", hint)
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise WrongUsage("--live needs a terminal", "`run.py status` prints the state once, --json as JSON")
    if lines_from is None:
        api.ask("GET", "/admin/status")
    LiveConsole(api, lines_from).run()


def show_once(api: Api, json_output: bool) -> None:
    """The state on one screen."""
    from console.output import print_json, print_table
    from console.status_view import container_rows, head_lines, queue_rows

    found = api.ask("GET", "/admin/status").document
    if json_output:
        print_json(found)
        return
    print("\n".join(head_lines(found)))
    if rows := queue_rows(found):
        print()
        print_table(("queue", "namespace", "waiting", "why"), rows, "")
    if "containers" in found:
        print()
        print_table(("container", "state", "kind", "MB", "action", "active", "idle for"), container_rows(found), "no containers")


@click.command(help=help_text(
    "Let a node or a controller refuse new work, finish or journal what runs, and stop; what is left is shown until it is gone. "
    "NODE is a URL or the number of a node of the data directory.",
    "drain", "drain http://127.0.0.1:3233", "drain 1 --no-wait",
))  # fmt: skip
@click.argument("node", required=False)
@click.option("--wait/--no-wait", default=True, help="Show the progress until it has stopped.")
@where
def drain(node: str | None, apihost: str | None, auth: str | None, data_dir: Path, *, wait: bool) -> None:
    """See the help."""
    api = operator(node, apihost, auth, data_dir)
    api.ask("POST", "/admin/drain")
    print(f"ok: {api.target.url} drains", flush=True)
    if wait:
        follow(api)


DRAIN_LOOK = 0.3
"""Seconds between two looks at what is left."""


def follow(api: Api) -> None:
    """Say what is left whenever that changes, until the node doesn't answer any more or doesn't tell."""
    import time

    from console.exits import Refused, Unreachable
    from console.status_view import left

    said = ""
    while True:
        try:
            now = left(api.ask("GET", "/admin/status").document)
        except Refused:
            return
        except Unreachable:
            print("ok: it has stopped", flush=True)
            return
        if now != said:
            print(f"    {now}", flush=True)
            said = now
        time.sleep(DRAIN_LOOK)
