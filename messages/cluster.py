"""What controllers and invokers tell each other beside invocations: acknowledgements and pings, in upstream's form.

There is no type field: which keys are there tells them apart (openwhisk-invoker.md 1.5 to 1.7).
"""

from __future__ import annotations

import re

import msgspec
from msgspec import UNSET, Struct, UnsetType

from messages.wire import ActivationRecord, TransId

TEST_TRANSID = "sid_invokerHealth"
"""Transaction id of test activations and their acknowledgements: they have no place in any controller's books."""

_SIZE = re.compile(r"\s?(\d+)\s?(GB|MB|KB|B|G|M|K)\s?", re.IGNORECASE)
_BYTES = {"G": 1 << 30, "M": 1 << 20, "K": 1 << 10, "B": 1}


def size_bytes(text: str) -> int:
    """The bytes of a size such as `1073741824 B` or `256 MB`. Raises ValueError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size")
    return int(found[1]) * _BYTES[found[2][0].upper()]


class InvokerId(Struct, frozen=True, rename="camel"):
    """An invoker as it names itself. `user_memory` as size with unit; what upstream's reader demands is always written."""

    instance: int
    user_memory: str
    instance_type: str = "invoker"
    tags: list[str] = []
    dedicated_namespaces: list[str] = []
    busy_memory: str | UnsetType = UNSET
    unique_name: str | UnsetType = UNSET
    displayed_name: str | UnsetType = UNSET

    @property
    def label(self) -> str:
        """Its key in `/invokers`: `invoker<N>[/unique name][/displayed name]`."""
        names = [name for name in (self.unique_name, self.displayed_name) if isinstance(name, str)]
        return "/".join([f"invoker{self.instance}", *names])

    @property
    def memory(self) -> int:
        """MB for actions. Raises ValueError."""
        return size_bytes(self.user_memory) >> 20


class PingMessage(Struct, frozen=True, rename="camel"):
    """An invoker lives; not `is_enabled`: it takes no more work."""

    name: InvokerId
    is_enabled: bool = True


class Ack(Struct, frozen=True, rename="camel"):
    """The end of an activation, or a part of it: `response` is the record without logs, or only the id where it was shrunk.

    `activation_id` stands where there is no `response`. `invoker` is what the Go invoker writes instead of `instance`.
    """

    transid: TransId
    activation_id: str | UnsetType = UNSET
    response: ActivationRecord | str | UnsetType = UNSET
    is_system_error: bool | UnsetType = UNSET
    instance: InvokerId | UnsetType = UNSET
    invoker: InvokerId | UnsetType = UNSET

    @property
    def id(self) -> str:
        """The activation's id; empty if the message names none."""
        response = self.response
        if isinstance(response, ActivationRecord):
            return response.activation_id
        return response if isinstance(response, str) else self.activation_id or ""

    @property
    def record(self) -> ActivationRecord | None:
        """The record, if the message carries it."""
        return self.response if isinstance(self.response, ActivationRecord) else None

    @property
    def sender(self) -> InvokerId | None:
        """The invoker whose slot is free with this message; None for a result whose end is still to come."""
        found = self.invoker if isinstance(self.instance, UnsetType) else self.instance
        return None if isinstance(found, UnsetType) else found


def completion(transid: TransId, activation_id: str, instance: InvokerId, *, system_error: bool) -> Ack:
    """The slot is free; the result, if anybody waits for it, went before."""
    return Ack(transid, activation_id=activation_id, is_system_error=system_error, instance=instance)


def result(transid: TransId, record: ActivationRecord | str) -> Ack:
    """The result, the slot being still busy with logs."""
    return Ack(transid, response=record)


def combined(transid: TransId, record: ActivationRecord | str, instance: InvokerId, *, system_error: bool) -> Ack:
    """Result and free slot in one."""
    return Ack(transid, response=record, is_system_error=system_error, instance=instance)


decode_ack = msgspec.json.Decoder(Ack).decode
decode_ping = msgspec.json.Decoder(PingMessage).decode


class Heartbeat(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a node or controller says of itself every few seconds. `writer` is random per process, `counter` grows with each.

    `address`: the URL at which a node takes `/invoke`, empty if it doesn't; `stopped`: it drained and its containers are gone.
    """

    writer: str
    counter: int
    epoch: int = 0
    address: str = ""
    stopped: bool = False


decode_heartbeat = msgspec.json.Decoder(Heartbeat).decode
