"""What a web action gets to see of a request: its path, and query, body and metadata as arguments (openwhisk-controller.md 4.8)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote, unquote, unquote_plus, unquote_to_bytes

import msgspec
from msgspec import Raw, Struct

from controller import errors, media, names
from controller.http import Request
from controller.json_text import JsonError, read_json
from controller.media import MediaType

EXTENSIONS = (".http", ".json", ".html", ".svg", ".text")
METHODS = frozenset({"GET", "DELETE", "POST", "PUT", "HEAD", "OPTIONS", "PATCH"})
RESERVED = frozenset(f"__ow_{name}" for name in ("method", "headers", "path", "user", "query", "body"))

_DEFAULT_PACKAGE = "default"
_PATH_SAFE = "!$&'()*+,;=:@"
_QUERY_SAFE = "!$'()*,:@/?"
"""What upstream's HTTP library leaves as it is when it prints a path and a query."""

_NOT_HEADERS = frozenset({b"content-type", b"content-length", b"transfer-encoding"})
"""They belong to the body, which upstream's HTTP library keeps apart."""

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class WebPath(Struct, frozen=True):
    """What `/api/v1/web/…` names: an action, how to answer, and the rest of the path. `package` is empty for `default`."""

    namespace: str
    package: str
    action: str
    extension: str
    rest: str


def parse_path(segments: list[str]) -> WebPath | None:
    """The path after `/api/v1/`, in segments as they came; None unless it can name a web action."""
    if len(segments) < 4 or segments[0] != "web":
        return None
    namespace, package, name = (unquote(segment) for segment in segments[1:4])
    if not (names.is_name(namespace) and names.is_name(package) and names.is_name(name)):
        return None
    extension = next((each for each in EXTENSIONS if name.endswith(each)), "")
    action = name.removesuffix(extension)
    rest = "".join("/" + quote(unquote_to_bytes(segment), safe=_PATH_SAFE) for segment in segments[4:])
    return WebPath(namespace, "" if package == _DEFAULT_PACKAGE else package, action, extension or ".http", rest)


def metadata(request: Request, path: WebPath, user: str | None, media_type: MediaType | None) -> dict[str, object]:
    """The arguments that describe the request itself.

    Credentials of a `user` of this API are not among the headers: the action is somebody else's, and arguments are journaled.
    """
    hidden = _NOT_HEADERS if user is None else _NOT_HEADERS | {b"authorization"}
    kept = {name: value for name, value in request.headers.items() if name not in hidden}
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in kept.items()}
    if media_type is not None:
        headers["content-type"] = media_type.shown(media_type.charset.upper())
    found: dict[str, object] = {"__ow_method": request.method.lower(), "__ow_headers": headers, "__ow_path": path.rest}
    if user is not None:
        found["__ow_user"] = user
    return found


def media_type_of(request: Request, body: bytes) -> MediaType | None:
    """What the body is; octets if nothing usable is said of it; None without body and header."""
    given = request.headers.get(b"content-type")
    if given is None:
        return MediaType(media.OCTETS) if body else None
    return media.parse(given.decode("latin-1")) or MediaType(media.OCTETS)


def raw_arguments(query: bytes, body: bytes, media_type: MediaType | None) -> dict[str, object]:
    """Query and body as they are: the whole of raw mode."""
    return {"__ow_query": _rewritten(query), "__ow_body": _body_text(body, media_type) if body else ""}


def merged_arguments(query: bytes, body: bytes, media_type: MediaType | None, locked: Iterable[str]) -> dict[str, object]:
    """Query parameters and fields of the body, which win. Raises ApiError 400: malformed, or naming what may not be given."""
    found: dict[str, object] = dict(_pairs(query))
    other: object = None
    if body and media_type is not None and media_type.json:
        try:
            text, value = read_json(body)
        except JsonError as error:
            raise errors.malformed(str(error)) from None
        if isinstance(value, dict):
            found.update(_fields(text))
        else:
            other = Raw(text)
    elif body and media_type is not None and media_type.name == media.FORM:
        found.update(_pairs(body))
    elif body:
        other = _body_text(body, media_type)
    if not RESERVED.isdisjoint(found) or not found.keys().isdisjoint(locked):
        raise errors.web_failed(400, errors.RESERVED_PARAMETERS)
    return found if other is None else {**found, "__ow_body": other}


def _pairs(query: bytes) -> list[tuple[str, str]]:
    parts = (part.partition("=") for part in query.decode("utf-8", "replace").split("&") if part)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in parts]


def _rewritten(query: bytes) -> str:
    """The query as upstream's HTTP library prints what it has read."""

    def printed(text: str) -> str:
        return quote(unquote_to_bytes(text.replace("+", " ")), safe=_QUERY_SAFE + " ").replace(" ", "+")

    parts = (part.partition("=") for part in query.decode("latin-1").split("&"))
    return "&".join(printed(name) + equals + printed(value) for name, equals, value in parts)


def _body_text(body: bytes, media_type: MediaType | None) -> str:
    """Text as it is; everything else, JSON too, as base64."""
    if media_type is None or not media_type.text:
        return b64encode(body).decode()
    try:
        text = body.decode(media_type.charset or "utf-8", "replace")
    except (LookupError, ValueError):
        text = body.decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode()


def content(defaults: dict[str, Raw], arguments: dict[str, object]) -> Raw:
    """The action's arguments: its own parameters, and over them what the request says."""
    return Raw(_encode({**defaults, **arguments}))
