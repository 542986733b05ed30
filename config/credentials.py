"""Credentials of namespace `guest`: which pair a start takes. Pure: reading and writing the file is the store's part."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

GUEST = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:123zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP"
"""The pair that OpenWhisk publishes for development: anybody knows it."""

KEY_LENGTH = 64
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Choice(Struct, frozen=True):
    """The pair to take. `origin` is `random`, `file`, `given`, or `cluster` (none); `public`: everybody knows it."""

    auth: str
    origin: str

    @property
    def public(self) -> bool:
        """Whether it is OpenWhisk's published pair."""
        return self.auth == GUEST


def new_pair(random_bytes: Callable[[int], bytes]) -> str:
    """A fresh `uuid:key` from a source such as `os.urandom`: a version 4 UUID and 64 letters and digits."""
    raw = bytearray(random_bytes(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    digits = raw.hex()
    uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    key = ""
    usable = 256 - 256 % len(ALPHABET)
    while len(key) < KEY_LENGTH:
        key += "".join(ALPHABET[byte % len(ALPHABET)] for byte in random_bytes(KEY_LENGTH) if byte < usable)
    return f"{uuid}:{key[:KEY_LENGTH]}"


def choose(given: str | None, kept: str | None, random_bytes: Callable[[int], bytes]) -> Choice:
    """`given` (`--auth`) over what the data directory kept over a new random pair."""
    if given is not None:
        return Choice(GUEST if given == "guest" else given, "given")
    if kept:
        return Choice(kept.strip(), "file")
    return Choice(new_pair(random_bytes), "random")


def split(auth: str) -> tuple[str, str]:
    """`uuid` and `key` of a pair."""
    uuid, _, key = auth.partition(":")
    return uuid, key


def guest_subject(auth: str) -> bytes:
    """The subject document of `guest` in upstream's form, without limits."""
    uuid, key = split(auth)
    return msgspec.json.encode({"subject": "guest", "namespaces": [{"name": "guest", "uuid": uuid, "key": key}]})


def admin_pair(admin_key: str) -> str:
    """The Basic pair with which the node's operator comes."""
    return f"admin:{admin_key}"
