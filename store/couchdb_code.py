"""An action's code in upstream's documents: inline up to 16 KiB, else an attachment (openwhisk-controller.md 3.2). Pure."""

from __future__ import annotations

from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Raw, Struct, UnsetType

from store.couchdb_exact import Fields

INLINE = 16 * 1024
"""Bytes below which code stands in the document (upstream's `whisk.db.max-inline-size`)."""

TEXT = "text/plain; charset=UTF-8"
BINARY = "application/octet-stream"


class Attached(Struct, frozen=True, rename="camel"):
    """Where code is. The name's scheme says it: `mem:` in the name itself, `couch:` or none in an attachment."""

    attachment_name: str
    attachment_type: str = TEXT
    digest: str | UnsetType = msgspec.UNSET
    length: int | UnsetType = msgspec.UNSET


def detach(fields: Fields, new_name: Callable[[], str]) -> tuple[Fields, dict[str, Any]]:
    """The fields with their code in upstream's form, and the attachments to write with them."""
    exec_fields = _exec(fields)
    code = _text(exec_fields.get("code"))
    if code is None:
        return fields, {}
    data, kind = _bytes_of(code, exec_fields.get("binary") == Raw(b"true"))
    if len(data) < INLINE:
        name = f"mem:{urlsafe_b64encode(data).decode()}"
        attached = Attached(name, kind, f"sha256-{sha256(data).hexdigest()}", len(data))
        return _with_code(fields, exec_fields, attached), {}
    name = new_name()
    return _with_code(fields, exec_fields, Attached(f"couch:{name}", kind)), {
        name: {"content_type": kind, "data": b64encode(data).decode()}
    }


def attach(fields: Fields, fetch: Callable[[str], bytes | None]) -> Fields | None:
    """The fields with their code as text; `fetch` reads an attachment. None if it is not there."""
    exec_fields = _exec(fields)
    try:
        attached = msgspec.json.decode(exec_fields["code"], type=Attached)
    except (KeyError, msgspec.MsgspecError):
        return fields
    scheme, _, rest = attached.attachment_name.rpartition(":")
    data = _inline(rest) if scheme == "mem" else fetch(rest)
    if data is None:
        return None
    code = b64encode(data).decode() if attached.attachment_type == BINARY else data.decode("utf-8", "replace")
    return fields | {"exec": Raw(msgspec.json.encode(exec_fields | {"code": code}))}


def without_code(fields: Fields) -> Fields:
    """The fields for a list: code that is an attachment is left out."""
    return attach(fields, lambda name: None) or fields | {
        "exec": Raw(msgspec.json.encode({name: value for name, value in _exec(fields).items() if name != "code"}))
    }


def _exec(fields: Fields) -> Fields:
    try:
        return msgspec.json.decode(fields["exec"], type=Fields)
    except (KeyError, msgspec.MsgspecError):
        return {}


def _text(code: Raw | None) -> str | None:
    try:
        return None if code is None else msgspec.json.decode(code, type=str)
    except msgspec.MsgspecError:
        return None


def _bytes_of(code: str, binary: bool) -> tuple[bytes, str]:
    """Base64 is stored decoded if the same text comes out of it again."""
    if binary:
        try:
            data = b64decode(code, validate=True)
        except (Error, ValueError):
            data = b""
        if b64encode(data).decode() == code:
            return data, BINARY
    return code.encode("utf-8", "surrogatepass"), TEXT


def _inline(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text)
    except (Error, ValueError):
        return b""


def _with_code(fields: Fields, exec_fields: Fields, attached: Attached) -> Fields:
    return fields | {"exec": Raw(msgspec.json.encode(exec_fields | {"code": attached}))}
