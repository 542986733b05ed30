"""Revisions of documents: `<generation>-<hash>`, the generation growing with every write and delete, as CouchDB's do."""

from __future__ import annotations

from hashlib import md5


def next_revision(generation: int, body: bytes) -> str:
    """The revision that follows `generation`; 32 hex digits of hash as upstream's clients know them."""
    digest = md5(f"{generation}:".encode() + body, usedforsecurity=False).hexdigest()
    return f"{generation + 1}-{digest}"
