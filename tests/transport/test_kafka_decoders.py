"""Clients of one process share the library's decoders, which are made at their first use: by two threads at once all the same."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from kafka.protocol.producer import ProduceResponse
from kafka.protocol.schemas.fields.struct import StructField

from transport.kafka import connected

VERSION = 9
TURN = 0.3
"""Seconds that one thread waits for the other to come in between."""


def test_two_clients_get_their_first_answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The acknowledgements' first answer and the pings'; whose decoder is wrong hears of no message again."""
    connected(lambda **_: None)
    struct = ProduceResponse._struct
    monkeypatch.setattr(struct, "_compiled_encoders", {})
    answer = ProduceResponse(responses=[], throttle_time_ms=7).encode(version=VERSION)
    plain, begun, between, over = StructField.emit_decode_from, threading.Event(), threading.Event(), threading.Event()

    def emit(self: Any, *arguments: Any, **more: Any) -> Any:
        if self is struct and threading.current_thread() is first:
            begun.set()
            between.wait(TURN)
        elif self is struct:
            between.set()
            over.wait(TURN)
        return plain(self, *arguments, **more)

    def decode() -> None:
        ProduceResponse.decode(answer, version=VERSION)
        over.set()

    monkeypatch.setattr(StructField, "emit_decode_from", emit)
    first = threading.Thread(target=decode)
    first.start()
    assert begun.wait(10)
    assert ProduceResponse.decode(answer, version=VERSION).throttle_time_ms == 7
    first.join(10)
    assert ProduceResponse.decode(answer, version=VERSION).throttle_time_ms == 7
