"""Web actions: who may call one, with which arguments it runs as its owner, and what its result is answered as.

The order of what is refused first is upstream's (openwhisk-controller.md 4.8).
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, UnsetType

from controller import errors, invoke, limits, web_response
from controller.auth import same
from controller.context import Api
from controller.cors import Cors
from controller.errors import ApiError
from controller.http import JSON, Reply, Request
from controller.media import MediaType, accepts
from controller.targets import Target
from controller.web_export import WebExport
from controller.web_request import WebPath, content, media_type_of, merged_arguments, metadata, raw_arguments
from controller.web_response import WebAnswer, pretty
from messages.wire import ActivationRecord, Identity

SECRET_HEADER = b"x-require-whisk-auth"
_APPLICATION_ERROR = 1
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode


async def answer(api: Api, request: Request, path: WebPath) -> Reply:
    """Any method on a web action. Raises HttpLayerError, ClientGone; every ApiError is answered here."""
    try:
        owner, target, export = await _found(api, request, path)
        cors = Cors.NONE if export.custom_options else Cors.WEB
    except ApiError as error:
        return _failed(request, ApiError(error.status, error.text, Cors.NONE, error.headers), Cors.NONE)
    if request.method == "OPTIONS" and not export.custom_options:
        return Reply(200, b"", cors)
    try:
        return await _run(api, request, path, owner, target, export)
    except ApiError as error:
        return _failed(request, error, cors)


async def _found(api: Api, request: Request, path: WebPath) -> tuple[Identity, Target, WebExport]:
    """The owner and the action. Raises ApiError 404 if there is none for the web, 413, 429."""
    owner = await api.authenticator.owner(path.namespace)
    if owner is None:
        raise errors.missing()
    target = await api.targets.find(owner, path.namespace, path.package, path.action)
    if target.web is None:
        raise errors.missing()
    api.throttles.invocation(owner)
    most = limits.payload(owner, api.limits)
    if request.announced > most:
        await request.body(most)
    return owner, target, target.web


async def _run(api: Api, request: Request, path: WebPath, owner: Identity, target: Target, export: WebExport) -> Reply:
    caller = await _caller(api, request)
    preflight = export.custom_options and request.method == "OPTIONS"
    if not preflight and not _allowed(export, request, caller):
        raise errors.web_unauthorized()
    body = await request.body(limits.payload(owner, api.limits))
    arguments = _arguments(request, path, target, export, caller, body)
    invocation = await invoke.start(api, request, owner, target, content(target.defaults, arguments), blocking=True)
    record = await invoke.wait_for(request, invocation, api.limits.blocking_wait / 1000)
    header = (invoke.ACTIVATION_ID, invocation.id.encode())
    cors = Cors.NONE if export.custom_options else Cors.WEB
    if record is None:
        return _json_error(202, errors.NOT_YET_READY, request, cors, header)
    try:
        shown = _shown(path.extension, record)
    except ApiError as error:
        return _json_error(error.status, error.text, request, cors, header)
    accept = request.headers.get(b"accept")
    if shown.body and accept is not None and not accepts(accept.decode("latin-1"), shown.content_type.partition(";")[0]):
        raise errors.not_acceptable(shown.content_type)
    headers = (header, *shown.headers)
    if shown.content_type and not shown.body:
        headers = (*headers, (b"content-type", shown.content_type.encode()))
    return Reply(shown.status, shown.body, cors, shown.content_type.encode(), headers)


async def _caller(api: Api, request: Request) -> str | None:
    """The namespace of whoever sent valid credentials; wrong ones are as good as none."""
    try:
        return (await api.authenticator.identity(request.headers.get(b"authorization"))).namespace.name
    except ApiError:
        return None


def _allowed(export: WebExport, request: Request, caller: str | None) -> bool:
    """Whether `require-whisk-auth` is met: by any valid user, by a secret, or, if it is anything else, by nobody."""
    if isinstance(export.required, bool):
        return caller is not None or not export.required
    given = request.headers.get(SECRET_HEADER)
    return export.required is not None and given is not None and same(given.decode("latin-1"), export.required)


def _arguments(
    request: Request, path: WebPath, target: Target, export: WebExport, caller: str | None, body: bytes
) -> dict[str, object]:
    media_type: MediaType | None = media_type_of(request, body)
    described = metadata(request, path, caller, media_type)
    query: bytes = request.scope["query_string"]
    if export.raw:
        return {**described, **raw_arguments(query, body, media_type)}
    return {**merged_arguments(query, body, media_type, target.locked), **described}


def _shown(extension: str, record: ActivationRecord) -> WebAnswer:
    """Raises ApiError 400, 404; HttpLayerError 500 for an array, as upstream."""
    code, result = record.response.status_code, record.response.result
    if code > _APPLICATION_ERROR:
        raise errors.web_failed(400, errors.PROCESSING_FAILED)
    shown = Raw(b"{}") if isinstance(result, UnsetType) else result
    if bytes(shown).lstrip()[:1] != b"{":
        raise errors.HttpLayerError(500, errors.INTERNAL)
    try:
        if code == _APPLICATION_ERROR:
            shown = _fields(shown).get("error", shown)
        return web_response.answer(extension, shown)
    except (msgspec.MsgspecError, RecursionError):
        raise errors.web_failed(400, errors.PROCESSING_FAILED) from None


def _failed(request: Request, error: ApiError, cors: Cors) -> Reply:
    """An error before there was an activation; where the action answers CORS itself, none is added."""
    return _json_error(error.status, error.text, request, Cors.NONE if error.cors is Cors.NONE else cors, *error.headers)


def _json_error(status: int, text: str, request: Request, cors: Cors, *headers: tuple[bytes, bytes]) -> Reply:
    body = pretty(Raw(_encode({"error": text, "code": request.transid}))).encode()
    return Reply(status, body, cors, JSON, tuple(headers))
