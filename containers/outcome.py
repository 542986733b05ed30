"""What an activation's record says, from what its container answered: status code, exact text, size. Pure.

Rules and texts: openwhisk-invoker.md 2.5, 4.2, 4.5, 5.2, 5.3. A result is made storable here (design.md, contract 3):
characters that are none become U+FFFD, numbers that JSON can't hold make it an invalid answer; all else stays as the
runtime wrote it, without white space between its tokens.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import UNSET, Raw

from containers.contract import Answer, Failure, Result
from messages.wire import Response

SUCCESS, APPLICATION_ERROR, DEVELOPER_ERROR, WHISK_ERROR = range(4)

NOT_INITIALIZED = "The action did not initialize and exited unexpectedly."
NO_RESPONSE = "The action did not produce a valid response and exited unexpectedly."
MEMORY_EXHAUSTED = "The action exhausted its memory and was aborted."
NOT_FOUND = "Action could not be found or may have been deleted."
NOT_COMPATIBLE = "Action version is not compatible and cannot be invoked."
NOT_FETCHED = "Action could not be fetched."
NO_RESOURCES = "Failed to provision resources to run the action."

UNAVAILABLE = 503
"""The status by which a runtime says that it shuts down: nothing has been run (4.6)."""

_decode = msgspec.json.decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.encode
_ESCAPES = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)


def error_response(status_code: int, error: object, size: int | None = None) -> Response:
    """A response whose result is `{"error": error}`. Errors that the system makes have no size."""
    return Response(status_code, Raw(_encode({"error": error})), UNSET if size is None else size)


def init_timeout_text(limit_ms: int) -> str:
    """The text for an /init that took the action's whole time limit."""
    return f"The action exceeded its time limits of {limit_ms} milliseconds during initialization."


def run_timeout_text(limit_ms: int) -> str:
    """The text for a /run that took the action's whole time limit."""
    return f"The action exceeded its time limits of {limit_ms} milliseconds."


def image_text(image: str) -> str:
    """The text for a user's image that can't be had."""
    return f"Failed to pull container image '{image}'."


def timed_out(result: Result, duration_ms: int, limit_ms: int) -> bool:
    """Whether the record's `timeout` annotation is true: the interval reached the limit (4.5)."""
    return result is Failure.TIMEOUT or duration_ms >= limit_ms


def init_failure(result: Result, duration_ms: int, limit_ms: int, max_bytes: int) -> Response | None:
    """None if /init succeeded (however late: 4.5), else the activation's response. `max_bytes`: the largest body allowed."""
    if isinstance(result, Answer) and result.status == 200 and not result.truncated:
        return None
    if result is Failure.MEMORY:
        return error_response(DEVELOPER_ERROR, MEMORY_EXHAUSTED)
    if timed_out(result, duration_ms, limit_ms):
        return error_response(DEVELOPER_ERROR, init_timeout_text(limit_ms))
    if isinstance(result, Failure):
        return error_response(DEVELOPER_ERROR, NOT_INITIALIZED)
    if result.truncated:
        return _too_long(DEVELOPER_ERROR, result, max_bytes)
    return _own_error(result) or _unusable("The action failed during initialization", result.body)


def run_response(result: Result, duration_ms: int, limit_ms: int, max_bytes: int) -> Response:
    """How the activation ended, from its /run. A valid answer that came at the time limit or later is a timeout (4.5)."""
    if isinstance(result, Answer) and duration_ms < limit_ms:
        if result.truncated:
            return _too_long(APPLICATION_ERROR, result, max_bytes)
        if result.status == 200:
            return _success(result.body)
        return _own_error(result) or _invalid(result.body)
    if result is Failure.MEMORY:
        return error_response(DEVELOPER_ERROR, MEMORY_EXHAUSTED)
    if timed_out(result, duration_ms, limit_ms):
        return error_response(DEVELOPER_ERROR, run_timeout_text(limit_ms))
    return error_response(DEVELOPER_ERROR, NO_RESPONSE)


def is_retriable(result: Result, warm: bool) -> bool:
    """Whether the activation may be placed again without counting as an attempt, as no user code can have run for it.

    A runtime that answers 503 says so itself. A connection refused says so too, but on a container that was never used the
    refusal is the action's failure to start (4.6).
    """
    if isinstance(result, Answer):
        return result.status == UNAVAILABLE
    return warm and result is Failure.REFUSED


def is_container_lost(status_code: int, *, timeout: bool = False, log_failure: bool = False) -> bool:
    """Whether the container must go (4.2). `log_failure`: sentinels were missing, so later logs can't be told apart."""
    return status_code >= DEVELOPER_ERROR or timeout or log_failure


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, the unit of a response's `size`."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def storable_json(body: bytes) -> bytes | None:
    """`body` as JSON that every store takes, compact; None if it isn't JSON, too deep or holds a number out of range."""
    return parsed[0] if (parsed := _parse(body)) else None


def _parse(body: bytes) -> tuple[bytes, object] | None:
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        repaired = _repair(body)
        if repaired == body:
            return None
        body = repaired
        try:
            value = _decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
    return msgspec.json.format(body, indent=-1), value


def _repair(body: bytes) -> bytes:
    """Replace what isn't a character: bytes that aren't UTF-8, surrogates that stand alone."""
    text = body.decode("utf-8", "replace")
    return _ESCAPES.sub(lambda m: "\\ufffd" if m[2] else m[0], text).encode("utf-8")


def _size(body: bytes) -> int:
    return len(body) if body.isascii() else utf16_length(body.decode("utf-8", "replace"))


def _success(body: bytes) -> Response:
    parsed = _parse(body)
    if parsed is None:
        return _invalid(body)
    compact, value = parsed
    if isinstance(value, dict):
        if "error" in value:
            return Response(APPLICATION_ERROR, _error_of(compact), _size(body))
    elif not isinstance(value, list):
        return _invalid(body)
    return Response(SUCCESS, Raw(compact), _size(body))


def _own_error(answer: Answer) -> Response | None:
    """The error that the runtime itself reports beside a status other than 200."""
    parsed = _parse(answer.body)
    if parsed is None or not isinstance(parsed[1], dict) or "error" not in parsed[1]:
        return None
    return Response(DEVELOPER_ERROR, _error_of(parsed[0]), _size(answer.body))


def _error_of(compact: bytes) -> Raw:
    return Raw(b'{"error":' + bytes(_members(compact)["error"]) + b"}")


def _unusable(text: str, body: bytes) -> Response:
    said = body.decode("utf-8", "replace")
    return error_response(DEVELOPER_ERROR, f"{text}: {said}" if said else f"{text}.", _size(body))


def _invalid(body: bytes) -> Response:
    return _unusable("The action did not produce a valid JSON or JSON Array response", body)


def _too_long(status_code: int, answer: Answer, max_bytes: int) -> Response:
    text = (
        f"The action produced a response that exceeded the allowed length: {answer.length} > {max_bytes} bytes. "
        f"The truncated response was: {answer.body.decode('utf-8', 'replace')}"
    )
    return error_response(status_code, text, answer.length)
