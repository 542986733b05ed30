"""Keys that parameters of actions and packages are encrypted with where they are stored (openwhisk-controller.md 3.7).

A value is base64 of the nonce's length (4 bytes, big endian), the nonce, and what AES-GCM makes of the value's JSON. Every key of
the file decrypts what was encrypted with it; `current` names the one that new values are encrypted with, so that keys are changed
by adding one, naming it, and dropping the old one when nothing is stored with it any more.
"""

from __future__ import annotations

import binascii
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from config.errors import ParamKeysError
from messages.errors import Undecryptable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONE = ("off", "noop")
"""Values of `current` with which nothing new is encrypted (upstream's)."""

_LENGTHS = {"aes-128": 16, "aes-256": 32}
"""Bytes of the keys that have upstream's names; keys of other names may have either."""

_SHORT_NONCE, _LONG_NONCE = 12, 128
"""Upstream's nonces: `aes-128` has the usual one, everything else, in the Go invoker too, one of 128 bytes."""

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class ParamKeys:
    """Encrypts values under the current key, opens those of all keys. Without keys everything stays as it is."""

    def __init__(
        self, keys: Mapping[str, bytes] | None = None, current: str | None = None, random: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._keys = dict(keys or {})
        self.current = current
        self._random = random

    def __repr__(self) -> str:
        return f"<ParamKeys {', '.join(self._keys) or 'none'}; current: {self.current or 'none'}>"

    @classmethod
    def read(cls, path: Path) -> ParamKeys:
        """The keys in a file: a JSON object of `current` and names with base64 keys. Raises ParamKeysError, naming the file."""
        try:
            given = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        except OSError as error:
            raise ParamKeysError([f"{path}: {error.strerror or error}"]) from None
        except (msgspec.MsgspecError, ValueError):
            raise ParamKeysError([f"{path}: not a JSON object of texts"]) from None
        current = given.pop("current", NONE[0])
        keys = {name: _key(path, name, text) for name, text in given.items()}
        if current not in (*NONE, *keys):
            raise ParamKeysError([f"{path}: `current` names {current!r}, which is not among the keys: {', '.join(keys) or 'none'}"])
        return cls(keys, None if current in NONE else current)

    @classmethod
    def of(cls, path: Path | None) -> ParamKeys:
        """Those in the file, or none. Raises ParamKeysError."""
        return cls() if path is None else cls.read(path)

    def encrypt(self, value: Raw) -> tuple[Raw, str] | None:
        """The value to store, a JSON text, and the name of its key; None if nothing is to be encrypted."""
        if self.current is None:
            return None
        nonce = self._random(_SHORT_NONCE if self.current == "aes-128" else _LONG_NONCE)
        sealed = _cipher(self._keys[self.current]).encrypt(nonce, bytes(value), None)
        stored = b64encode(len(nonce).to_bytes(4, "big") + nonce + sealed)
        return Raw(_encode(stored.decode())), self.current

    def decrypt(self, name: str, key: str, value: Raw) -> Raw:
        """The value of parameter `name`. One whose key has no known name stays as it is, as upstream. Raises Undecryptable."""
        if key in NONE or (key not in self._keys and key not in _LENGTHS):
            return value
        if key not in self._keys:
            raise Undecryptable(f"The parameter '{name}' is encrypted with the key '{key}', which this node does not have.")
        from cryptography.exceptions import InvalidTag

        try:
            stored = b64decode(msgspec.json.decode(value, type=str), validate=True)
            end = 4 + int.from_bytes(stored[:4], "big")
            opened = _cipher(self._keys[key]).decrypt(stored[4:end], stored[end:], None)
            return Raw(msgspec.json.format(opened, indent=-1))
        except (InvalidTag, msgspec.MsgspecError, ValueError, OverflowError):
            raise Undecryptable(f"The parameter '{name}' can't be decrypted with the key '{key}'.") from None

    def unlock(self, content: Raw, locked: Mapping[str, str]) -> Raw:
        """Arguments with the members opened that `locked` names, by their keys. Raises Undecryptable."""
        if not locked or bytes(content).lstrip()[:1] != b"{":
            return content
        members = _fields(content)
        opened = {name: self.decrypt(name, key, members[name]) for name, key in locked.items() if name in members}
        return Raw(_encode(members | opened))


def _key(path: Path, name: str, text: str) -> bytes:
    try:
        key = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ParamKeysError([f"{path}: the key {name!r} is not base64"]) from None
    wanted = (_LENGTHS[name],) if name in _LENGTHS else (16, 32)
    if len(key) not in wanted:
        lengths = " or ".join(str(length) for length in wanted)
        raise ParamKeysError([f"{path}: the key {name!r} has {len(key)} bytes instead of {lengths}"])
    return key


def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
