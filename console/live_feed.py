"""The node's status stream, read in a thread of its own: documents and losses of the connection, for ever."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

from console.api import CONNECT_TIMEOUT, Api
from console.exits import Refused, Unreachable

SILENCE = 15.0
"""Seconds without a byte after which the node counts as gone; it sends something every 5 s."""

AGAIN_AFTER = 1.0
"""Seconds between two attempts to reach it."""


class Feed:
    """Tells `on_document` what the node sends and `on_lost` why nothing comes. Both are called in the feed's thread."""

    def __init__(self, api: Api, on_document: Callable[[dict[str, Any]], None], on_lost: Callable[[str], None]) -> None:
        self._api = api
        self._on_document = on_document
        self._on_lost = on_lost
        self._ended = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End soon."""
        self._ended.set()
        if self._connection is not None and self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                for document in self._documents():
                    self._on_document(document)
                self._on_lost("the stream ended")
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._on_lost(str(error) or type(error).__name__)
            except (Unreachable, Refused) as error:
                self._on_lost(str(error))
            self._ended.wait(AGAIN_AFTER)

    def _documents(self) -> Iterator[dict[str, Any]]:
        connection, answer = self._api.stream("/admin/status", CONNECT_TIMEOUT, SILENCE)
        self._connection = connection
        try:
            while line := answer.readline():
                if line.startswith(b"data: "):
                    document = json.loads(line[6:])
                    if isinstance(document, dict):
                        yield document
        finally:
            connection.close()
