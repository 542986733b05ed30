"""Who may do what, and who is locked out."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from typing import Any

from tests.support.couchdb.model import Database
from tests.support.couchdb.values import Refusal, bad

ATTEMPTS = 5
"""Wrong passwords after which a user is locked out (for five minutes; here for ever)."""

LOCKED = "Account is temporarily locked due to multiple authentication failures"
DEFAULT = {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}


class Access:
    """Administrators by name and password; other users are documents of `_users`."""

    def __init__(self, admins: dict[str, str], users: Database) -> None:
        self.admins = admins
        self._users = users
        self._wrong: Counter[str] = Counter()

    def user(self, header: str | None) -> tuple[str, list[str]] | None:
        """Name and roles, None for nobody. Raises Refusal for wrong credentials, wherever they are used."""
        if header is None or not header.startswith("Basic "):
            return None
        try:
            name, _, password = base64.b64decode(header[6:], validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            raise bad("Authorization header has invalid base64 value") from None
        return self.login(name, password)

    def login(self, name: str, password: str) -> tuple[str, list[str]]:
        """Raises Refusal."""
        if self._wrong[name] >= ATTEMPTS:
            raise Refusal(403, "forbidden", LOCKED)
        user = self._users.current(f"org.couchdb.user:{name}")
        if self.admins.get(name) == password:
            return name, ["_admin"]
        if user is not None and user.fields.get("password") == password:
            return name, list(user.fields.get("roles", []))
        self._wrong[name] += 1
        raise Refusal(401, "unauthorized", "Name or password is incorrect.")

    def forget(self) -> None:
        """As a restart does."""
        self._wrong.clear()


def require_admin(user: tuple[str, list[str]] | None) -> None:
    if user is None or "_admin" not in user[1]:
        raise Refusal(401, "unauthorized", "You are not a server admin.")


def require_member(database: Database, user: tuple[str, list[str]] | None) -> None:
    security = database.security or DEFAULT
    if _in(security, "admins", user) or _in(security, "members", user):
        return
    members = security.get("members", {})
    if not members.get("names") and not members.get("roles"):
        return
    if user is None:
        raise Refusal(401, "unauthorized", "You are not authorized to access this db.")
    raise Refusal(403, "forbidden", "You are not allowed to access this db.")


def require_designer(database: Database, user: tuple[str, list[str]] | None) -> None:
    if not _in(database.security or DEFAULT, "admins", user):
        raise Refusal(403, "forbidden", "You are not a db or server admin.")


def _in(security: dict[str, Any], side: str, user: tuple[str, list[str]] | None) -> bool:
    if user is None:
        return False
    name, roles = user
    listed = security.get(side, {})
    return "_admin" in roles or name in listed.get("names", []) or bool(set(roles) & set(listed.get("roles", [])))
