"""Subject and limits documents as people change them: pure, in upstream's form (openwhisk-controller.md 2.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from console.exits import Refused, WrongUsage
from store.contract import Store
from store.errors import Conflict

NAME = re.compile(r"\w(?:[\w@ .&-]{0,254}[\w@.&-])?", re.ASCII)
"""Upstream's form of names; subjects have at least 5 characters."""

Document = dict[str, Any]
Change = Callable[[Document | None], Document | None]
"""From what is stored (None: nothing) to what is to be stored (None: nothing any more). Raises Refused."""

_ATTEMPTS = 20


def checked_subject(name: str) -> str:
    """The name. Raises WrongUsage unless it can be a subject's."""
    if len(name) < 5 or not NAME.fullmatch(name):
        raise WrongUsage(f"{name!r} can't be a user's name", "5 to 256 letters, digits and _ @ . & - and spaces inside")
    return name


def checked_namespace(name: str) -> str:
    """The name. Raises WrongUsage unless it can be a namespace's."""
    if not NAME.fullmatch(name) or name == "_":
        raise WrongUsage(f"{name!r} can't be a namespace's name", "1 to 256 letters, digits and _ @ . & - and spaces inside")
    return name


def missing(name: str) -> Refused:
    """There is no such user."""
    return Refused(f"there is no user {name}", "`run.py user list` shows who there is")


def subject_of(body: Document | None, name: str) -> Document:
    """The document, if it is a subject's. Raises Refused."""
    if body is None or "subject" not in body:
        raise missing(name)
    return body


def namespaces(body: Document) -> list[Document]:
    """The namespaces of a subject, each with `name`, `uuid`, `key`."""
    found = body.get("namespaces")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def with_namespace(subject: str, namespace: str, uuid: str, key: str) -> Change:
    """Make the subject, or give it one more namespace."""

    def change(body: Document | None) -> Document:
        if body is None:
            body = {"subject": subject}
        elif namespace == subject:
            raise Refused(f"there is a user {subject} already", f"`run.py user get {subject}` shows the credentials")
        found = namespaces(body)
        if any(each.get("name") == namespace for each in found):
            raise Refused(f"{subject} has a namespace {namespace} already")
        return {**body, "namespaces": [*found, {"name": namespace, "uuid": uuid, "key": key}]}

    return change


def without_namespace(subject: str, namespace: str | None) -> Change:
    """Remove the subject, or one of its namespaces; with the last one it goes too."""

    def change(body: Document | None) -> Document | None:
        body = subject_of(body, subject)
        left = [each for each in namespaces(body) if each.get("name") != namespace]
        if namespace is None:
            return None
        if len(left) == len(namespaces(body)):
            raise Refused(f"{subject} has no namespace {namespace}")
        return {**body, "namespaces": left} if left else None

    return change


def set_blocked(subject: str, blocked: bool) -> Change:
    """Refuse all credentials of the subject, or take them again."""

    def change(body: Document | None) -> Document:
        body = {name: value for name, value in subject_of(body, subject).items() if name != "blocked"}
        return {**body, "blocked": True} if blocked else body

    return change


def with_limits(values: Document) -> Change:
    """Set these limits; others stay. Raises WrongUsage if a minimum is then above its maximum."""

    def change(body: Document | None) -> Document:
        wanted = {**(body or {}), **values}
        for least in [name for name in wanted if name.startswith("minAction")]:
            most = f"max{least.removeprefix('min')}"
            if most in wanted and wanted[least] > wanted[most]:
                raise WrongUsage(f"{least} {wanted[least]} is more than {most} {wanted[most]}: no action could be put")
        return wanted

    return change


def without_limits(namespace: str, names: tuple[str, ...]) -> Change:
    """Take these limits away, all if none is named."""

    def change(body: Document | None) -> Document | None:
        if body is None:
            raise Refused(f"namespace {namespace} has no limits of its own")
        left = {name: value for name, value in body.items() if name not in names and not name.startswith("_")}
        return left if names and left else None

    return change


async def amend(store: Store, doc_id: str, change: Change) -> None:
    """Apply a change to a document whatever others do to it meanwhile. Raises Refused."""
    for _ in range(_ATTEMPTS):
        found = await store.subjects.get(doc_id)
        wanted = change(msgspec.json.decode(found.body) if found else None)
        try:
            if wanted is not None:
                await store.subjects.put(doc_id, msgspec.json.encode(wanted), found.rev if found else None)
            elif found is not None:
                await store.subjects.delete(doc_id, found.rev)
            return
        except Conflict:
            continue
    raise Refused(f"{doc_id} is being changed all the time; try again")
