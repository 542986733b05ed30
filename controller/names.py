"""Names of namespaces, packages and entities: which are allowed and what is said about the others."""

from __future__ import annotations

import re

from marshmallow import ValidationError

from controller import errors

MAX_LENGTH = 256
"""Upstream's limit of a path segment."""

_NAME = re.compile(r"\w(?:[\w@ .&-]*[\w@.&-])?", re.ASCII)
_ACTIVATION_ID = re.compile(r"[0-9a-f]{32}")


def is_name(text: str) -> bool:
    """Whether this can name an entity."""
    return len(text) <= MAX_LENGTH and _NAME.fullmatch(text) is not None


def check_namespace(text: str) -> str:
    """The text, if it can be a namespace. Raises ApiError (400)."""
    if len(text) > MAX_LENGTH:
        raise errors.namespace_too_long(len(text), MAX_LENGTH)
    if not is_name(text):
        raise errors.rejected(400, errors.NAMESPACE_ILLEGAL)
    return text


def check_entity(text: str) -> str:
    """The text, if it can name an entity. Raises ApiError (400)."""
    if len(text) > MAX_LENGTH:
        raise errors.name_too_long(len(text), MAX_LENGTH)
    if not is_name(text):
        raise errors.rejected(400, errors.NAME_ILLEGAL)
    return text


def check_activation_id(text: str) -> str:
    """The text, if it is an activation id: 32 lower-case hex digits. Raises ApiError (400)."""
    if len(text) != 32:
        raise errors.activation_id_length(len(text))
    if _ACTIVATION_ID.fullmatch(text) is None:
        raise errors.rejected(400, errors.ACTIVATION_ID_ILLEGAL)
    return text


def path(given: object) -> list[str]:
    """The parts of a path in a body; slashes too many don't count. Raises ValidationError, upstream's text."""
    if not isinstance(given, str):
        raise ValidationError(errors.NAME_MALFORMED)
    parts = [part for part in given.split("/") if part]
    if not parts or not all(is_name(part) for part in parts):
        raise ValidationError(f"requirement failed: path contains invalid parts ArraySeq({', '.join(parts)})")
    return parts


def qualified(given: object) -> str:
    """`namespace[/package]/name` of a name in a body; `_` stays. Raises ValidationError, upstream's text."""
    parts = path(given)
    if len(parts) not in (2, 3):
        raise ValidationError(errors.NAME_NOT_QUALIFIED)
    return "/".join(parts)


def resolved(name: str, namespace: str) -> str:
    """A qualified name with the namespace in place of `_`."""
    return f"{namespace}/{name.removeprefix('_/')}" if name.startswith("_/") else name
