"""What a web action's result becomes as an HTTP answer, by the extension that was asked for (openwhisk-controller.md 4.8). Pure."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import msgspec
from marshmallow import ValidationError
from msgspec import Raw, Struct

from controller import errors, media
from controller.errors import ApiError
from controller.exec import is_binary
from controller.media import MediaType

HTML, TEXT, SVG = "text/html", "text/plain", "image/svg+xml"
UTF_8 = "UTF-8"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_STATUS = re.compile(r"[+-]?[0-9]{1,9}")
_OURS = frozenset({
    "content-type", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer", "server", "date"
})  # fmt: skip
"""Headers that the server or the body decides, whatever an action says."""

_raw_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode = msgspec.json.Decoder().decode


class WebAnswer(Struct, frozen=True):
    """An answer before cross-origin headers. `content_type` is empty if there is no body to speak of."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()


def answer(extension: str, result: Raw) -> WebAnswer:
    """The answer that this result stands for. Raises ApiError 400 or 404 if it stands for none."""
    return _TRANSCODERS[extension](result)


def _kind(value: Raw) -> str:
    return bytes(value).lstrip()[:1].decode()


def _projected(result: Raw, field: str) -> Raw | None:
    """`body`, else the extension's own field; a result that is no object stands for itself."""
    if _kind(result) != "{":
        return result
    fields = _raw_object(result)
    return fields.get("body", fields.get(field))


def _as_json(result: Raw) -> WebAnswer:
    if _kind(result) not in ("{", "["):
        raise errors.not_valid_media(media.JSON)
    return WebAnswer(200, msgspec.json.format(bytes(result), indent=-1), media.JSON)


def _as_markup(field: str, media_type: str, charset: str) -> Callable[[Raw], WebAnswer]:
    def transcoded(result: Raw) -> WebAnswer:
        shown = _projected(result, field)
        if shown is None or _kind(shown) != '"':
            raise errors.not_valid_media(media_type)
        return WebAnswer(200, _decode(shown).encode(), media_type + charset)

    return transcoded


def _as_text(result: Raw) -> WebAnswer:
    shown = _projected(result, "text")
    if shown is None:
        raise errors.web_failed(404, errors.NO_PROPERTY)
    text = _decode(shown) if _kind(shown) == '"' else pretty(shown)
    return WebAnswer(200, text.encode(), f"{TEXT}; charset={UTF_8}")


def pretty(value: Raw, indent: int = 0) -> str:
    """JSON as upstream prints it for people: objects over several lines, arrays in one, numbers as they came."""
    kind = _kind(value)
    if kind == "{":
        inner = " " * (indent + 2)
        rows = [f"{inner}{_quoted(key)}: {pretty(item, indent + 2)}" for key, item in _raw_object(value).items()]
        return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}" if rows else "{\n\n" + " " * indent + "}"
    if kind == "[":
        return "[" + ", ".join(pretty(item, indent) for item in msgspec.json.decode(value, type=list[Raw])) + "]"
    return bytes(value).strip().decode()


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _as_http(result: Raw) -> WebAnswer:
    if _kind(result) != "{":
        raise errors.not_valid_media(errors.HTTP_MESSAGE)
    fields = _raw_object(result)
    given = _decode(fields["headers"]) if "headers" in fields else {}
    if not isinstance(given, dict):
        raise errors.not_valid_media(errors.HTTP_MESSAGE)
    headers = tuple(_header(name, value) for name, item in given.items() for value in (item if isinstance(item, list) else [item]))
    body = fields.get("body", Raw(b"null"))
    bare = _decode(body) if _kind(body) in ('"', "n") else body
    status = _status(fields["statusCode"]) if "statusCode" in fields else 200 if bare else 204
    kept = tuple((name, value) for name, value in headers if name.decode().lower() not in _OURS)
    if not bare:
        return WebAnswer(status, headers=kept)
    declared = next((value for name, value in given.items() if name.lower() == "content-type"), None)
    encoded, content_type = _text_body(bare, declared) if isinstance(bare, str) else _json_body(body, declared)
    if status in (204, 304):
        return WebAnswer(status, headers=kept)
    return WebAnswer(status, encoded, content_type, kept)


def _status(given: Raw) -> int:
    value = _decode(given)
    if isinstance(value, str) and _STATUS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
        raise errors.not_valid_media(errors.HTTP_MESSAGE)
    return value


def _header(name: str, value: Any) -> tuple[bytes, bytes]:
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int | float):
        text = msgspec.json.encode(value).decode()
    elif isinstance(value, str):
        text = value
    else:
        raise errors.not_valid_media(errors.HTTP_MESSAGE)
    if _TOKEN.fullmatch(name) is None or _VALUE.fullmatch(text) is None:
        raise errors.not_valid_media(errors.HTTP_MESSAGE)
    return name.encode(), text.encode()


def _declared(given: Any, default: str) -> MediaType:
    """Raises ApiError 400 if what the action says is no media type."""
    found = media.parse(default if given is None else given) if given is None or isinstance(given, str) else None
    if found is None:
        raise errors.web_failed(400, errors.CONTENT_TYPE_UNKNOWN)
    return found


def _text_body(text: str, declared: Any) -> tuple[bytes, str]:
    """Text as it is, base64 decoded where the type is binary. JSON and XML types take both: upstream can't send those as text."""
    media_type = _declared(declared, HTML)
    if media_type.text:
        return text.encode(), media_type.shown(UTF_8)
    either = media_type.json or media_type.name.endswith("+xml")
    if either and not _looks_binary(text):
        return text.encode(), media_type.shown()
    try:
        return b64decode(text, validate=True), media_type.shown()
    except (binascii.Error, ValueError):
        raise _type_mismatch() from None


def _looks_binary(text: str) -> bool:
    try:
        return is_binary(text)
    except ValidationError:
        return False


def _json_body(value: Raw, declared: Any) -> tuple[bytes, str]:
    media_type = _declared(declared, media.JSON)
    if not media_type.json:
        raise _type_mismatch()
    if media_type.name == media.JSON:
        return msgspec.json.format(bytes(value), indent=-1), media.JSON
    return pretty(value).encode(), media_type.shown()


def _type_mismatch() -> ApiError:
    return errors.web_failed(400, errors.CONTENT_TYPE_MISMATCH)


_TRANSCODERS: dict[str, Callable[[Raw], WebAnswer]] = {
    ".http": _as_http,
    ".json": _as_json,
    ".html": _as_markup("html", HTML, f"; charset={UTF_8}"),
    ".svg": _as_markup("svg", SVG, ""),
    ".text": _as_text,
}
