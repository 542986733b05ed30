"""Activation records: how they are made from a `finished` event, kept storable, and shown by the REST API. Pure.

Rules: openwhisk-invoker.md 2.3, 2.7; order of annotations and keys as in records that OpenWhisk wrote.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from messages.composition import Whole
from messages.events import Finished, to_ascii
from messages.wire import ActivationMessage, ActivationRecord, KeyValue, Response

STATUS_TEXTS = ("success", "application error", "action developer error", "whisk internal error")
"""`response.status` of the REST API by status code."""

MAX_RECORD = 7_000_000
"""Bytes that a record stays under: CouchDB refuses documents over 8 MB by default (design.md, contract 3)."""

MAX_RESULT = 5_900_000
"""Most bytes of a result as ASCII JSON: its `finished` event must stay under the journal's 6 MB."""

IDEMPOTENCY = "idempotency"
"""Annotation of a record, and entry of its message's trace context: the digest of the body that came with an Idempotency-Key."""

LOGS_LOST = "The logs could not be stored with this record."

_encode = msgspec.json.Encoder().encode
_WORST_ESCAPE = 6  # bytes of JSON that one byte of text can become: \u0001


def record_of(message: ActivationMessage, finished: Finished, logs: list[str]) -> ActivationRecord:
    """The one record of an activation; `logs` as LogDemux gives them. A composition's are in `finished`."""
    whole = finished.whole
    if not isinstance(whole, UnsetType):
        return _composed(_record(message, finished, whole.logs), whole, finished)
    return _record(message, finished, logs)


def _composed(record: ActivationRecord, whole: Whole, finished: Finished) -> ActivationRecord:
    """A trigger's record has neither end nor annotations, a sequence's lasts as long as its parts (4.5 to 4.7)."""
    if whole.form == "trigger":
        return structs.replace(record, end=0, duration=UNSET, annotations=[])
    pairs = record.annotations
    top = KeyValue("topmost", record.cause is UNSET)
    if whole.form == "conductor":
        pairs = [*pairs, KeyValue("conductor", True)]
    return structs.replace(record, duration=whole.duration, annotations=[top, *pairs])


def _record(message: ActivationMessage, finished: Finished, logs: list[str]) -> ActivationRecord:
    return ActivationRecord(
        namespace=message.user.namespace.name,
        name=message.action.name,
        subject=message.user.subject,
        activation_id=message.activation_id,
        start=finished.start,
        end=finished.end,
        duration=finished.end - finished.start,
        response=Response(finished.status_code, finished.result, finished.size),
        version=message.action.version or "0.0.1" if isinstance(finished.version, UnsetType) else finished.version,
        annotations=_annotations(message, finished),
        logs=logs,
        publish=False,
        cause=message.cause,
    )


def _annotations(message: ActivationMessage, finished: Finished) -> list[KeyValue]:
    found = [KeyValue("path", message.action.fqn)]
    if finished.wait_time is not UNSET:
        found.append(KeyValue("waitTime", finished.wait_time))
    found.append(KeyValue("kind", finished.kind))
    if finished.timeout is not UNSET:
        found.append(KeyValue("timeout", finished.timeout))
    if finished.limits is not UNSET:
        found.append(KeyValue("limits", finished.limits))
    if finished.init_time is not UNSET:
        found.append(KeyValue("initTime", finished.init_time))
    if message.cause is not UNSET:
        found.append(KeyValue("causedBy", "sequence"))
    if message.action.binding is not None:
        found.append(KeyValue("binding", message.action.binding))
    if message.trace_context and IDEMPOTENCY in message.trace_context:
        found.append(KeyValue(IDEMPOTENCY, message.trace_context[IDEMPOTENCY]))
    if finished.shared_logs:
        found.append(KeyValue("sharedLogs", True))
    if finished.attempts > 1:
        found.append(KeyValue("attempts", finished.attempts))
    return found


def answered(record: ActivationRecord) -> ActivationRecord:
    """The record as who waits for it gets it: without the lines that the code wrote; a sequence keeps its children's ids."""
    composed = any(pair.key == "kind" and pair.value == "sequence" for pair in record.annotations)
    return record if composed else structs.replace(record, logs=[])


def fallback(activation_id: str, at: int, status_code: int, error: str, attempts: int = 1) -> Finished:
    """How an activation ends that never met a container (2.3): start and end are `at` (epoch ms), kind `unknown`."""
    result = Raw(_encode({"error": error}))
    return Finished(activation_id, at, status_code, at, at, result=result, attempts=attempts)


