"""The table of routes under /api/v1/namespaces: collection, shape of the path and method lead to a handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from controller import actions, activations, dead_letters, errors, fire, invoke, names, namespaces, packages, rules, triggers
from controller.context import Api
from controller.http import Request
from controller.stream import Answer

Handler = Callable[[Api, Request], Awaitable[Answer]]

LIST, ONE, CONTENTS, TWO = "list", "one", "contents", "two"
"""`collection[/]`, `collection/name`, `collection/name/`, `collection/first/second`."""

ROUTES: dict[tuple[str, str, str], Handler] = {
    ("actions", LIST, "GET"): actions.list_all,
    ("actions", CONTENTS, "GET"): actions.list_package,
    ("actions", ONE, "GET"): actions.get,
    ("actions", TWO, "GET"): actions.get,
    ("actions", ONE, "PUT"): actions.put,
    ("actions", TWO, "PUT"): actions.put,
    ("actions", ONE, "DELETE"): actions.delete,
    ("actions", TWO, "DELETE"): actions.delete,
    ("actions", ONE, "POST"): invoke.invoke,
    ("actions", TWO, "POST"): invoke.invoke,
    ("packages", LIST, "GET"): packages.list_all,
    ("packages", ONE, "GET"): packages.get,
    ("packages", ONE, "PUT"): packages.put,
    ("packages", ONE, "DELETE"): packages.delete,
    ("triggers", LIST, "GET"): triggers.list_all,
    ("triggers", ONE, "GET"): triggers.get,
    ("triggers", ONE, "PUT"): triggers.put,
    ("triggers", ONE, "DELETE"): triggers.delete,
    ("triggers", ONE, "POST"): fire.fire,
    ("rules", LIST, "GET"): rules.list_all,
    ("rules", ONE, "GET"): rules.get,
    ("rules", ONE, "PUT"): rules.put,
    ("rules", ONE, "DELETE"): rules.delete,
    ("rules", ONE, "POST"): rules.set_status,
    ("activations", LIST, "GET"): activations.list_all,
    ("activations", ONE, "GET"): activations.get,
    ("activations", CONTENTS, "GET"): activations.get,
    ("activations", TWO, "GET"): activations.part,
    ("activations", TWO, "POST"): dead_letters.retry,
    ("limits", LIST, "GET"): namespaces.limits,
    ("limits", ONE, "GET"): namespaces.limits_inner,
}

_NAMED = frozenset({"actions", "packages", "triggers", "rules"})
"""Collections whose members have entity names."""

SHOWN_PATHS = {LIST: "", ONE: "/{name}", CONTENTS: "/{package}/", TWO: "/{package}/{name}"}


def resolve(request: Request, segments: list[str]) -> Handler:
    """The handler for the segments after `namespaces`; sets what they name on the request. Raises ApiError 400, 404."""
    if not segments or segments == [""]:
        if request.method != "GET":
            raise errors.unknown_path()
        return namespaces.own
    if len(segments) < 2 or not segments[0]:
        raise errors.unknown_path()
    namespace, collection, rest = segments[0], segments[1], segments[2:]
    handler = ROUTES.get((collection, _shape(rest), request.method))
    if handler is None:
        raise errors.unknown_path()
    own = request.identity.namespace.name
    request.namespace = own if namespace in ("_", own) else names.check_namespace(unquote(namespace))
    decoded = [unquote(part) if "%" in part else part for part in rest if part]
    if collection in _NAMED:
        for part in decoded:
            names.check_entity(part)
    request.package, request.name = ("", "", *decoded)[-2:] if len(decoded) != 1 else ("", decoded[0])
    return handler


def _shape(rest: list[str]) -> str:
    if not rest or rest == [""]:
        return LIST
    if len(rest) > 2 or not rest[0]:
        return ""
    if len(rest) == 1:
        return ONE
    return TWO if rest[1] else CONTENTS
