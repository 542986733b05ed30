"""A journal that an older release wrote is read; one of a newer release is not taken for what it isn't."""

import json

import pytest
from msgspec import UNSET

from messages.errors import UnknownEvent
from messages.events import Accepted, Acked, Claimed, Finished, Recorded, Snapshot, Started, decode_events

FIRST_RELEASE = rb"""[
{"e":"claim","at":1,"clean":true,"address":"http://127.0.0.1:3233","v":1},
{"e":"accepted","id":"11111111111111111111111111111111","message":{"transid":["t",1]},"at":2,"v":1},
{"e":"accepted","id":"22222222222222222222222222222222","message":{},"at":2,"topic":"invoker0","offset":7,"v":1},
{"e":"started","id":"11111111111111111111111111111111","attempt":1,"container":"c","at":3,"replay":"rerun","alone":false,"v":1},
{"e":"finished","id":"11111111111111111111111111111111","at":4,"status_code":0,"start":3,"end":4,"result":{"a":1},"size":7,
 "version":"0.0.1","kind":"python:3","limits":{"timeout":60000,"memory":256,"logs":10,"concurrency":1},"timeout":false,
 "wait_time":1,"init_time":1,"attempts":1,"v":1},
{"e":"recorded","id":"11111111111111111111111111111111","at":5,"v":1},
{"e":"acked","id":"11111111111111111111111111111111","at":5,"v":1},
{"e":"snapshot","at":6,"live":[{"id":"22222222222222222222222222222222","docs":[2]}],"next_offsets":{"invoker0":8},"v":1}]"""


def test_the_first_releases_journal_is_read():
    """Each of its events, as it wrote them; what came later is absent."""
    found = decode_events(FIRST_RELEASE)
    assert [type(each) for each in found] == [Claimed, Accepted, Accepted, Started, Finished, Recorded, Acked, Snapshot]
    assert (found[1].topic, found[1].refusal) == (UNSET, UNSET)
    assert (found[2].topic, found[2].offset) == ("invoker0", 7)
    assert found[-1].next_offsets == {"invoker0": 8}


@pytest.mark.parametrize("newer", [{"e": "accepted", "v": 3}, {"e": "finished", "v": 2}, {"e": "moved", "v": 1}])
def test_a_newer_releases_event_stops_the_reader(newer):
    """By name and version: it would be read wrongly."""
    with pytest.raises(UnknownEvent):
        decode_events(json.dumps([{"id": "1" * 32, "message": {}, "at": 1, **newer}]))
