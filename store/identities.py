"""Subjects documents read as identities: pure, shared by all stores (upstream's view `subjects/identities`)."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from messages.wire import Identity, Namespace, UserLimits


class Credentials(Struct, frozen=True):
    """One namespace of a subject with the pair that selects it."""

    name: str
    uuid: str
    key: str


class _Subject(Struct, frozen=True):
    subject: str = ""
    namespaces: list[Credentials] = []
    blocked: bool = False


_decode_subject = msgspec.json.Decoder(_Subject).decode
_decode_limits = msgspec.json.Decoder(UserLimits).decode


def credentials(body: bytes) -> list[Credentials]:
    """The namespaces that a subjects document opens; none for a blocked one, for limits, for anything else."""
    try:
        subject = _decode_subject(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    return [] if subject.blocked else subject.namespaces


def limits_id(namespace: str) -> str:
    """The id of a namespace's limits document."""
    return f"{namespace}/limits"


def identity(subject: str, found: Credentials, limits: bytes | None) -> Identity:
    """Who these credentials are. Limits that can't be parsed are ignored, as upstream does."""
    try:
        parsed = UserLimits() if limits is None else _decode_limits(limits)
    except (msgspec.DecodeError, UnicodeDecodeError):
        parsed = UserLimits()
    return Identity(
        subject=subject,
        namespace=Namespace(found.name, found.uuid),
        authkey={"api_key": f"{found.uuid}:{found.key}"},
        limits=parsed,
    )
