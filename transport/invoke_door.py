"""`POST /invoke`: a controller's message by HTTP. The head of a 200 is the receipt, the body the acknowledgement (go-invoker.md 1).

Refused for certain are requests of those who may not (401, 403), what is no message (400, 413), and what there is no room for
(429, 503 with the reason). Once the receipt is out everything else is the acknowledgement's to say.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from msgspec import structs

from actors.ports import Instrument
from controller.cors import Cors
from controller.errors import ApiError, HttpLayerError
from controller.http import PEER, ClientGone, Receive, Reply, Request, Scope, Send, send_reply
from messages.commands import Invoke
from messages.posted import Unreadable, read_message
from messages.wire import ActivationRecord
from transport.contract import Refused
from transport.feed import BLOCKED
from transport.local import LocalAnswers

PATH = "/invoke"
BODY_TIMEOUT = 30.0
WAIT = 3600.0
"""Seconds that one wait for the end of an activation lasts; then it is waited for again."""

CERTIFICATE = "A client certificate or a token is needed here."
TOKEN = "The token is not the right one."
BUSY = "As many invocations wait here as may."

App = Callable[[Scope, Receive, Send], Awaitable[None]]
log = structlog.get_logger("invoke")


class Guard:
    """Who may come in: with the token, with a certificate, or from this machine where neither is asked for."""

    def __init__(self, token: str | None, loopback: bool) -> None:
        self._token = token
        self._loopback = loopback

    def refuse(self, request: Request) -> tuple[int, str] | None:
        """Status and reason, or None."""
        given = request.headers.get(b"authorization", b"")
        if self._token is not None and given.lower().startswith(b"bearer "):
            good = hmac.compare_digest(given[7:].strip(), self._token.encode())
            return None if good else (401, TOKEN)
        if request.scope["extensions"].get(PEER):
            return None
        if self._token is None and self._loopback and b"origin" not in request.headers:
            return None
        return (401 if self._token is not None else 403), CERTIFICATE


class InvokeDoor:
    """The ASGI application in front of the API's: takes `/invoke`, passes everything else on."""

    def __init__(
        self,
        app: App,
        *,
        guard: Guard,
        answers: LocalAnswers,
        hand_in: Callable[[Invoke], None],
        unready: Callable[[], str | None],
        blocked: Callable[[str], bool],
        known: Callable[[Invoke], Awaitable[bool]],
        acks: Any,
        topic: str,
        wall_ms: Callable[[], int],
        limit: int,
        bound: int,
        instrument: Instrument,
    ) -> None:
        self.app = app
        self._guard = guard
        self._answers = answers
        self._hand_in = hand_in
        self._unready = unready
        self._blocked = blocked
        self._known = known
        self._acks = acks
        self._topic = topic
        self._wall_ms = wall_ms
        self._limit = limit
        self._bound = bound
        self._instrument = instrument
        self._open = 0
        self._waiting: dict[str, int] = {}

    def waits(self, activation_id: str) -> bool:
        """Whether a connection is open that the activation's end goes to."""
        return activation_id in self._waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive, self._limit, BODY_TIMEOUT)
        status = 200
        try:
            refused = await self._take(request, send)
        except ClientGone:
            status, refused = 499, None
        except (ApiError, HttpLayerError) as error:
            refused = error.status, str(getattr(error, "text", error))
        if refused is not None:
            status = refused[0]
            await send_reply(send, Reply(status, msgspec.json.encode({"error": refused[1]}), Cors.NONE), [])
        self._instrument("invoked", {"status": status})

    async def _take(self, request: Request, send: Send) -> tuple[int, str] | None:
        """Bring one activation to its end, or say what it is refused with."""
        refused = self._closed(request)
        if refused is not None:
            return refused
        body = await request.body()
        try:
            message = read_message(body, self._wall_ms())
        except Unreadable as error:
            return 400, f"The body is no activation message: {error}"
        command = Invoke(message, None, self._topic, posted=self._wall_ms())
        if self._blocked(message.user.namespace.name):
            command = structs.replace(command, refusal=BLOCKED)
        command = structs.replace(command, known=await self._known(command))
        self._open += 1
        try:
            return await self._run(request, send, command)
        finally:
            self._open -= 1

    def _closed(self, request: Request) -> tuple[int, str] | None:
        refused = self._guard.refuse(request)
        if refused is not None:
            return refused
        if request.method != "POST":
            return 405, "Only POST is known here."
        if (reason := self._unready()) is not None:
            return 503, reason
        return (429, BUSY) if self._open >= self._bound else None

    async def _run(self, request: Request, send: Send, command: Invoke) -> tuple[int, str] | None:
        activation_id = command.activation_id
        self._waiting[activation_id] = self._waiting.get(activation_id, 0) + 1
        told = False
        gone = asyncio.Event()
        request.when_gone(gone.set)
        try:
            try:
                invocation = await self._answers.accept(activation_id, lambda: self._hand_in(command))
            except Refused as error:
                return error.status, str(error)
            except ConnectionAbortedError:  # whether it was accepted is not known here: the sender asks again
                await request.abort()
                return None
            try:
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
                await send({"type": "http.response.body", "body": b"", "more_body": True})
                record = await _unless(gone, invocation.result(WAIT))
                if record is not None:
                    text = self._acks.body(command.message, record)
                    await send({"type": "http.response.body", "body": text, "more_body": False})
                    told = not gone.is_set()
                elif not gone.is_set():
                    await request.abort()
            finally:
                invocation.forget()
        finally:
            self._leave(activation_id, told)
        return None

    def _leave(self, activation_id: str, told: bool) -> None:
        self._waiting[activation_id] -= 1
        if told:
            self._acks.delivered(activation_id)
        if not self._waiting[activation_id]:
            del self._waiting[activation_id]
            if not told:
                self._acks.undelivered(activation_id)


async def _unless(gone: asyncio.Event, result: Awaitable[ActivationRecord | None]) -> ActivationRecord | None:
    """The result, or None as soon as nobody waits for it."""
    waiting, left = asyncio.ensure_future(result), asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait((waiting, left), return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()
        left.cancel()
