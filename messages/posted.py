"""Reading what controllers post: strictly by the struct, tolerantly where upstream's invoker is. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from messages.wire import ActionName, ActivationMessage, ControllerId, Identity, Namespace, decode_message, encode

_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_members = msgspec.json.Decoder(dict[str, Raw]).decode
DEFAULTS = {"initArgs": Raw(b"[]"), "lockedArgs": Raw(b"{}"), "revision": Raw(b"null")}


class Unreadable(ValueError):
    """No activation message. `rest`: enough of it for a record that says so, if there is."""

    def __init__(self, reason: str, rest: ActivationMessage | None = None) -> None:
        super().__init__(reason)
        self.rest = rest


def read_message(text: bytes, now_ms: int) -> ActivationMessage:
    """An ActivationMessage. An unreadable transaction id becomes `sid_unknown`, begun now, as upstream's. Raises Unreadable."""
    try:
        message = decode_message(text)
    except (msgspec.DecodeError, RecursionError) as error:
        message = _mended(text, now_ms, str(error))
    if not _ID.fullmatch(message.activation_id):
        raise Unreadable(f"activationId {message.activation_id[:40]!r} is no activation id")
    if _transid(message.transid) is None:
        message = msgspec.structs.replace(message, transid=["sid_unknown", now_ms])
    return message


def _mended(text: bytes, now_ms: int, reason: str) -> ActivationMessage:
    """What a strict reader refuses and upstream's takes: an action as one name, members that have defaults, odd transids."""
    try:
        found = {**DEFAULTS, **_members(text)}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unreadable(reason) from None
    if _transid(_value(found.get("transid"))) is None:
        found["transid"] = Raw(encode(["sid_unknown", now_ms]))
    name = _value(found.get("action"))
    if isinstance(name, str):
        path, _, last = name.strip("/").rpartition("/")
        found["action"] = Raw(encode({"path": path, "name": last}))
    try:
        return decode_message(encode(found))
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unreadable(str(error), _rest(found)) from None


def _transid(value: Any) -> Any:
    """The value if it is one: an id and a time, perhaps more."""
    good = isinstance(value, list) and 2 <= len(value) <= 4 and isinstance(value[0], str)
    return value if good and isinstance(value[1], int) and not isinstance(value[1], bool) else None


def _value(raw: Raw | None) -> Any:
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _rest(found: Mapping[str, Raw]) -> ActivationMessage | None:
    """Who invoked what, if that much can be read: then there can be a record."""
    activation_id = _value(found.get("activationId"))
    user, action, controller = (_object(_value(found.get(key))) for key in ("user", "action", "rootControllerIndex"))
    namespace = _object(user.get("namespace"))
    name = namespace.get("name")
    if not (isinstance(activation_id, str) and _ID.fullmatch(activation_id) and isinstance(name, str) and name):
        return None
    return ActivationMessage(
        transid=_value(found["transid"]),
        action=ActionName(_text(action.get("path"), name), _text(action.get("name"), "unknown")),
        revision=None,
        user=Identity(_text(user.get("subject"), name), Namespace(name, _text(namespace.get("uuid"), ""))),
        activation_id=activation_id,
        root_controller_index=ControllerId(_text(controller.get("asString"), "0")),
        blocking=_value(found.get("blocking")) is True,
        content=UNSET,
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object, otherwise: str) -> str:
    return value if isinstance(value, str) and value else otherwise
