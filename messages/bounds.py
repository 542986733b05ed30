"""Limits of actions against bounds: the texts that people see, the same wherever it is checked (openwhisk-controller.md 1.5)."""

from __future__ import annotations

from messages.wire import Limits, UserLimits

_CHECKED = (
    ("duration", "timeout", " milliseconds"), ("memory size", "memory", " MB"), ("concurrency", "concurrency", ""),
    ("log size", "logs", " MB"),
)  # fmt: skip
"""What it is called, its field, its unit; in the order in which an invoker looks (openwhisk-invoker.md 2.1)."""


def out_of_bounds(what: str, value: int, unit: str, least: int | None, most: int | None) -> str | None:
    """What is wrong with a value, None if it lies within; None for a bound: there is none."""
    if least is not None and value < least:
        relation, bound = "below", least
    elif most is not None and value > most:
        relation, bound = "exceeds", most
    else:
        return None
    return f"requirement failed: {what} {value}{unit} {relation} allowed threshold of {bound}{unit}"


def beyond_namespace(limits: Limits, user: UserLimits) -> str | None:
    """Why a stored action may no longer run for this caller: the namespace's bounds were narrowed since. None if it may."""
    for what, name, unit in _CHECKED:
        least, most = getattr(user, f"min_action_{name}"), getattr(user, f"max_action_{name}")
        if least is None and most is None:
            continue
        problem = out_of_bounds(what, getattr(limits, name), unit, least, most)
        if problem is not None:
            return problem
    return None
