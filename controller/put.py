"""What every PUT of an entity begins with: body and `overwrite`, sizes, versions."""

from __future__ import annotations

from controller import errors
from controller.context import Api
from controller.http import Request
from controller.json_text import JsonError, read_json
from controller.put_schema import EntityPut, pairs_size

FIRST_VERSION = "0.0.1"


async def read_put(api: Api, request: Request, collection: str) -> tuple[bool, EntityPut]:
    """`overwrite` and the body of a PUT, checked in upstream's order. Raises ApiError 400, 413, 415."""
    body, value = await request.json()
    if not body:
        try:
            read_json(body)
        except JsonError as error:
            raise errors.malformed(str(error)) from None
    given = api.put_reader.given(body, value)
    content = api.put_reader.content(given)
    _check_size("exec", content.exec.size if content.exec else 0, api.limits.exec_size)
    _check_size("parameters", pairs_size(content.parameters), api.effective(request.identity).parameters)
    _check_size("annotations", pairs_size(content.annotations), api.limits.annotations)
    overwrite = request.query.flag("overwrite")
    return overwrite, api.put_reader.details(collection, given, content)


def _check_size(what: str, size: int, most: int) -> None:
    if size > most:
        raise errors.too_large(what, size, most)


def next_version(version: str) -> str:
    """The version with its last number raised by one."""
    head, _, patch = version.rpartition(".")
    return f"{head}.{int(patch) + 1}"
