"""The OpenAPI document: complete, and true of what the API answers to requests made from it."""

from __future__ import annotations

import asyncio
from typing import Any

import jsonschema
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from controller import openapi, routes, system
from controller.openapi_schemas import SCHEMAS
from controller.routes import SHOWN_PATHS
from controller.web_request import METHODS
from tests.controller.serving import basic, serving

EXAMPLES = 8
"""Requests for each operation."""


def test_every_route_is_described() -> None:
    paths = openapi.document()["paths"]
    for collection, shape, method in routes.ROUTES:
        operation = paths[f"/api/v1/namespaces/{{namespace}}/{collection}{SHOWN_PATHS[shape]}"][method.lower()]
        assert operation["summary"]
        assert ("requestBody" in operation) is (method in ("PUT", "POST"))
        assert "default" in operation["responses"]
    for path, methods in system.ROUTES.items():
        assert {method.lower() for method in methods} <= paths[path].keys()
    assert {method.lower() for method in METHODS} == paths["/api/v1/web/{namespace}/{package}/{action}"].keys()
    assert {"/api/v1", "/api/v1/api-docs", "/api/v1/namespaces"} <= paths.keys()


def test_the_schemas_are_schemas_and_refer_to_what_is_there() -> None:
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [one for item in value.values() for one in references(item)]
        return [one for item in value for one in references(item)] if isinstance(value, list) else []

    assert {name.rpartition("/")[2] for name in references(openapi.document())} <= SCHEMAS.keys()


async def test_answers_are_as_described() -> None:
    """Requests made from the document: no 500, no answer but those described."""
    async with serving() as server:
        for name in ("a", "0"):
            await server.put_action(name, annotations=[{"key": "web-export", "value": True}])
        await asyncio.to_thread(_all_operations, f"http://127.0.0.1:{server.port}")


def _all_operations(url: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}{openapi.PATH}")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 50
    for operation in operations:
        if operation.path not in ("/disable", "/admin/drain"):
            _one_operation(operation)


def _one_operation(operation: Any) -> None:
    checks = (schemathesis.checks.not_a_server_error, *_conformance())

    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        response = case.call(headers={"Authorization": basic("guest")}, timeout=30)
        if operation.path == "/invokers/ready":
            return
        case.validate_response(response, checks=checks)

    check()


def _conformance() -> tuple[Any, ...]:
    found = schemathesis.checks.CHECKS.get_by_names(
        ["status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    )
    return tuple(found)



