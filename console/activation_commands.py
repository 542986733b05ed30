"""`activation list|get|logs|result|retry`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from console.command import as_json, help_text, where
from console.exits import WrongUsage

if TYPE_CHECKING:
    from console.api import Api

SILENCE = 60.0
"""Seconds without a sign of life after which a stream of lines counts as broken; the node gives one every 15."""

UNKNOWN_FOR = 10.0
"""Seconds for which `--wait` goes on asking for an activation that is neither recorded nor unfinished: records come later."""

AWAY_FOR = 60.0
"""Seconds for which `--wait` goes on asking a node that does not answer: it may be starting again."""

wait_option = click.option("--wait", is_flag=True, help="Wait until it has ended and its record is there.")

STATUS = ("success", "application error", "developer error", "internal error")
"""Upstream's status codes 0 to 3 in words."""


@click.group(help=help_text("Records, logs and results of invocations.", "activation list", "activation logs --last"))
def activation() -> None:
    """See the help."""


def when(text: str | None, now: float) -> str | None:
    """Epoch ms for a point in time: epoch ms itself, or a duration before `now` (epoch seconds). Raises WrongUsage."""
    from config import parse

    if text is None:
        return None
    if text.isdecimal():
        return text
    try:
        return str(int((now - parse.duration(text)) * 1000))
    except ValueError as error:
        raise WrongUsage(f"--since and --upto take epoch milliseconds or how long ago: {error}") from None


@activation.command("list", help=help_text(
    "List activations, newest first.", "activation list", "activation list --name hello --since 10m --limit 200"
))  # fmt: skip
@click.option("--name", metavar="NAME", help="Only of this action, or PACKAGE/ACTION.")
@click.option("--since", metavar="TIME", help="Only from this time on: epoch ms, or how long ago (10m).")
@click.option("--upto", metavar="TIME", help="Only up to this time.")
@click.option("--limit", type=click.IntRange(0, 200), default=30, show_default=True, help="How many; 0 means 200.")
@click.option("--skip", type=click.IntRange(0), default=0, help="How many to leave out.")
@click.option("--dead", is_flag=True, help="Only those that the platform gave up: `activation retry` asks for one once more.")
@as_json
@where
def list_(
    name: str | None, since: str | None, upto: str | None, limit: int, skip: int, dead: bool,
    apihost: str | None, auth: str | None, data_dir: Path, json_output: bool,
) -> None:  # fmt: skip
    """See the help."""
    from console.api import Api
    from console.connection import find
    from console.output import print_json, print_table

    now = time.time()
    asked = {"name": name, "since": when(since, now), "upto": when(upto, now), "limit": str(limit), "skip": str(skip)}
    query = {key: value for key, value in asked.items() if value is not None} | ({"dead": "true"} if dead else {})
    rows = Api(find(apihost, auth, data_dir)).ask("GET", "namespaces/_/activations", None, query).body
    if json_output:
        print_json(rows)
        return
    shown = [_row(row) for row in (rows if isinstance(rows, list) else []) if isinstance(row, dict)]
    columns = ("started", "activation", "kind", "start", "duration", "status", "action")
    none = "nothing was given up" if dead else "no activations yet: `run.py invoke NAME` makes one"
    print_table(columns, shown, none)


def _row(row: dict[str, object]) -> tuple[object, ...]:
    from console.output import milliseconds, moment

    annotations = row.get("annotations")
    pairs = annotations if isinstance(annotations, list) else []
    notes = {str(pair.get("key")): pair.get("value") for pair in pairs if isinstance(pair, dict)}
    code = row.get("statusCode")
    status = STATUS[code] if isinstance(code, int) and 0 <= code < len(STATUS) else "-"
    warm = "cold" if "initTime" in notes else "warm"
    action = "/".join(str(notes.get("path", f"{row.get('namespace')}/{row.get('name')}")).split("/")[1:])
    return (
        moment(row.get("start")), row.get("activationId"), notes.get("kind", "-"), warm,
        milliseconds(row.get("duration")), status, f"{action}:{row.get('version')}",
    )  # fmt: skip


def _id_of(api: Api, given: str | None, last: bool) -> str:
    if given and not last:
        return given
    if given or not last:
        raise WrongUsage("name one activation by its ID, or take the newest with --last")
    rows = api.ask("GET", "namespaces/_/activations", None, {"limit": "1", "skip": "0"}).body
    if not isinstance(rows, list) or not rows:
        raise WrongUsage("there are no activations yet")
    return str(rows[0]["activationId"])


def until_recorded(api: Api, path: str) -> None:
    """Return when the activation at `path` has its record, or nobody has known of it for a while, or the node stays away."""
    from console.exits import Unreachable

    known = seen = time.monotonic()
    while True:
        try:
            status = api.call("GET", path).status
            pending = status == 404 and api.call("GET", path, None, {"pending": "true"}).status == 200
        except Unreachable:
            status, pending = 503, False
        now = time.monotonic()
        seen = seen if status == 503 else now
        known = now if pending or status == 503 else known
        if status not in (404, 503) or now > known + UNKNOWN_FOR or now > seen + AWAY_FOR:
            return
        time.sleep(0.2)