def storable(finished: Finished) -> Finished:
    """The same, or with a result that every store and the journal take: one too large is replaced by an error that says so."""
    result = finished.result
    if isinstance(result, UnsetType) or len(result) * _WORST_ESCAPE < MAX_RESULT:
        return finished
    size = len(to_ascii(bytes(result)))
    if size <= MAX_RESULT:
        return finished
    text = f"The result could not be stored: its {size} bytes exceed the limit of {MAX_RESULT} bytes."
    return structs.replace(finished, status_code=max(finished.status_code, 1), result=Raw(_encode({"error": text})))


def fitting(record: ActivationRecord, truncation: str) -> ActivationRecord:
    """The record with its logs cut so that it stays under MAX_RECORD; `truncation` is then the last line."""
    logs = record.logs
    if isinstance(logs, UnsetType) or not logs:
        return record
    result = record.response.result
    room = MAX_RECORD - (0 if isinstance(result, UnsetType) else len(to_ascii(bytes(result)))) - 10_000
    if sum(map(len, logs)) * _WORST_ESCAPE * 2 < room:
        return record
    for index, line in enumerate(logs):
        room -= len(to_ascii(_encode(line))) + 1
        if room < 0:
            return structs.replace(record, logs=[*logs[:index], truncation])
    return record


def without_logs(record: ActivationRecord) -> ActivationRecord:
    """What to write when the store refuses the record as it is."""
    return structs.replace(record, logs=[LOGS_LOST] if record.logs else [])


def without_result(record: ActivationRecord) -> ActivationRecord:
    """What to write when the store refuses it even without logs. The status code stays, unless it claimed a result."""
    bare = without_logs(record)
    text = "The result could not be stored: the store refused this record."
    code = max(record.response.status_code, 1)
    return structs.replace(bare, response=Response(code, Raw(_encode({"error": text}))))


class _ApiResponse(Struct, frozen=True, omit_defaults=True):
    """`response` as the REST API shows it."""

    status: str
    success: bool
    result: Raw | UnsetType = UNSET
    size: int | UnsetType = UNSET


class _ApiRecord(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A record as the REST API shows it, keys in upstream's order."""

    activation_id: str
    annotations: list[KeyValue]
    end: int | UnsetType
    logs: list[str]
    name: str
    namespace: str
    publish: bool
    response: _ApiResponse
    start: int
    subject: str
    version: str
    duration: int | UnsetType = UNSET
    cause: str | UnsetType = UNSET


class _Summary(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A row of a list of activations: neither logs nor response, but the status code."""

    namespace: str
    name: str
    version: str
    publish: bool
    annotations: list[KeyValue]
    activation_id: str
    start: int
    status_code: int
    end: int | UnsetType = UNSET
    duration: int | UnsetType = UNSET
    cause: str | UnsetType = UNSET


def api_response(response: Response) -> bytes:
    """`{"status", "success", "result", "size"}`: what `GET activations/ID/result` answers."""
    return _encode(_shown(response))


def api_form(record: ActivationRecord) -> bytes:
    """The record as the REST API answers it, compact JSON. A blocking answer is one whose record has no logs yet.

    An end of 0 (triggers) isn't shown, as upstream.
    """
    return _encode(
        _ApiRecord(
            activation_id=record.activation_id,
            annotations=record.annotations,
            end=record.end or UNSET,
            logs=record.logs or [],
            name=record.name,
            namespace=record.namespace,
            publish=bool(record.publish),
            response=_shown(record.response),
            start=record.start,
            subject=record.subject,
            version=record.version,
            duration=record.duration,
            cause=record.cause,
        )
    )


def summary(record: ActivationRecord) -> bytes:
    """The record's row in a list, compact JSON."""
    return _encode(
        _Summary(
            namespace=record.namespace,
            name=record.name,
            version=record.version,
            publish=bool(record.publish),
            annotations=record.annotations,
            activation_id=record.activation_id,
            start=record.start,
            status_code=record.response.status_code,
            end=record.end or UNSET,
            duration=record.duration,
            cause=record.cause,
        )
    )


def _shown(response: Response) -> _ApiResponse:
    code = response.status_code
    return _ApiResponse(STATUS_TEXTS[code], code == 0, response.result, response.size)
