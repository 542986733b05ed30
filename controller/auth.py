"""Who asks: Basic credentials, looked up in the store of subjects behind a short cache. Keys are neither kept nor logged."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import re
from base64 import b64decode
from collections.abc import Callable

from controller import errors
from messages.wire import Identity
from store.contract import SubjectStore

KEY_LENGTH = 64
"""Characters of a key (openwhisk-controller.md 2.1)."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MAX_CACHED = 1000


def basic_pair(header: bytes | None) -> tuple[str, str] | None:
    """User and password of an Authorization header, None if it has none that can be read."""
    if header is None:
        return None
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, _, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if encoded.strip() else None


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in time that doesn't tell where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


class Authenticator:
    """Finds the identity behind an Authorization header.

    The cache is keyed by a keyed hash of the header, so that neither a key nor the time of a lookup gives one away;
    only good credentials are kept, for `ttl` seconds.
    """

    def __init__(self, subjects: SubjectStore, monotonic: Callable[[], float], ttl: float) -> None:
        self._subjects = subjects
        self._monotonic = monotonic
        self._ttl = ttl
        self._salt = os.urandom(16)
        self._known: dict[bytes, tuple[float, Identity]] = {}
        self._owners: dict[str, tuple[float, Identity]] = {}

    def forget(self) -> None:
        """Subjects or limits changed: look them up again."""
        self._known.clear()
        self._owners.clear()

    async def identity(self, header: bytes | None) -> Identity:
        """Raises ApiError 401; StoreUnavailable."""
        if header is None:
            raise errors.no_credentials()
        digest = hashlib.blake2b(header, key=self._salt, digest_size=16).digest()
        known = self._known.get(digest)
        if known is not None and known[0] > self._monotonic():
            return known[1]
        found = await self._look_up(header)
        if len(self._known) >= _MAX_CACHED:
            self._known.clear()
        self._known[digest] = (self._monotonic() + self._ttl, found)
        return found

    async def owner(self, namespace: str) -> Identity | None:
        """Whose namespace this is; None if nobody's or blocked. Trusted as long as credentials are. Raises StoreUnavailable."""
        known = self._owners.get(namespace)
        if known is not None and known[0] > self._monotonic():
            return known[1]
        found = await self._subjects.by_namespace(namespace)
        if found is not None:
            if len(self._owners) >= _MAX_CACHED:
                self._owners.clear()
            self._owners[namespace] = (self._monotonic() + self._ttl, found)
        return found

    async def _look_up(self, header: bytes) -> Identity:
        pair = basic_pair(header)
        if pair is None:
            raise errors.no_credentials()
        uuid, key = pair
        if _UUID.fullmatch(uuid) is None or len(key) != KEY_LENGTH:
            raise errors.wrong_credentials()
        found = await self._subjects.by_key(uuid, key)
        if found is None or not same(str(found.authkey.get("api_key")), f"{uuid}:{key}"):
            raise errors.wrong_credentials()
        return found