def _fetch(
    given: str | None, last: bool, part: str, target: tuple[str | None, str | None, Path], *, wait: bool
) -> dict[str, object]:
    from urllib.parse import quote

    from console.api import Api
    from console.connection import find

    api = Api(find(*target))
    path = f"namespaces/_/activations/{quote(_id_of(api, given, last), safe='')}"
    if wait:
        until_recorded(api, path)
    return api.ask("GET", f"{path}{part}").document


@activation.command(help=help_text(
    "Show the record of an activation; while it is not finished, its state.", "activation get 3f2a9f0c6f8b4bb0aa9f0c6f8bbbb001",
    "activation get --last",
))  # fmt: skip
@click.argument("id", required=False)
@click.option("--last", is_flag=True, help="The newest activation.")
@wait_option
@as_json
@where
def get(
    id: str | None, last: bool, wait: bool, apihost: str | None, auth: str | None, data_dir: Path, json_output: bool
) -> None:
    """See the help."""
    from urllib.parse import quote

    from console.api import Api
    from console.connection import find
    from console.output import milliseconds, note, print_json

    api = Api(find(apihost, auth, data_dir))
    path = f"namespaces/_/activations/{quote(_id_of(api, id, last), safe='')}"
    if wait:
        until_recorded(api, path)
    reply = api.call("GET", path)
    if reply.status == 404:
        pending = api.call("GET", path, None, {"pending": "true"})
        if pending.status == 200:
            print_json(pending.body)
            since = pending.document.get("since")
            age = milliseconds(time.time() * 1000 - since) if isinstance(since, int | float) else "some time"
            if not json_output:
                note(f"not finished yet: {pending.document.get('state', 'pending')} for {age}")
            return
    if reply.status != 200:
        raise api.refusal(reply)
    print_json(reply.body)


def _follow(given: str | None, last: bool, target: tuple[str | None, str | None, Path]) -> None:
    """Print lines as they come, until the end. Raises Unreachable, Refused."""
    from urllib.parse import quote

    from console.api import CONNECT_TIMEOUT, Api
    from console.connection import find
    from console.events import events
    from console.output import note, on_terminal, safe

    api = Api(find(*target))
    path = f"/api/v1/namespaces/_/activations/{quote(_id_of(api, given, last), safe='')}/logs"
    for name, data in events(api, path, CONNECT_TIMEOUT, SILENCE):
        if name == "line":
            print(safe(data) if on_terminal() else data, flush=True)
        elif name == "end" and isinstance(data, dict):
            note(f"ended: {data.get('status')}")
            return
    note("the node went away before the end")


@activation.command(help=help_text("Print the logs of an activation.", "activation logs --last", "activation logs --follow ID"))
@click.argument("id", required=False)
@click.option("--last", is_flag=True, help="The newest activation.")
@click.option("--follow", "-f", is_flag=True, help="Go on while it runs, line by line as it prints.")
@wait_option
@as_json
@where
def logs(
    id: str | None, last: bool, follow: bool, wait: bool, apihost: str | None, auth: str | None, data_dir: Path, json_output: bool
) -> None:
    """See the help."""
    from console.output import note, on_terminal, print_json, safe

    if follow:
        if json_output:
            raise WrongUsage("--follow prints lines: leave --json out")
        _follow(id, last, (apihost, auth, data_dir))
        return
    found = _fetch(id, last, "/logs", (apihost, auth, data_dir), wait=wait)
    if json_output:
        print_json(found)
        return
    lines = found.get("logs")
    for line in lines if isinstance(lines, list) else []:
        print(safe(line) if on_terminal() else line)
    if not lines:
        note("no logs")


@activation.command(help=help_text("Print the result of an activation.", "activation result --last"))
@click.argument("id", required=False)
@click.option("--last", is_flag=True, help="The newest activation.")
@wait_option
@as_json
@where
def result(
    id: str | None, last: bool, wait: bool, apihost: str | None, auth: str | None, data_dir: Path, json_output: bool
) -> None:
    """See the help."""
    from console.output import print_json

    found = _fetch(id, last, "/result", (apihost, auth, data_dir), wait=wait)
    print_json(found if json_output else found.get("result"))


@activation.command(help=help_text(
    "Ask once more for what the platform gave up (`activation list --dead`), as long as the journal holds what was asked.\n\n"
    "It runs under an id of its own, which is printed.",
    "activation retry 3f2a9f0c6f8b4bb0aa9f0c6f8bbbb001", "activation retry --wait ID",
))  # fmt: skip
@click.argument("id")
@wait_option
@as_json
@where
def retry(id: str, wait: bool, apihost: str | None, auth: str | None, data_dir: Path, json_output: bool) -> None:
    """See the help."""
    from urllib.parse import quote

    from console.api import Api
    from console.connection import find
    from console.output import note, on_terminal, print_json

    api = Api(find(apihost, auth, data_dir))
    path = "namespaces/_/activations"
    made = str(api.ask("POST", f"{path}/{quote(id, safe='')}/retry").document.get("activationId", ""))
    if not wait:
        print_json({"activationId": made}) if json_output else print(f"ok: retried as {made}" if on_terminal() else made)
        return
    note(f"retried as {made}")
    until_recorded(api, f"{path}/{made}")
    print_json(api.ask("GET", f"{path}/{made}").body)
