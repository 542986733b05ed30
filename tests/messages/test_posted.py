"""Reading what controllers post: everything recorded, everything upstream's reader takes, and what is left of the rest."""

import json
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET

from messages.events import Finished
from messages.posted import Unreadable, read_message
from messages.user_events import activation_event
from messages.wire import Limits, encode

ROWS = [json.loads(line) for line in (Path(__file__).parent.parent / "golden" / "openwhisk-wire.jsonl").read_bytes().splitlines()]
POSTED = [row for row in ROWS if row.get("topic") == "invoker0" and isinstance(row["value"], dict)]
WHOLE = next(row["value"] for row in POSTED if row["case"].startswith("invoke through binding"))


def read(**changed):
    value = {key: each for key, each in {**WHOLE, **changed}.items() if each is not ...}
    return read_message(json.dumps(value).encode(), 1234)


def test_all_that_was_recorded_is_read():
    assert len(POSTED) >= 60
    for row in POSTED:
        message = read_message(json.dumps(row["value"]).encode(), 0)
        assert message.activation_id == row["value"]["activationId"]
        assert message.transid == row["value"]["transid"], row["case"]


@pytest.mark.parametrize(
    "transid", [["t", 1], ["t", 1, True], ["t", 1, ["p", 0]], ["t", 1, True, ["p", 0, ["q", 0]]]], ids=["2", "3", "parent", "4"]
)
def test_transaction_ids_of_two_to_four_elements_are_kept(transid):
    assert read(transid=transid).transid == transid


@pytest.mark.parametrize("transid", [..., None, "t", [], ["t"], ["t", "1"], [1, 2], ["t", 1, 2, 3, 4], {}])
def test_unreadable_transaction_ids_are_no_error(transid):
    assert read(transid=transid).transid == ["sid_unknown", 1234]


@pytest.mark.parametrize("content", [[1, 2], [], {"a": 1e30}, ..., None])
def test_any_content(content):
    message = read(content=content)
    assert message.content is UNSET if content is ... else json.loads(bytes(message.content)) == content


def test_what_upstreams_reader_takes_as_well():
    """No revision, an action as one name, members that newer or older controllers don't write, unknown ones."""
    message = read(revision=None, action="alice/tools/resize", initArgs=..., lockedArgs=..., something={"new": 1})
    assert message.revision is None
    assert (message.action.path, message.action.name) == ("alice/tools", "resize")
    assert (message.init_args, message.locked_args) == ([], {})


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b'{"a":1}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_message(text):
    with pytest.raises(Unreadable) as caught:
        read_message(text, 0)
    assert caught.value.rest is None


@pytest.mark.parametrize("changed", [{"blocking": "yes"}, {"rootControllerIndex": 7}, {"action": 5}, {"lockedArgs": [1]}])
def test_what_is_left_is_enough_for_a_record(changed):
    with pytest.raises(Unreadable) as caught:
        read(**changed)
    rest = caught.value.rest
    assert (rest.activation_id, rest.user.namespace.name) == (WHOLE["activationId"], "guest")


@pytest.mark.parametrize(
    "changed", [{"activationId": "x"}, {"activationId": 5}, {"user": {}}, {"user": {"namespace": {"name": ""}}}]
)
def test_without_id_or_namespace_there_is_none(changed):
    with pytest.raises(Unreadable) as caught:
        read(**changed)
    assert caught.value.rest is None


EVENTS = [row for row in ROWS if row.get("topic") == "events" and row["direction"].startswith("invoker0")]


@pytest.mark.parametrize("row", EVENTS, ids=[row["case"] for row in EVENTS])
def test_events_have_the_recorded_shape(row):
    """Made from the same facts, member by member the same."""
    body = row["value"]["body"]
    message = read(
        activationId=body["activationId"],
        action={"path": body["name"].rpartition("/")[0], "name": body["name"].rpartition("/")[2]},
        user={**WHOLE["user"], "subject": row["value"]["subject"],
              "namespace": {"name": row["value"]["namespace"], "uuid": row["value"]["userId"]}},
    )  # fmt: skip
    finished = Finished(
        body["activationId"], 0, body["statusCode"], 1000, 1000 + body["duration"], size=body.get("size", UNSET),
        kind=body["kind"], limits=Limits(memory=body["memory"]),
        wait_time=body["waitTime"], init_time=body["initTime"] or UNSET,
    )  # fmt: skip
    made = activation_event("invoker0", message, finished, row["value"]["timestamp"])
    assert json.loads(encode(made)) == row["value"]


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ({"statusCode": 201}, 201),
        ({"error": {"statusCode": "404"}, "statusCode": 1}, 404),
        ({"error": "x", "statusCode": 418}, 418),
        ({"statusCode": "teapot"}, 400),
        ({"statusCode": None}, 400),
        ({}, ...),
        ([1], ...),
    ],
)
def test_the_status_that_users_define(result, status):
    finished = Finished("1" * 32, 0, 1, 0, 0, result=msgspec.Raw(json.dumps(result).encode()))
    body = json.loads(encode(activation_event("invoker0", read(), finished, 0)))["body"]
    assert body.get("userDefinedStatusCode", ...) == status
