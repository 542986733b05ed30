"""What the REST API is given from outside: stores, the invoker, settings, clock and ids."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from config.limits import SystemLimits
from config.manifest import Manifest
from config.param_keys import ParamKeys
from messages.events import Accepted
from messages.wire import ControllerId
from store.contract import ActivationStore, EntityStore, SubjectStore
from transport.contract import Compositions, Invoker


@dataclass(frozen=True, slots=True)
class Info:
    """What the API says of itself; the defaults are what OpenWhisk's standalone server answers."""

    build: str = "???"
    buildno: str = "standalone"


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator's side: status, drain and metrics, and the key to them. No admin key: nobody is the operator."""

    admin_key: str | None = None
    status: Callable[[str | None], dict[str, object]] = lambda namespace: {}
    """A JSON-able state of the node; of one namespace alone if one is named."""
    drain: Callable[[], None] = lambda: None
    metrics: Callable[[], bytes] = lambda: b""
    """Prometheus text."""
    in_flight: Callable[[], Sequence[tuple[str, str]]] = tuple
    """(activation id, action) of everything unfinished."""
    draining: Callable[[], bool] = lambda: False
    invokers: Callable[[], Mapping[str, str]] = dict
    """What `/invokers` answers; empty where this process is its only invoker."""


async def nothing_kept(activation_id: str) -> Accepted | None:
    """No journal is at hand."""
    return None


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """Everything `create_app` needs. Times in seconds unless named otherwise."""

    entities: EntityStore
    activations: ActivationStore
    subjects: SubjectStore
    invoker: Invoker
    compositions: Compositions
    manifest: Manifest
    wall_ms: Callable[[], int]
    monotonic: Callable[[], float]
    new_activation_id: Callable[[], str]
    """32 lower-case hex digits."""
    new_transid: Callable[[], str]
    """32 letters and digits."""
    accepted: Callable[[str], Awaitable[Accepted | None]] = nothing_kept
    """What an activation was accepted with, as long as a journal holds it."""
    limits: SystemLimits = field(default_factory=SystemLimits)
    controller: ControllerId = field(default_factory=lambda: ControllerId("0"))
    controllers: Callable[[], int] = lambda: 1
    """How many controllers share the load, this one included."""
    cors: Sequence[str] | None = None
    loopback: bool = True
    """Whether the server listens on a loopback address: then foreign Host headers are refused."""
    hosts: Sequence[str] = ()
    """Host names taken beside the local ones: the bind address, --api-host's."""
    info: Info = field(default_factory=Info)
    operator: Operator = field(default_factory=Operator)
    cron: bool = False
    """Whether triggers with an annotation `cron` fire by the clock."""
    param_keys: ParamKeys = field(default_factory=ParamKeys)
    """What parameters are encrypted with where they are stored."""
    auth_ttl: float = 5.0
    """How long credentials found in the store are trusted without looking again (upstream: 5 minutes)."""
    entity_ttl: float = 5.0
    """How long an action is invoked without looking whether another process changed it."""
    cached_bytes: int = 64 << 20
    """Code of actions kept decoded between invocations."""
