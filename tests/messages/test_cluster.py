"""Acknowledgements and pings: everything that a real OpenWhisk was recorded saying is read and written again the same."""

import json
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw, Struct

from messages.cluster import (
    Ack,
    Heartbeat,
    InvokerId,
    combined,
    completion,
    decode_ack,
    decode_heartbeat,
    decode_ping,
    result,
    size_bytes,
)
from messages.wire import decode_message, encode

GOLDEN = Path(__file__).parent.parent / "golden" / "openwhisk-wire.jsonl"
DECODERS = {"completed0": decode_ack, "health": decode_ping, "invoker0": decode_message}


class Line(Struct):
    """A recorded message with its own bytes."""

    value: Raw
    topic: str = ""
    case: str = ""


LINES = [msgspec.json.decode(line, type=Line) for line in GOLDEN.read_bytes().splitlines()]


def exact(text):
    """JSON whose numbers are kept as they are written."""
    return json.loads(text, parse_float=str, parse_int=str)


@pytest.mark.parametrize("topic", DECODERS)
def test_what_was_recorded_is_written_again_field_by_field(topic):
    lines = [line for line in LINES if line.topic == topic and bytes(line.value).startswith(b"{")]
    assert len(lines) >= 3
    for line in lines:
        original = bytes(line.value)
        assert exact(encode(DECODERS[topic](original))) == exact(original), line.case


def test_the_kinds_of_acknowledgement_tell_themselves_apart():
    """By the presence of keys: a result leaves the slot busy, the others free it and name the invoker."""
    instance = InvokerId(3, "1073741824 B", unique_name="a", displayed_name="b")
    first = decode_ack(encode(completion(["t", 1], "1" * 32, instance, system_error=True)))
    assert (first.id, first.record, first.sender, first.is_system_error) == ("1" * 32, None, instance, True)
    second = decode_ack(encode(result(["t", 1, ["p", 0]], "2" * 32)))
    assert (second.id, second.record, second.sender) == ("2" * 32, None, None)
    third = decode_ack(encode(combined(["t", 1], "3" * 32, instance, system_error=False)))
    assert (third.id, third.record, third.sender) == ("3" * 32, None, instance)
    assert (instance.label, instance.memory) == ("invoker3/a/b", 1024)


def test_the_go_invokers_dialect_is_read():
    text = '{"transid":["t",1],"response":"%s","isSystemError":false,"invoker":{"instance":1,"userMemory":"0 g"}}' % ("4" * 32)
    ack = decode_ack(text)
    assert isinstance(ack, Ack)
    assert ack.id == "4" * 32
    assert ack.sender is not None
    assert ack.sender.instance == 1


@pytest.mark.parametrize(("text", "expected"), [("1073741824 B", 1 << 30), ("256 MB", 256 << 20), ("2g", 2 << 30), ("1KB", 1024)])
def test_sizes(text, expected):
    assert size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "12", "x MB", "1 TB", "-1 B"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="no size"):
        size_bytes(text)


def test_a_heartbeat_says_only_what_there_is_to_say():
    beat = Heartbeat("w", 7, epoch=2, address="http://10.0.0.1:3233")
    assert encode(beat) == b'{"writer":"w","counter":7,"epoch":2,"address":"http://10.0.0.1:3233"}'
    assert decode_heartbeat(b'{"_id":"node:invoker0","_rev":"1-a","writer":"w","counter":7}') == Heartbeat("w", 7)
