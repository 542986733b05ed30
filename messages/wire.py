"""What other systems see: the messages and records of Apache OpenWhisk as typed structs, one definition each.

Field names on the wire are upstream's camelCase. Optional fields are left out when empty, never written as null.
Arguments and results stay raw JSON (`msgspec.Raw`), so numbers survive unchanged.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

TransId = list[Any]
"""`[id, start in epoch ms]`, perhaps followed by `true` (extra logging) and the parent's list: 2 to 4 elements."""

EMPTY_OBJECT = Raw(b"{}")


class Wire(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Base of all wire structs: immutable, camelCase, absent instead of null, unknown fields ignored."""


class Namespace(Wire, frozen=True):
    """A namespace by name, with the uuid that keys its limits and is the user part of its credentials."""

    name: str
    uuid: str


class UserLimits(Wire, frozen=True):
    """A namespace's own limits; None means the system's default. Memory and logs in MB, timeouts in ms."""

    invocations_per_minute: int | None = None
    concurrent_invocations: int | None = None
    fires_per_minute: int | None = None
    allowed_kinds: list[str] | None = None
    store_activations: bool | None = None
    min_action_memory: int | None = None
    max_action_memory: int | None = None
    min_action_logs: int | None = None
    max_action_logs: int | None = None
    min_action_timeout: int | None = None
    max_action_timeout: int | None = None
    min_action_concurrency: int | None = None
    max_action_concurrency: int | None = None
    max_parameter_size: str | None = None
    max_payload_size: str | None = None
    truncation_size: str | None = None
    warmed_container_keeping_count: int | None = None
    warmed_container_keeping_timeout: str | None = None
    max_action_instances: int | None = None


class Identity(Struct, frozen=True):
    """Who invokes. `authkey` is `{"api_key": "uuid:key"}`, or empty where it was taken out (the journal)."""

    subject: str
    namespace: Namespace
    authkey: dict[str, Any] = {}
    rights: tuple[str, ...] = ("READ", "PUT", "DELETE", "ACTIVATE")
    limits: UserLimits = UserLimits()


class ActionName(Wire, frozen=True):
    """`path` is `namespace` or `namespace/package` without a leading slash; `binding` the binding's path if one was used."""

    path: str
    name: str
    version: str | None = None
    binding: str | None = None

    @property
    def fqn(self) -> str:
        """`namespace/[package/]name`: the `path` annotation of records and the id of the action document."""
        return f"{self.path}/{self.name}"

    @property
    def called(self) -> str:
        """The name that leads here again: through the binding, if one was used."""
        return f"{self.binding or self.path}/{self.name}"


class ControllerId(Struct, frozen=True, rename="camel"):
    """Which controller waits: `as_string` names its topic of acknowledgements. Its type is always written, as upstream does."""

    as_string: str
    instance_type: str = "controller"


class ActivationMessage(Struct, frozen=True, rename="camel"):
    """One invocation, as a controller posts it to an invoker. `content` holds the merged arguments."""

    transid: TransId
    action: ActionName
    revision: str | None
    user: Identity
    activation_id: str
    root_controller_index: ControllerId
    blocking: bool
    content: Raw | UnsetType = UNSET
    init_args: list[str] = []
    locked_args: dict[str, str] = {}
    cause: str | UnsetType = UNSET
    trace_context: dict[str, str] | UnsetType = UNSET

    @property
    def start(self) -> int:
        """Start of the transaction in epoch ms: the zero point of `waitTime`."""
        return int(self.transid[1])


class Limits(Struct, frozen=True, omit_defaults=False):
    """An action's limits: `timeout` ms, `memory` MB, `logs` MB, `concurrency` activations per container."""

    timeout: int = 60_000
    memory: int = 256
    logs: int = 10
    concurrency: int = 1


class Response(Wire, frozen=True):
    """How an activation ended: `status_code` 0 success, 1 application, 2 developer, 3 whisk error; result as raw JSON."""

    status_code: int
    result: Raw | UnsetType = UNSET
    size: int | UnsetType = UNSET


class KeyValue(Struct, frozen=True):
    """One annotation or parameter."""

    key: str
    value: Any


class ActivationRecord(Wire, frozen=True):
    """The record of an activation as it is stored: written once, never changed. Times in epoch ms."""

    namespace: str
    name: str
    subject: str
    activation_id: str
    start: int
    end: int
    response: Response
    version: str
    annotations: list[KeyValue]
    logs: list[str] | UnsetType = UNSET
    publish: bool | UnsetType = UNSET
    duration: int | UnsetType = UNSET
    cause: str | UnsetType = UNSET

    @property
    def doc_id(self) -> str:
        """`namespace/activationId`: the key under which the record is stored."""
        return f"{self.namespace}/{self.activation_id}"


decode_message = msgspec.json.Decoder(ActivationMessage).decode
encode = msgspec.json.Encoder().encode
