"""`trace` and `journal`: read from the store, while the node runs or not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import rich_click as click

from console.command import DATA_DIR, as_json, help_text
from console.exits import Refused, WrongUsage
from console.store_access import Place, place_options, with_store

if TYPE_CHECKING:
    from console.timeline import Entry, Timeline
    from store.contract import Store

POLL = 0.25
"""Seconds between two looks of `--follow`."""

EVENTS = ("accepted", "child_assigned", "started", "finished", "recorded", "acked", "claim", "snapshot")

data_dir_option = click.option(
    "--data-dir", type=DATA_DIR, default="./data", show_default=True, envvar="REWHISK_DATA_DIR", help="Data directory of the node."
)


async def _history(store: Store, activation_id: str) -> tuple[str, Timeline, str | None] | None:
    """Stream, timeline, and the composition that it is a part of or the trigger that fired it."""
    from console.timeline import timeline
    from store.journal_reader import JournalReader

    found, parent = None, None
    for stream in await store.journal.streams():
        reader = JournalReader(store.journal, stream)
        if found is None and (entries := await reader.history(activation_id)):
            found = stream, timeline(activation_id, entries)
        parent = parent or await reader.parent(activation_id)
    return None if found is None else (*found, parent)


@click.command(help=help_text(
    "Show the life of activation ID as the journal tells it: state, when, how long since the state before, container, attempt.",
    "trace 3f2a9f0c6f8b4bb0aa9f0c6f8bbbb001",
))  # fmt: skip
@click.argument("id")
@as_json
@place_options
def trace(id: str, json_output: bool, place: Place) -> None:
    """See the help."""
    from console.output import milliseconds, moment, note, print_json, print_table

    if len(id) != 32 or not set(id) <= set("0123456789abcdef"):
        raise WrongUsage(f"{id!r} is no activation id: it has 32 characters, 0-9 and a-f")
    found = with_store(place, lambda store: _history(store, id))
    if found is None:
        hint = "it keeps what ended for --keep-journal (1 day); `run.py activation get` asks the records"
        raise Refused(f"the journal knows nothing of {id}", hint)
    stream, line, parent = found
    if json_output:
        steps = [{name: getattr(step, name) for name in step.__struct_fields__} for step in line.steps]
        family = {"parent": parent, "children": line.children}
        print_json({"activationId": id, "stream": stream, "stage": line.stage.value, **family, "steps": steps})
        return
    rows = [
        (
            step.state, moment(step.at, precise=True), "" if step.after is None else f"+{milliseconds(step.after)}",
            step.container, step.attempt or "", step.note,
        )
        for step in line.steps
    ]  # fmt: skip
    print_table(("state", "when", "after", "container", "attempt", ""), rows, "")
    if parent is not None:
        note(f"part of {parent}: `trace {parent}` shows the whole")
    if not line.finished:
        age = milliseconds(time.time() * 1000 - line.steps[-1].at)
        note(f"not finished: {line.stage.value} for {age}")


def stream_of(streams: list[str], node: str | None) -> str:
    """The stream of a node by its number, or by the stream's name; of the only one if none is named. Raises WrongUsage."""
    name = "invoker0" if node is None else f"invoker{node}" if node.isdigit() else node
    if node is None and name not in streams and len(streams) == 1:
        name = streams[0]
    if name not in streams:
        raise WrongUsage(f"there is no journal {name} here", f"there are: {', '.join(streams) or 'none'}; --node chooses one")
    return name


async def _entries(store: Store, stream: str, documents: int, follow: bool) -> AsyncIterator[Entry]:
    """Events of the last `documents` documents (0: all), then of new ones as they come."""
    from store.journal_reader import JournalReader

    reader = JournalReader(store.journal, stream)
    last = await store.journal.last(stream)
    first = max(1, last.n - documents + 1) if last and documents else 1
    while True:
        newest = await store.journal.last(stream)
        if newest and newest.n >= first:
            async for entry in reader.events(first, newest.n):
                yield entry
            first = newest.n + 1
        if not follow:
            return
        await asyncio.sleep(POLL)


