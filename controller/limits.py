"""Limits of actions and namespaces: the system's, narrowed or widened by a namespace's own within the system's bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping

from marshmallow import ValidationError
from msgspec import Struct

from config.limits import Bounds, SystemLimits
from controller import errors
from controller.entities import LimitSet
from messages.bounds import out_of_bounds
from messages.wire import Identity, UserLimits

UNLIMITED = 2**31 - 1
"""How a rate without a limit is shown: clients expect a number."""

_NAMES = {"timeout": "time", "memory": "memory", "logs": "log", "concurrency": "concurrency", "instances": "instance concurrency"}
_SIZES = ("memory", "logs")


class LimitsPut(Struct, frozen=True):
    """Limits as given in a request: None keeps what is there."""

    timeout: int | None = None
    memory: int | None = None
    logs: int | None = None
    concurrency: int | None = None
    instances: int | None = None

    def over(self, old: LimitSet) -> LimitSet:
        """These, and the old ones where none is given."""

        def pick(new: int | None, kept: int) -> int:
            return kept if new is None else new

        return LimitSet(
            concurrency=pick(self.concurrency, old.concurrency),
            logs=pick(self.logs, old.logs),
            memory=pick(self.memory, old.memory),
            timeout=pick(self.timeout, old.timeout),
            instances=old.instances if self.instances is None else self.instances,
        )


def read_limits(given: object) -> LimitsPut:
    """Raises ValidationError with upstream's text. Unknown limits are ignored, null counts as absent."""
    if not isinstance(given, Mapping):
        raise ValidationError("Object expected in field 'timeout'")
    return LimitsPut(**{name: _whole(name, given.get(name)) for name in _NAMES})


def _whole(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValidationError(f"{_NAMES[name]} limit malformed")
    if isinstance(value, float) and not value.is_integer():
        raise ValidationError(f"requirement failed: {_NAMES[name]} limit must be whole number")
    number = _wrapped(int(value))
    if name in _SIZES and number < 0:
        raise ValidationError(errors.NEGATIVE_SIZE)
    return number


def _wrapped(value: int) -> int:
    """The low 32 bits, signed: how upstream's platform makes an int of any number."""
    low = value & 0xFFFFFFFF
    return low - 2**32 if low >= 2**31 else low


class Effective(Struct, frozen=True):
    """What applies to one namespace."""

    timeout: Bounds
    memory: Bounds
    logs: Bounds
    concurrency: Bounds
    parameters: int
    payload: int
    invocations_per_minute: int
    concurrent_invocations: int
    fires_per_minute: int
    max_instances: int

    def check(self, put: LimitsPut) -> None:
        """Raises ApiError 400 for the first limit out of bounds, in upstream's order."""
        _check("memory size", put.memory, self.memory, " MB")
        _check("duration", put.timeout, self.timeout, " milliseconds")
        _check("log size", put.logs, self.logs, " MB")
        _check("concurrency", put.concurrency, self.concurrency, "")
        if put.instances is None:
            return
        if put.instances < 0:
            raise errors.failed(400, "Action container concurrency must be greater than or equal to 0.")
        if put.instances > self.max_instances:
            text = f"Max action instance concurrency must not exceed your namespace concurrency of {self.max_instances}."
            raise errors.failed(400, text)


def _check(what: str, value: int | None, bounds: Bounds, unit: str) -> None:
    problem = None if value is None else out_of_bounds(what, value, unit, bounds.min, bounds.max)
    if problem is not None:
        raise errors.failed(400, problem)


def _narrowed(system: Bounds, low: int | None, high: int | None) -> Bounds:
    least = system.min if low is None else max(system.min, low)
    most = system.max if high is None else min(system.max, high)
    return Bounds(least, system.std, most)


_SIZE = re.compile(r"(\d{1,15}) ?([KMG]?)B", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def _size(own: str | None, most: int) -> int:
    """Bytes of a text such as `1048576 B` or `1 MB`, never more than `most`; that too if the text says nothing."""
    found = _SIZE.fullmatch(own.strip()) if own is not None else None
    return most if found is None else min(most, int(found[1]) * _UNITS[found[2].upper()])


def payload(identity: Identity, system: SystemLimits) -> int:
    """Bytes of an invocation's body that the namespace may send."""
    return _size(identity.limits.max_payload_size, system.payload)


def effective(identity: Identity, system: SystemLimits) -> Effective:
    """The limits of a namespace: its own where it has some, never beyond the system's."""
    own: UserLimits = identity.limits

    def rate(given: int | None, default: int | None) -> int:
        if given is not None:
            return given
        return UNLIMITED if default is None else default

    concurrent = rate(own.concurrent_invocations, system.concurrent_invocations)
    return Effective(
        timeout=_narrowed(system.timeout, own.min_action_timeout, own.max_action_timeout),
        memory=_narrowed(system.memory, own.min_action_memory, own.max_action_memory),
        logs=_narrowed(system.logs, own.min_action_logs, own.max_action_logs),
        concurrency=_narrowed(system.concurrency, own.min_action_concurrency, own.max_action_concurrency),
        parameters=_size(own.max_parameter_size, system.parameters),
        payload=payload(identity, system),
        invocations_per_minute=rate(own.invocations_per_minute, system.invocations_per_minute),
        concurrent_invocations=concurrent,
        fires_per_minute=rate(own.fires_per_minute, system.fires_per_minute),
        max_instances=concurrent if own.max_action_instances is None else min(concurrent, own.max_action_instances),
    )


def standard(system: SystemLimits) -> LimitSet:
    """What an action gets that asks for nothing."""
    return LimitSet(
        concurrency=system.concurrency.std, logs=system.logs.std, memory=system.memory.std, timeout=system.timeout.std
    )  # fmt: skip


def namespace_limits(identity: Identity, system: SystemLimits) -> dict[str, object]:
    """The answer of `GET namespaces/NS/limits` (openwhisk-controller.md 1.10)."""
    found = effective(identity, system)
    own = identity.limits
    optional: dict[str, object] = {
        "allowedKinds": own.allowed_kinds,
        "storeActivations": own.store_activations,
        "maxPayloadSize": own.max_payload_size,
        "truncationSize": own.truncation_size,
        "warmedContainerKeepingCount": own.warmed_container_keeping_count,
        "warmedContainerKeepingTimeout": own.warmed_container_keeping_timeout,
    }
    return {
        "invocationsPerMinute": found.invocations_per_minute,
        "concurrentInvocations": found.concurrent_invocations,
        "firesPerMinute": found.fires_per_minute,
        "minActionMemory": found.memory.min,
        "maxActionMemory": found.memory.max,
        "minActionLogs": found.logs.min,
        "maxActionLogs": found.logs.max,
        "minActionTimeout": found.timeout.min,
        "maxActionTimeout": found.timeout.max,
        "minActionConcurrency": found.concurrency.min,
        "maxActionConcurrency": found.concurrency.max,
        "maxParameterSize": f"{found.parameters} B",
        "maxActionInstances": found.max_instances,
        **{name: value for name, value in optional.items() if value is not None},
    }
