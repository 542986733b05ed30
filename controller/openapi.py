"""The OpenAPI document: every route, what it takes and what it answers. Made of the tables of routes, so that none is missing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from controller import namespaces, routes, system
from controller.cors import Cors
from controller.http import Reply
from controller.openapi_schemas import (
    ANY,
    BOOLEAN,
    ID_PATTERN,
    INTEGER,
    NAME_PATTERN,
    SCHEMAS,
    TEXT,
    Schema,
    array,
    of,
)
from controller.routes import CONTENTS, LIST, ONE, SHOWN_PATHS, TWO
from controller.web_request import METHODS

Operation = dict[str, Any]

PATH = "/api/v1/api-docs"
_BASE = "/api/v1/namespaces"
_WEB = "/api/v1/web/{namespace}/{package}/{action}"


class Said(Struct, frozen=True):
    """What a kind of route has beside its path: parameters of the query, body, what it answers by status."""

    answers: dict[int, Schema | None]
    query: tuple[tuple[str, Schema], ...] = ()
    body: Schema | None = None
    needs_body: bool = False


_FLAG, _SKIP = BOOLEAN, {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
_PAGE: tuple[tuple[str, Schema], ...] = (
    ("limit", {"type": "integer", "minimum": 0, "maximum": 200}), ("skip", _SKIP), ("count", _FLAG)
)  # fmt: skip
_PLAIN: Schema = {"type": "string", "const": "OK"}
_OBJECT: Schema = {"type": "object"}
_OVERWRITE = (("overwrite", _FLAG),)


def _list(row: str, *more: tuple[str, Schema]) -> Said:
    return Said({200: {"anyOf": [array(of(row)), {"type": "object", "additionalProperties": INTEGER}]}}, (*_PAGE, *more))


def _entity(name: str) -> dict[str, Said]:
    return {
        "GET": Said({200: of(name)}, (("code", _FLAG),) if name == "Action" else ()),
        "PUT": Said({200: of(name)}, _OVERWRITE, of(f"{name}Put"), True),
        "DELETE": Said({200: of(name)}, (("force", _FLAG),) if name == "Package" else ()),
    }


_INVOKE = Said(
    {200: ANY, 202: of("ActivationId"), 500: ANY, 502: ANY},
    (("blocking", _FLAG), ("result", _FLAG), ("timeout", {"type": "integer", "minimum": 1, "maximum": 60_000})),
    _OBJECT,
)
_SINCE = {"type": "integer", "minimum": 0, "maximum": 2**53}

SAID: dict[tuple[str, str], dict[str, Said]] = {
    ("actions", LIST): {"GET": _list("ActionRow")},
    ("actions", CONTENTS): {"GET": _list("ActionRow")},
    ("actions", ONE): {**_entity("Action"), "POST": _INVOKE},
    ("actions", TWO): {**_entity("Action"), "POST": _INVOKE},
    ("packages", LIST): {"GET": _list("PackageRow")},
    ("packages", ONE): _entity("Package"),
    ("triggers", LIST): {"GET": _list("TriggerRow")},
    ("triggers", ONE): {**_entity("Trigger"), "POST": Said({202: of("ActivationId"), 204: None}, body=_OBJECT)},
    ("rules", LIST): {"GET": _list("RuleRow")},
    ("rules", ONE): {**_entity("Rule"), "POST": Said({200: _PLAIN}, body=of("RuleStatus"), needs_body=True)},
    ("activations", LIST): {
        "GET": _list("ActivationRow", ("name", TEXT), ("since", _SINCE), ("upto", _SINCE), ("docs", _FLAG), ("dead", _FLAG))
    },
    ("activations", ONE): {"GET": Said({200: {"anyOf": [of("Activation"), of("ActivationState")]}}, (("pending", _FLAG),))},
    ("activations", CONTENTS): {"GET": Said({200: {"anyOf": [of("Activation"), of("ActivationState")]}}, (("pending", _FLAG),))},
    ("activations", TWO): {
        "GET": Said({200: {"anyOf": [of("Logs"), of("Response")]}}), "POST": Said({202: of("ActivationId")}, body=_OBJECT),
    },
    ("limits", LIST): {"GET": Said({200: of("NamespaceLimits")})},
    ("limits", ONE): {"GET": Said({})},
}  # fmt: skip
"""By collection and shape of the path."""


def _answered(schema: Schema | None) -> Operation:
    if schema is None:
        return {"description": "Done."}
    if schema is _PLAIN:
        return {"description": "Done.", "content": {"text/plain": {"schema": schema}}}
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


_FAILED: Operation = {
    "description": "Why not.",
    "content": {"application/json": {"schema": of("Error")}, "text/plain": {"schema": TEXT}},
}


def _operation(handler: Callable[..., object], said: Said, path: str, collection: str) -> Operation:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(name, collection)}
        for name in ("namespace", "package", "name")
        if f"{{{name}}}" in path
    ]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in said.query]
    if said is _INVOKE:
        parameters.append({"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "pattern": "^[!-~]{1,64}$"}})
    answers = {str(status): _answered(schema) for status, schema in said.answers.items()}
    found: Operation = {
        "summary": (handler.__doc__ or "").partition("\n")[0],
        "tags": [collection],
        "parameters": parameters,
        "responses": {**answers, "default": _FAILED},
        "security": [{"key": []}],
    }
    if said.body is not None:
        found["requestBody"] = {"required": said.needs_body, "content": {"application/json": {"schema": said.body}}}
    return found


def _path_schema(name: str, collection: str) -> Schema:
    if collection == "activations" and name == "package":
        return {"type": "string", "pattern": ID_PATTERN}
    if collection == "activations" and name == "name":
        return {"anyOf": [{"type": "string", "pattern": ID_PATTERN}, {"enum": ["logs", "result", "retry"]}]}
    return {"type": "string", "pattern": NAME_PATTERN}


def _namespaces() -> dict[str, dict[str, Operation]]:
    own = Said({200: array(TEXT)})
    found = {_BASE: {"get": _operation(namespaces.own, own, _BASE, "namespaces")}}
    for (collection, shape, method), handler in routes.ROUTES.items():
        path = f"{_BASE}/{{namespace}}/{collection}{SHOWN_PATHS[shape]}"
        operation = _operation(handler, SAID[collection, shape][method], path, collection)
        found.setdefault(path, {})[method.lower()] = operation
    return found


def _web() -> dict[str, dict[str, Operation]]:
    names = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": NAME_PATTERN}}
        for name in ("namespace", "package", "action")
    ]
    anything: Operation = {"description": "What the action says."}
    operation: Operation = {
        "summary": "A web action, open to everybody: `.http`, `.json`, `.html`, `.svg` or `.text` after its name shape the answer.",
        "tags": ["web"], "parameters": names, "responses": {"default": anything}, "security": [{}, {"key": []}],
    }  # fmt: skip
    body = {"content": {"application/json": {"schema": ANY}, "text/plain": {"schema": TEXT}}}
    bodies = ("POST", "PUT", "PATCH", "DELETE")
    return {_WEB: {name.lower(): {**operation, "requestBody": body} if name in bodies else operation for name in sorted(METHODS)}}


def _beside() -> dict[str, dict[str, Operation]]:
    """Information, health and the operator's routes."""
    answers = {"default": {"description": "See the summary."}}
    tables: dict[str, dict[str, system.Handler]] = {**system.ROUTES, "/api/v1": {"GET": system.api_info}}
    found: dict[str, dict[str, Operation]] = {
        PATH: {"get": {"summary": "This document.", "tags": ["system"], "responses": answers}}
    }
    for path, methods in tables.items():
        for method, handler in methods.items():
            summary = (handler.__doc__ or "").partition("\n")[0]
            found.setdefault(path, {})[method.lower()] = {"summary": summary, "tags": ["system"], "responses": answers}
    return found


def document() -> dict[str, Any]:
    """All of it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "OpenWhisk API", "version": "1.0.0",
            "description": "What rewhisk serves of Apache OpenWhisk's REST API, and beside it.",
        },
        "servers": [{"url": "/"}],
        "paths": {**_namespaces(), **_web(), **_beside()},
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"key": {"type": "http", "scheme": "basic", "description": "uuid and key of a namespace"}},
        },
    }  # fmt: skip


@cache
def answer() -> Reply:
    """GET /api/v1/api-docs. Made with the first request."""
    return Reply(200, msgspec.json.encode(document()), Cors.REST)
