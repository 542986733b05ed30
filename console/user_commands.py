"""`user create|get|whois|list|delete|block|unblock`: subjects in the store, in upstream's form, while the node runs or not."""

from __future__ import annotations

import os

import rich_click as click

from console import subjects
from console.command import as_json, help_text
from console.exits import Refused, WrongUsage
from console.store_access import Place, place_options, with_store
from console.subjects import Document
from store.contract import Store

namespace_option = click.option("--namespace", "-ns", metavar="NAME", help="One of the user's namespaces.")


@click.group(help=help_text(
    "Namespaces and their credentials. A running node sees a change within 5 seconds.", "user create alice", "user list"
))  # fmt: skip
def user() -> None:
    """See the help."""


@user.command(help=help_text(
    "Create user NAME with a namespace of that name, or give a user one more namespace; prints its credentials.",
    "user create alice", "user create alice --auth UUID:KEY", "user create alice --namespace team",
))  # fmt: skip
@click.argument("name")
@click.option("--auth", "-u", metavar="UUID:KEY", help="Credentials; default: made at random.")
@click.option("--namespace", "-ns", metavar="NAME", help="Namespace; default: the user's name.")
@as_json
@place_options
def create(name: str, auth: str | None, namespace: str | None, json_output: bool, place: Place) -> None:
    """See the help."""
    from config.credentials import split
    from console.output import print_json

    pair = _pair(auth)
    uuid, key = split(pair)
    space = subjects.checked_namespace(namespace or subjects.checked_subject(name))
    change = subjects.with_namespace(subjects.checked_subject(name), space, uuid, key)

    async def work(store: Store) -> None:
        if await store.subjects.by_key(uuid, key) is not None:
            raise Refused("these credentials belong to a namespace already", "leave --auth out for a random pair")
        await subjects.amend(store, name, change)

    with_store(place, work, create=True)
    if json_output:
        print_json({"subject": name, "namespace": space, "auth": pair})
    else:
        print(pair)


def _pair(auth: str | None) -> str:
    from config import parse
    from config.credentials import new_pair

    if auth is None:
        return new_pair(os.urandom)
    try:
        pair: str = parse.credentials(auth)
    except ValueError as error:
        raise WrongUsage(f"--auth {error}") from None
    if pair == "guest":
        raise WrongUsage("--auth guest is for `run.py node`", "leave --auth out for a random pair")
    return pair


@user.command(help=help_text(
    "Print the credentials of user NAME, those of the namespace of that name first.", "user get alice", "user get alice --json"
))  # fmt: skip
@click.argument("name")
@namespace_option
@as_json
@place_options
def get(name: str, namespace: str | None, json_output: bool, place: Place) -> None:
    """See the help."""
    from console.output import note, print_json

    found = with_store(place, lambda store: _subject(store, name))
    if json_output:
        print_json(found)
        return
    spaces = [each for each in subjects.namespaces(found) if namespace in (None, each.get("name"))]
    if namespace is not None and not spaces:
        raise Refused(f"{name} has no namespace {namespace}")
    for each in sorted(spaces, key=lambda each: each.get("name") != name):
        print(f"{each.get('uuid')}:{each.get('key')}")
    if found.get("blocked"):
        note(f"{name} is blocked")


async def _subject(store: Store, name: str) -> Document:
    import msgspec

    found = await store.subjects.get(name)
    return subjects.subject_of(msgspec.json.decode(found.body) if found else None, name)


@user.command(help=help_text("Tell whose credentials these are.", "user whois UUID:KEY", "user whois UUID"))
@click.argument("auth")
@as_json
@place_options
def whois(auth: str, json_output: bool, place: Place) -> None:
    """See the help."""
    from console.output import note, print_json

    uuid, _, key = auth.partition(":")
    for each in with_store(place, _all):
        for space in subjects.namespaces(each):
            if space.get("uuid") == uuid and key in ("", space.get("key")):
                found = {"subject": each["subject"], "namespace": space.get("name"), "blocked": bool(each.get("blocked"))}
                if json_output:
                    print_json(found)
                else:
                    print(f"subject: {found['subject']}\nnamespace: {found['namespace']}")
                    if found["blocked"]:
                        note(f"{found['subject']} is blocked")
                return
    raise Refused("these credentials are nobody's")


@user.command(help=help_text(
    "Delete user NAME, or one of its namespaces; actions and records stay.",
    "user delete alice", "user delete alice --namespace team",
))  # fmt: skip
@click.argument("name")
@namespace_option
@place_options
def delete(name: str, namespace: str | None, place: Place) -> None:
    """See the help."""
    with_store(place, lambda store: subjects.amend(store, name, subjects.without_namespace(name, namespace)))
    print(f"ok: deleted user {name}" if namespace is None else f"ok: {name} no longer has namespace {namespace}")


@user.command("list", help=help_text(
    "List all users, or those of one namespace; never their keys.", "user list", "user list alice"
))  # fmt: skip
@click.argument("namespace", required=False)
@as_json
@place_options
def list_(namespace: str | None, json_output: bool, place: Place) -> None:
    """See the help."""
    from console.output import print_json, print_table

    users = [
        {
            "subject": each["subject"], "namespaces": [space.get("name") for space in subjects.namespaces(each)],
            "blocked": bool(each.get("blocked")),
        }
        for each in with_store(place, _all)
    ]  # fmt: skip
    users = [each for each in users if namespace is None or namespace in each["namespaces"]]
    if json_output:
        print_json(users)
        return
    rows = [(one["subject"], ", ".join(map(str, one["namespaces"])), "blocked" if one["blocked"] else "") for one in users]
    print_table(("user", "namespaces", ""), rows, "no users yet: `run.py user create NAME` makes one")


async def _all(store: Store) -> list[Document]:
    import msgspec

    found = [msgspec.json.decode(doc.body) for doc in await store.subjects.list()]
    return [body for body in found if isinstance(body, dict) and "subject" in body]


@user.command(help=help_text("Refuse the credentials of these users from now on.", "user block alice", "user block alice bobby"))
@click.argument("names", nargs=-1, required=True)
@click.option("--undo", is_flag=True, help="Let them in again, as `unblock` does.")
@place_options
def block(names: tuple[str, ...], undo: bool, place: Place) -> None:
    """See the help."""
    _set_blocked(names, not undo, place)


@user.command(help=help_text("Take the credentials of these users again.", "user unblock alice"))
@click.argument("names", nargs=-1, required=True)
@place_options
def unblock(names: tuple[str, ...], place: Place) -> None:
    """See the help."""
    _set_blocked(names, False, place)


def _set_blocked(names: tuple[str, ...], blocked: bool, place: Place) -> None:
    async def work(store: Store) -> None:
        for name in names:
            await subjects.amend(store, name, subjects.set_blocked(name, blocked))
            print(f"ok: {name} is {'blocked' if blocked else 'no longer blocked'}")

    with_store(place, work)
