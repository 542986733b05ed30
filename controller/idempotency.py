"""`Idempotency-Key` on an invocation: the same key on the same action is the same activation, however often it is sent.

The activation id is made of namespace, action and key, so nothing has to be remembered: what is live is joined, what has ended is
answered from its record. What the request's body was is kept with the message and in the record, as a digest, to tell a repetition
from a key that is used twice.
"""

from __future__ import annotations

import hashlib
import re

from msgspec import Struct

from controller import errors
from controller.context import Api
from controller.http import Request
from controller.targets import Target
from messages.record import IDEMPOTENCY, answered
from messages.wire import ActivationRecord

HEADER = b"idempotency-key"
_KEY = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]{0,254}[\x21-\x7e])?")


class Repeatable(Struct, frozen=True):
    """An invocation that may come again: its activation id, and the digest of the body it came with."""

    activation_id: str
    digest: str

    @property
    def trace_context(self) -> dict[str, str]:
        """What goes with the message."""
        return {IDEMPOTENCY: self.digest}


def read(request: Request, target: Target, body: bytes) -> Repeatable | None:
    """None without the header. Raises ApiError 400 if it is no key."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if _KEY.fullmatch(key) is None:
        raise errors.rejected(400, errors.IDEMPOTENCY_KEY_ILLEGAL)
    parts = (request.identity.namespace.uuid.encode(), target.action.fqn.encode(), (target.action.binding or "").encode(), key)
    activation_id = hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()[:32]
    return Repeatable(activation_id, hashlib.sha256(body).hexdigest()[:32])


async def earlier(api: Api, request: Request, repeatable: Repeatable) -> ActivationRecord | None:
    """The record of the first time, without logs, as a blocking answer is. Raises ApiError 422 if that had another body.

    What runs in this process is joined when it is handed in again. What was sent elsewhere can't be: a 409 until it has ended.
    """
    namespace = request.identity.namespace.name
    record = await api.deps.activations.get(namespace, repeatable.activation_id)
    if record is None:
        state = api.deps.invoker.pending(namespace, repeatable.activation_id) or {}
        _compare(state.get(IDEMPOTENCY), repeatable)
        if state.get("state") == "sent":
            raise errors.failed(409, errors.IDEMPOTENCY_KEY_BUSY)
        return None
    check(record, repeatable)
    return answered(record)


def check(record: ActivationRecord, repeatable: Repeatable) -> None:
    """Raises ApiError 422 if this is the record of a request with another body."""
    for annotation in record.annotations:
        if annotation.key == IDEMPOTENCY:
            _compare(annotation.value, repeatable)


def _compare(digest: object, repeatable: Repeatable) -> None:
    if digest is not None and digest != repeatable.digest:
        raise errors.failed(422, errors.IDEMPOTENCY_KEY_REUSED)
