"""`limits set|get|delete`: what a namespace may do, in the store, in upstream's document `<namespace>/limits`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import rich_click as click

from console import subjects
from console.command import as_json, help_text
from console.exits import WrongUsage
from console.store_access import Place, place_options, with_store
from console.subjects import Document
from store.contract import Store

Function = TypeVar("Function", bound=Callable[..., Any])

COUNT = click.IntRange(0, 2**31 - 1)
KINDS, SIZE, DURATION = "KINDS", "SIZE", "DURATION"

FIELDS: dict[str, tuple[object, str]] = {
    "invocationsPerMinute": (COUNT, "Invocations in a minute; 0 refuses all."),
    "concurrentInvocations": (COUNT, "Invocations at the same time; 0 refuses all."),
    "firesPerMinute": (COUNT, "Trigger fires in a minute."),
    "allowedKinds": (KINDS, "Kinds that may be put, with commas between them; an empty text allows all."),
    "storeActivations": (click.BOOL, "Whether records are kept."),
    "minActionMemory": (COUNT, "Least memory limit of an action, MB."),
    "maxActionMemory": (COUNT, "Largest memory limit of an action, MB."),
    "minActionLogs": (COUNT, "Least log limit of an action, MB."),
    "maxActionLogs": (COUNT, "Largest log limit of an action, MB."),
    "minActionTimeout": (COUNT, "Least time limit of an action, ms."),
    "maxActionTimeout": (COUNT, "Largest time limit of an action, ms."),
    "minActionConcurrency": (COUNT, "Least concurrency in a container."),
    "maxActionConcurrency": (COUNT, "Largest concurrency in a container."),
    "maxActionInstances": (COUNT, "Containers of one action."),
    "maxParameterSize": (SIZE, "Parameters of an entity, for instance '1 MB'."),
    "maxPayloadSize": (SIZE, "Payload of an invocation."),
    "truncationSize": (SIZE, "Where a result is cut."),
    "warmedContainerKeepingCount": (COUNT, "Warm containers kept of an action."),
    "warmedContainerKeepingTimeout": (DURATION, "How long they are kept, for instance '10 minutes'."),
}
"""All fields of the document, in upstream's names: the option's type and what it says. What the node can't do it only shows."""

_SIZE = re.compile(r"\d{1,12} ?(?:B|KB|MB|GB)", re.IGNORECASE)
_DURATION = re.compile(r"\d{1,9} ?(?:ms|millis?|milliseconds?|s|seconds?|m|minutes?|h|hours?|d|days?)", re.IGNORECASE)


@click.group(help=help_text(
    "What a namespace may do, where that differs from the node's own limits. A running node sees a change within 5 seconds.",
    "limits set alice --invocationsPerMinute 120 --maxActionMemory 512", "limits get alice",
))  # fmt: skip
def limits() -> None:
    """See the help."""


def _option_names(field: str) -> tuple[str, str]:
    """wskadmin's spelling, and the one that the other commands have."""
    return f"--{field}", "--" + re.sub(r"(?=[A-Z])", "-", field).lower()


def field_options(function: Function) -> Function:
    """Adds an option for every field."""
    for field, (kind, text) in reversed(FIELDS.items()):
        shown = kind if isinstance(kind, click.ParamType) else click.STRING
        names = _option_names(field)
        function = click.option(*names, field.lower(), type=shown, metavar=_metavar(kind), help=text)(function)
    return function


def _metavar(kind: object) -> str:
    return "true|false" if kind is click.BOOL else "N" if kind is COUNT else str(kind)


@limits.command("set", help=help_text(
    "Set limits of NAMESPACE; those not named stay.",
    "limits set alice --invocationsPerMinute 120", "limits set alice --allowedKinds python:3,nodejs:20 --storeActivations false",
))  # fmt: skip
@click.argument("namespace")
@field_options
@as_json
@place_options
def set_(namespace: str, json_output: bool, place: Place, **given: Any) -> None:
    """See the help."""
    from console.output import note, print_json

    values = {field: _checked(field, given[field.lower()]) for field in FIELDS if given[field.lower()] is not None}
    if not values:
        raise WrongUsage("no limit given", "`run.py limits set --help` lists them")
    doc_id = f"{subjects.checked_namespace(namespace)}/limits"

    async def work(store: Store) -> tuple[Document, bool]:
        await subjects.amend(store, doc_id, subjects.with_limits(values))
        return await _stored(store, namespace), await store.subjects.by_namespace(namespace) is not None

    stored, known = with_store(place, work)
    if json_output:
        print_json(stored)
    else:
        print(f"ok: limits of {namespace} are set")
    if not known:
        note(f"no user has namespace {namespace} now")


def _checked(field: str, value: Any) -> object:
    kind = FIELDS[field][0]
    if kind == KINDS:
        return [part for part in (each.strip() for each in value.split(",")) if part]
    if kind == SIZE and not _SIZE.fullmatch(value):
        raise WrongUsage(f"--{field} {value!r} is no size", "write for instance '1048576 B' or '1 MB'")
    if kind == DURATION and not _DURATION.fullmatch(value):
        raise WrongUsage(f"--{field} {value!r} is no time", "write for instance '10 minutes'")
    return value


async def _stored(store: Store, namespace: str) -> Document:
    import msgspec

    found = await store.subjects.get(f"{namespace}/limits")
    body: Document = msgspec.json.decode(found.body) if found else {}
    return {name: value for name, value in body.items() if not name.startswith("_")}


@limits.command(help=help_text("Show the limits that NAMESPACE has of its own.", "limits get alice", "limits get alice --json"))
@click.argument("namespace")
@as_json
@place_options
def get(namespace: str, json_output: bool, place: Place) -> None:
    """See the help."""
    from console.output import print_json, print_table

    found = with_store(place, lambda store: _stored(store, subjects.checked_namespace(namespace)))
    if json_output:
        print_json(found)
        return
    rows = [(name, ", ".join(value) if isinstance(value, list) else str(value)) for name, value in found.items()]
    print_table(("limit", "value"), rows, f"namespace {namespace} has no limits of its own: the node's apply")


@limits.command(help=help_text(
    "Take limits of NAMESPACE away, all if none is named: the node's own apply again.",
    "limits delete alice", "limits delete alice invocationsPerMinute",
))  # fmt: skip
@click.argument("namespace")
@click.argument("fields", nargs=-1)
@place_options
def delete(namespace: str, fields: tuple[str, ...], place: Place) -> None:
    """See the help."""
    if unknown := [field for field in fields if field not in FIELDS]:
        raise WrongUsage(f"there is no limit {unknown[0]}", "`run.py limits set --help` lists them")
    doc_id = f"{subjects.checked_namespace(namespace)}/limits"
    with_store(place, lambda store: subjects.amend(store, doc_id, subjects.without_limits(namespace, fields)))
    print(f"ok: {', '.join(fields) or 'all limits'} of {namespace} deleted")
