"""Work that is handed in once more: it is not run again, and whoever handed it in gets the answer, now or when it is there."""

from __future__ import annotations

from msgspec import UNSET

from actors.base import Services
from actors.route import Route, Routed
from messages.commands import Invoke, Repeated
from messages.lifecycle import UNENDED, Stage


def repeated(services: Services, routed: Routed | None, message: Invoke) -> bool | Repeated:
    """Whether its id is known. A `Repeated` is for the ResultWriter: the activation is over, and its record answers."""
    activation_id, delivered = message.message.activation_id, message.offset is not UNSET
    stage = services.journal.stage(activation_id)
    if routed is not None or stage in UNENDED:
        if delivered and services.acks is not None:
            services.acks.joined(activation_id)
        # Where the router doesn't have it, it was accepted before the router was restarted.
        if routed.state is not Route.ACCEPTING if routed else activation_id in services.journal.live:
            services.answers.accepted(activation_id)
        return True
    if stage is Stage.UNKNOWN and activation_id not in services.ended and not message.known:
        return False
    if delivered:
        services.answers.accepted(activation_id)
    return Repeated(message.message, delivered)
