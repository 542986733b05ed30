"""Triggers with a feed: the client, not the server, calls the feed's action when the trigger comes, changes or goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.api import entity_path
from console.entity_options import Row, parts, path_of, put
from console.exits import Failure, Refused

if TYPE_CHECKING:
    from console.api import Api

KEY = "feed"


def named_in(trigger: Row) -> str | None:
    """The feed that a trigger's annotations name."""
    pairs = trigger.get("annotations")
    values = [pair.get("value") for pair in pairs if pair.get("key") == KEY] if isinstance(pairs, list) else []
    return values[0] if values and isinstance(values[0], str) and values[0] else None


def of(api: Api, name: str) -> str | None:
    """The feed of a trigger; None if it has none or isn't there. Raises Refused, Unreachable."""
    reply = api.call("GET", path_of("triggers", name))
    if reply.status == 404:
        return None
    if reply.status != 200:
        raise api.refusal(reply)
    return named_in(reply.document)


def create(api: Api, name: str, feed: str, content: Row) -> Row:
    """Make the trigger, then tell the feed; without the feed there is no trigger. Raises Refused, Unreachable."""
    annotations = content.get("annotations") or []
    stored = put(api, "triggers", name, {"annotations": [*annotations, {"key": KEY, "value": feed}]}, False)
    try:
        call(api, feed, "CREATE", name, content)
    except Failure:
        api.call("DELETE", path_of("triggers", name))
        raise
    return stored


def call(api: Api, feed: str, event: str, name: str, content: Row) -> Row:
    """What the feed's action answers to this event in the trigger's life. Raises Refused, Unreachable."""
    namespace, simple = parts(name)
    if namespace == "_":
        own = api.ask("GET", "namespaces").body
        namespace = str(own[0]) if isinstance(own, list) and own else "_"
    given = {pair["key"]: pair["value"] for pair in content.get("parameters") or []}
    body = {**given, "lifecycleEvent": event, "triggerName": f"/{namespace}/{simple}", "authKey": api.target.auth}
    path = entity_path(feed if feed.startswith("/") else f"/{feed}", "actions")
    reply = api.call("POST", path, body, {"blocking": "true", "result": "true"})
    if reply.status == 200:
        return reply.document
    if reply.status == 202:
        raise Refused(f"the feed {feed} did not answer {event} in time")
    raise Refused(f"the feed {feed} refused {event}: {api.refusal(reply).message}")