@click.command(help=help_text(
    "Show the events of a node's journal, oldest first. Arguments and results stay hidden unless asked for.",
    "journal --follow", "journal --event finished --since 10m", "journal --activation 3f2a9f0c6f8b4bb0aa9f0c6f8bbbb001 --show-args",
    "journal --at 1200", "journal --check",
))  # fmt: skip
@click.option("--node", metavar="N", help="Number of the node (default 0), or controllerN: sequences, conductors, triggers.")
@click.option("--activation", metavar="ID", help="Only events of this activation.")
@click.option("--event", "names", type=click.Choice(EVENTS), multiple=True, help="Only these events; may be repeated.")
@click.option("--since", metavar="TIME", help="Only from this time on: epoch ms, or how long ago (10m).")
@click.option("--tail", type=click.IntRange(0), default=100, show_default=True, help="Newest events; 0: all.")
@click.option("--follow", "-f", is_flag=True, help="Go on with new events until Ctrl-C.")
@click.option("--show-args", is_flag=True, help="Show arguments and results.")
@click.option("--at", type=click.IntRange(1), metavar="N", help="The node's state after document N, instead of events.")
@click.option("--check", is_flag=True, help="Replay all of it against its snapshots and the records: exit code 1 if they differ.")
@as_json
@place_options
def journal(
    node: str | None, activation: str | None, names: tuple[str, ...], since: str | None, tail: int, follow: bool,
    show_args: bool, at: int | None, check: bool, json_output: bool, place: Place,
) -> int:  # fmt: skip
    """See the help."""
    from console.journal_past import show_check, show_state

    if at is not None:
        return with_store(place, lambda store: show_state(store, node, at, json_output))
    if check:
        return with_store(place, lambda store: show_check(store, node, json_output))
    show_events(node, activation, names, since, tail, follow, show_args, json_output, place)
    return 0


def show_events(
    node: str | None, activation: str | None, names: tuple[str, ...], since: str | None, tail: int, follow: bool,
    show_args: bool, json_output: bool, place: Place,
) -> None:  # fmt: skip
    """The events that the filters let through, and new ones as they come if `follow`."""
    from collections import deque

    from console.activation_commands import when
    from console.timeline import matches

    start = when(since, time.time())
    after = None if start is None else int(start)
    filtered = bool(activation or names or start)

    async def show(store: Store) -> None:
        stream = stream_of(await store.journal.streams(), node)
        old: deque[Entry] = deque(maxlen=tail or None)
        async for entry in _entries(store, stream, 0 if filtered else tail, follow=False):
            if matches(entry, activation, names, after):
                old.append(entry)
        for entry in old:
            _show(entry, show_args, json_output)
        if not follow:
            return
        last = await store.journal.last(stream)
        seen = old[-1][0] if old else 0
        async for entry in _entries(store, stream, max(1, (last.n if last else 0) - seen), follow=True):
            if entry[0] > seen and matches(entry, activation, names, after):
                _show(entry, show_args, json_output)

    with_store(place, show)


def _show(entry: Entry, show_args: bool, json_output: bool) -> None:
    from console.output import moment, safe
    from console.timeline import document_of, note_of
    from messages.events import Started

    document = document_of(entry, show_args=show_args)
    if json_output:
        print(json.dumps(document), flush=True)
        return
    number, epoch, event = entry
    container = f" {event.container} attempt {event.attempt}" if isinstance(event, Started) else ""
    args = ""
    if show_args:
        shown = document.get("message", {}).get("content") if event.name == "accepted" else document.get("result")
        args = "" if shown is None else f"  {json.dumps(shown)}"
    note = note_of(event) if event.name != "snapshot" else f"{len(document.get('live', []))} live"
    what = f"{event.name:<8}  {getattr(event, 'id', '-'):<32} {container} {note}"
    print(safe(f"{number:>8}  {epoch:>3}  {moment(event.at, precise=True)}  {what}".rstrip() + args), flush=True)
