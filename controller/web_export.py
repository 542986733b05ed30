"""How an action is open to the web, as its annotations say."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from controller.entities import Pair

_TRUE, _FALSE = b"true", b"false"


class WebExport(Struct, frozen=True):
    """How an action is open to the web. `required`: True any valid user, False anybody, a secret, or None: closed to all."""

    raw: bool
    custom_options: bool
    required: bool | str | None


def web_export(annotations: list[Pair]) -> WebExport | None:
    """What the annotations say of the web; None unless `web-export` is true, the boolean (openwhisk-controller.md 4.8)."""
    said = {pair.key: bytes(pair.value) for pair in annotations}
    if said.get("web-export") != _TRUE:
        return None
    auth = said.get("require-whisk-auth", _FALSE)
    required: bool | str | None = None
    if auth in (_TRUE, _FALSE):
        required = auth == _TRUE
    elif auth[:1] == b'"':
        required = msgspec.json.decode(auth, type=str)
    elif auth[:1] in b"-0123456789":
        required = auth.decode()
    return WebExport(said.get("raw-http") == _TRUE, said.get("web-custom-options") == _TRUE, required)
