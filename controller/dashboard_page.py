"""GET /dashboard: a page that shows the node by its own API. It needs no build step and asks no other machine for anything."""

from __future__ import annotations

from pathlib import Path

from controller.context import Api
from controller.cors import Cors
from controller.http import Reply, Request

_FILES = {"/dashboard": "index.html", "/dashboard/app.js": "app.js", "/dashboard/style.css": "style.css"}
_TYPES = {".html": b"text/html; charset=utf-8", ".js": b"text/javascript; charset=utf-8", ".css": b"text/css; charset=utf-8"}

_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)

PATHS = tuple(_FILES)


async def file(api: Api, request: Request) -> Reply:
    """One of the page's files. It holds nothing secret: what it shows the API gives to whoever has a key."""
    name = _FILES[request.scope["path"]]
    path = Path(__file__).parent / "dashboard" / name
    return Reply(200, path.read_bytes(), Cors.NONE, _TYPES[path.suffix], _HEADERS)
