"""The bodies of `/init` and `/run` (openwhisk-invoker.md 2.6, 5.1). Pure.

All context values are strings: upstream's Python runtime dies of anything else beside `value`. Every field is sent with every
run: one left out would keep the last run's value there.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct

from messages.action import Executable
from messages.wire import ActivationMessage

_encode = msgspec.json.encode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_EMPTY = b"{}"


class Arguments(Struct, frozen=True):
    """The message's `content` split: `value` (raw JSON) for /run, `env` for /init."""

    value: bytes
    env: dict[str, str]


def split_arguments(message: ActivationMessage) -> Arguments:
    """Take the members named in `init_args` out of `content` and make them environment text.

    Strings stay as they are, null is empty, all else its compact JSON. An array passes unchanged, no content (or null) is `{}`.
    Raises msgspec.DecodeError for content that isn't JSON.
    """
    content = _EMPTY if message.content is UNSET else bytes(message.content)
    if content == b"null":
        content = _EMPTY
    if not message.init_args or not content.lstrip().startswith(b"{"):
        return Arguments(content, {})
    members = _members(content)
    env = {name: _as_text(members.pop(name)) for name in message.init_args if name in members}
    return Arguments(_encode(members), env)


def context(message: ActivationMessage, action: Executable, deadline_ms: int) -> dict[str, str]:
    """What the action is told of its invocation, by the names that /run uses.

    The members of the caller's `authkey` are among it only if the action wants them. Only text is passed on.
    """
    told = {
        "namespace": message.user.namespace.name,
        "action_name": f"/{message.action.fqn}",
        "action_version": message.action.version or "",
        "activation_id": message.activation_id,
        "transaction_id": str(message.transid[0]),
        "deadline": str(deadline_ms),
    }
    if action.provide_api_key:
        told |= {name: value for name, value in message.user.authkey.items() if isinstance(value, str)}
    return told


def run_body(message: ActivationMessage, action: Executable, deadline_ms: int) -> bytes:
    """The body of /run. `deadline_ms` is epoch ms. Arguments are spliced in as they came."""
    value = split_arguments(message).value
    # The context's JSON begins with "{", which the comma replaces.
    return b'{"value":' + value + b"," + _encode(context(message, action, deadline_ms))[1:]


def init_body(message: ActivationMessage, action: Executable, deadline_ms: int) -> bytes:
    """The body of /init. `code` is left out if there is none; `env` always is there, all text."""
    env = split_arguments(message).env
    env |= {f"__OW_{name.upper()}": value for name, value in context(message, action, deadline_ms).items()}
    value: dict[str, object] = {"name": message.action.name, "main": action.main, "binary": action.binary}
    if action.code:
        value["code"] = action.code
    value["env"] = env
    return _encode({"value": value})


def _as_text(raw: Raw) -> str:
    value = msgspec.json.decode(raw)
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.format(bytes(raw), indent=-1).decode("utf-8")
