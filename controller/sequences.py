"""Sequences as entities: their components are checked when they are written."""

from __future__ import annotations

from controller import access, errors
from controller.context import Api
from controller.entities import ActionEntity
from messages.wire import Identity

TOO_LONG = "Too many actions in the sequence."
CYCLIC = "Sequence may not refer to itself."
COMPONENT_MISSING = "Sequence component does not exist."


async def checked(api: Api, identity: Identity, doc_id: str, components: list[str]) -> list[str]:
    """The components with the caller's namespace for `_`. Raises ApiError 400, 403, 404 (openwhisk-controller.md 1.5)."""
    if not components:
        raise errors.failed(400, errors.NO_COMPONENT)
    own = f"/{identity.namespace.name}/"
    resolved = [own + name.removeprefix("/_/") if name.startswith("/_/") else name for name in components]
    if len(resolved) > api.limits.sequence_length:
        raise errors.failed(400, TOO_LONG)
    await access.require_readable(identity, api.entities, [name[1:] for name in resolved])
    if await _length(api, doc_id, resolved, {}) > api.limits.sequence_length:
        raise errors.failed(400, TOO_LONG)
    return resolved


async def _length(api: Api, top: str, components: list[str], known: dict[str, int]) -> int:
    """Number of actions when nested sequences are unfolded; `known` counts each sequence once.

    Two that were written at the same time may name each other: one met inside itself counts as too long.
    """
    total = 0
    for name in components:
        component = await api.entities.behind(name[1:])
        if component == top:
            raise errors.failed(400, CYCLIC)
        if component not in known:
            found = await api.entities.find(component, ActionEntity)
            if found is None:
                raise errors.failed(400, COMPONENT_MISSING)
            inner = found[1].exec.components
            known[component] = api.limits.sequence_length + 1
            known[component] = 1 if inner is None else await _length(api, top, inner, known)
        total += known[component]
    return total
