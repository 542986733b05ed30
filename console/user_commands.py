"""`user create|get|delete|list|block`: subjects in the store, in upstream's form, while the node runs or not."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import rich_click as click

from console.command import as_json, help_text
from console.exits import Refused, WrongUsage
from console.journal_commands import data_dir_option
from console.store_access import with_store
from store.contract import Store, StoredDoc
from store.errors import Conflict, NotFound

NAME = re.compile(r"\w(?:[\w@ .&-]{0,254}[\w@.&-])?")
"""Upstream's form of names; subjects have at least 5 characters."""


@click.group(help=help_text("Namespaces and their credentials.", "user create alice", "user list"))
def user() -> None:
    """See the help."""


def checked(name: str) -> str:
    """The name. Raises WrongUsage unless it can be both subject and namespace."""
    if len(name) < 5 or not NAME.fullmatch(name):
        raise WrongUsage(f"{name!r} can't be a user's name", "5 to 256 letters, digits and _ @ . & - and spaces inside")
    return name


def _missing(name: str) -> Refused:
    return Refused(f"there is no user {name}", "`run.py user list` shows who there is")


async def _subject(store: Store, name: str) -> StoredDoc:
    found = await store.subjects.get(name)
    if found is None or "subject" not in json.loads(found.body):
        raise _missing(name)
    return found


def _work(data_dir: Path, name: str, work: Callable[[Store], Awaitable[Any]], *, create: bool = False) -> Any:
    try:
        return with_store(data_dir, work, create=create)
    except NotFound:
        raise _missing(name) from None


@user.command(help=help_text(
    "Create user NAME with a namespace of that name; prints its credentials.",
    "user create alice", "user create alice --auth UUID:KEY",
))  # fmt: skip
@click.argument("name")
@click.option("--auth", metavar="UUID:KEY", help="Credentials; default: made at random.")
@as_json
@data_dir_option
def create(name: str, auth: str | None, json_output: bool, data_dir: Path) -> None:
    """See the help."""
    from config import parse
    from config.credentials import new_pair, split
    from console.output import print_json

    try:
        pair = parse.credentials(auth) if auth is not None else new_pair(os.urandom)
    except ValueError as error:
        raise WrongUsage(f"--auth {error}") from None
    if pair == "guest":
        raise WrongUsage("--auth guest is for `run.py node`", "leave --auth out for a random pair")
    uuid, key = split(pair)
    body = {"subject": checked(name), "namespaces": [{"name": name, "uuid": uuid, "key": key}]}

    async def work(store: Store) -> None:
        try:
            await store.subjects.put(name, json.dumps(body).encode(), None)
        except Conflict:
            raise Refused(f"there is a user {name} already", f"`run.py user get {name}` shows the credentials") from None

    with_store(data_dir, work, create=True)
    if json_output:
        print_json({"subject": name, "namespace": name, "auth": pair})
    else:
        print(pair)


@user.command(help=help_text("Print the credentials of user NAME.", "user get alice", "user get alice --json"))
@click.argument("name")
@as_json
@data_dir_option
def get(name: str, json_output: bool, data_dir: Path) -> None:
    """See the help."""
    from console.output import note, print_json

    found = json.loads(with_store(data_dir, lambda store: _subject(store, name)).body)
    if json_output:
        print_json(found)
        return
    for namespace in found.get("namespaces", []):
        print(f"{namespace['uuid']}:{namespace['key']}")
    if found.get("blocked"):
        note(f"{name} is blocked")


@user.command(help=help_text("Delete user NAME; its actions and records stay.", "user delete alice"))
@click.argument("name")
@data_dir_option
def delete(name: str, data_dir: Path) -> None:
    """See the help."""

    async def work(store: Store) -> None:
        found = await _subject(store, name)
        await store.subjects.delete(found.id, found.rev)

    _work(data_dir, name, work)
    print(f"ok: deleted user {name}")


@user.command("list", help=help_text("List all users; never their keys.", "user list"))
@as_json
@data_dir_option
def list_(json_output: bool, data_dir: Path) -> None:
    """See the help."""
    from console.output import print_json, print_table

    documents = [json.loads(found.body) for found in with_store(data_dir, lambda store: store.subjects.list())]
    users = [
        {
            "subject": found["subject"], "namespaces": [space["name"] for space in found.get("namespaces", [])],
            "blocked": bool(found.get("blocked")),
        }
        for found in documents if "subject" in found
    ]  # fmt: skip
    if json_output:
        print_json(users)
        return
    rows = [(one["subject"], ", ".join(one["namespaces"]), "blocked" if one["blocked"] else "") for one in users]
    print_table(("user", "namespaces", ""), rows, "no users yet: `run.py user create NAME` makes one")


@user.command(help=help_text("Refuse the credentials of user NAME from now on.", "user block alice", "user block alice --undo"))
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let the user in again.")
@data_dir_option
def block(name: str, undo: bool, data_dir: Path) -> None:
    """See the help."""

    async def work(store: Store) -> None:
        found = await _subject(store, name)
        body = json.loads(found.body)
        body.pop("blocked", None)
        if not undo:
            body["blocked"] = True
        await store.subjects.put(found.id, json.dumps(body).encode(), found.rev)

    _work(data_dir, name, work)
    print(f"ok: {name} is {'no longer blocked' if undo else 'blocked'}")
