"""Reading an answer of server-sent events whose data is JSON."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

from console.api import Api
from console.exits import Unreachable


def events(api: Api, path: str, connect: float, silence: float) -> Iterator[tuple[str, object]]:
    """Name and data of each event until the answer ends; comments and what isn't JSON are left out. Raises Unreachable, Refused."""
    connection, answer = api.stream(path, connect, silence)
    name = ""
    try:
        while line := answer.readline():
            field, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, _decoded(value)
            elif not field:
                name = ""
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"the connection to {api.target.url} broke: {error or type(error).__name__}", "ask again") from None
    finally:
        connection.close()


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
