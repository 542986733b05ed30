"""Acknowledgements: upstream's table, the recorded shapes, and sending until the broker has them."""

import json
from pathlib import Path

import pytest
from msgspec import UNSET, Raw, structs

from messages.cluster import InvokerId
from messages.events import Finished
from messages.posted import read_message
from messages.record import record_of
from messages.wire import ActionName, Limits
from transport.acks import Acks, parts
from transport.kafka import Access
from transport.kafka_producer import Overflow, Sent, Unsent

ROWS = [json.loads(line) for line in (Path(__file__).parent.parent / "golden" / "openwhisk-wire.jsonl").read_bytes().splitlines()]
POSTED = {row["value"]["activationId"]: row for row in ROWS if row.get("topic") == "invoker0" and isinstance(row["value"], dict)}
INSTANCE = InvokerId(0, "2147483648 B", unique_name="owc", displayed_name="owc")


class Producer:
    """Keeps what is sent; `outcomes` are told in order, then everything is confirmed."""

    def __init__(self, *outcomes):
        self.sent = []
        self.outcomes = list(outcomes)

    def send(self, topic, value, done):
        outcome = self.outcomes.pop(0) if self.outcomes else Sent(0)
        if outcome is Overflow:
            raise Overflow
        self.sent.append((topic, json.loads(value)))
        if outcome is not None:
            done(outcome)


class Clock:
    """Timers run at once."""

    def wall_ms(self):
        return 1_795_384_845_644

    def call_later(self, seconds, callback):
        callback()


class Made:
    def __init__(self, *outcomes, http=(), events=False):
        self.producer = Producer(*outcomes)
        self.known = []
        self.http = set(http)
        self.spawned = []
        self.acks = Acks(
            Access(("h:1",)),
            self.producer,
            INSTANCE,
            known=self.known.append,
            by_http=lambda activation_id: activation_id in self.http,
            clock=Clock(),
            spawn=self.spawned.append,
            instrument=lambda step, facts: None,
            events=events,
        )

    @property
    def bodies(self):
        return [body for _, body in self.producer.sent]


def kind(body):
    """What upstream's reader takes it for."""
    if "instance" not in body:
        return "result"
    return "combined" if "response" in body else "completion"


def message(blocking=True, **changed):
    found = next(row["value"] for row in POSTED.values() if row["case"].startswith("blocking invoke, warm"))
    return read_message(json.dumps({**found, "blocking": blocking, **changed}).encode(), 0)


def finished(status=0, logs=10):
    return Finished(
        message().activation_id, 5, status, 1, 4, result=Raw(b'{"a":1}'), size=7, kind="nodejs:20", limits=Limits(logs=logs)
    )


def end(made, blocking=True, status=0, logs=10, ran=True, more=True):
    about = message(blocking)
    done = finished(status, logs)
    made.acks.finished(about, done, record_of(about, done, []), ran=ran, more=more)
    return about.activation_id


@pytest.mark.parametrize(
    ("blocking", "ran", "logs", "now", "later"),
    [
        (True, True, True, ("result",), ("completion",)),
        (True, True, False, ("combined",), ()),
        (False, True, True, (), ("completion",)),
        (False, True, False, ("completion",), ()),
        (True, False, True, ("combined",), ()),
        (False, False, True, ("shrunk",), ()),
    ],
)
def test_upstreams_table(blocking, ran, logs, now, later):
    found = parts(blocking=blocking, ran=ran, logs=logs)
    assert (found.now, found.later) == (now, later)


def test_result_first_then_the_slot():
    """A blocking caller has its result before the logs are read; `acked` waits for both."""
    made = Made()
    id = end(made)
    assert [kind(body) for body in made.bodies] == ["result"]
    assert made.known == []
    made.acks.collected(id)
    assert [kind(body) for body in made.bodies] == ["result", "completion"]
    assert made.known == [id]
    assert made.producer.sent[0][0] == "completed0"
    assert len(made.acks) == 0


@pytest.mark.parametrize(("blocking", "kinds"), [(True, ["result", "completion"]), (False, ["completion"])])
def test_with_the_logs_there_everything_goes_at_once(blocking, kinds):
    made = Made()
    id = end(made, blocking=blocking, more=False)
    assert [kind(body) for body in made.bodies] == kinds
    assert made.known == [id]
    made.acks.collected(id)
    assert len(made.bodies) == len(kinds)


RECORDED = [row for row in ROWS if row.get("topic") == "completed0" and isinstance(row["value"], dict)]


def id_of(value):
    response = value.get("response")
    return response["activationId"] if isinstance(response, dict) else response or value["activationId"]


@pytest.mark.parametrize("row", RECORDED, ids=[f"{row['offset']}-{row['case'][:40]}" for row in RECORDED])
def test_acknowledgements_have_the_recorded_shape(row):
    """The recorded controller's message and the recorded end give the recorded acknowledgement, member by member."""
    value = row["value"]
    posted = POSTED.get(id_of(value))
    if posted is None:
        about = message(blocking="response" in value, activationId=id_of(value), transid=value["transid"])
    else:
        about = read_message(json.dumps(posted["value"]).encode(), 0)
    recorded = value.get("response")
    made = Made()
    notes = {each["key"]: each["value"] for each in recorded["annotations"]} if isinstance(recorded, dict) else {}
    if posted is None and notes:  # of a sequence's steps not every message was kept
        path, _, name = notes["path"].rpartition("/")
        about = structs.replace(about, action=ActionName(path, name), cause=recorded.get("cause", UNSET))
    facts = recorded if isinstance(recorded, dict) else {"start": 1, "end": 2, "version": "0.0.1", "response": {"statusCode": 0}}
    response = facts["response"]
    status = 3 if value.get("isSystemError") else response["statusCode"]
    limits = Limits(**notes["limits"]) if "limits" in notes else UNSET if kind(value) == "combined" else Limits()
    done = Finished(
        id_of(value), 0, status, facts["start"], facts["end"],
        result=Raw(json.dumps(response["result"]).encode()) if "result" in response else UNSET,
        size=response.get("size", UNSET), version=facts["version"], kind=notes.get("kind", "unknown"), limits=limits,
        timeout=notes.get("timeout", UNSET), wait_time=notes.get("waitTime", UNSET), init_time=notes.get("initTime", UNSET),
    )  # fmt: skip
    about = structs.replace(about, blocking=isinstance(recorded, dict) or (about.blocking and kind(value) == "completion"))
    ran = kind(value) != "combined" or (limits is not UNSET and limits.logs == 0)
    made.acks.finished(about, done, record_of(about, done, []), ran=ran, more=False)
    text = next(body for body in made.bodies if kind(body) == kind(value))
    assert set(text) == set(value)
    assert text.get("instance", {}).keys() == value.get("instance", {}).keys()
    assert text["transid"] == value["transid"]
    assert text.get("isSystemError") == value.get("isSystemError")
    if isinstance(recorded, dict):
        wanted = {**recorded, "annotations": notes}
        got = {**text["response"], "annotations": {each["key"]: each["value"] for each in text["response"]["annotations"]}}
        assert got == wanted
    else:
        assert text.get("response") == recorded


def test_too_large_falls_back_to_the_id():
    """What upstream means to do: the id in the result's place, and the slot is free all the same."""
    made = Made(Unsent("large", certain=True, too_large=True))
    id = end(made, more=False)
    assert [kind(body) for body in made.bodies] == ["result", "result", "completion"]
    assert made.bodies[1]["response"] == id
    assert made.known == [id]
    made = Made(Unsent("large", certain=True, too_large=True))
    id = end(made, logs=0)
    assert made.bodies[1]["response"] == id
    assert [kind(body) for body in made.bodies] == ["combined", "combined"]


def test_tried_until_the_broker_has_it():
    """Lost answers, an overfull queue: the same message again, `acked` only when it is confirmed."""
    made = Made(Unsent("gone"), Overflow, Unsent("gone", certain=True), None)
    id = end(made, blocking=False, more=False)
    assert len(made.bodies) == 3
    assert made.known == []
    assert made.acks.joined(id) is None


async def test_a_missing_topic_is_made(monkeypatch):
    """A controller that never was can't hold the node's work for ever."""
    asked = []
    monkeypatch.setattr("transport.acks.ensure_topics", lambda access, wanted: asked.append(wanted))
    made = Made(Unsent("none", certain=True, no_topic=True))
    id = end(made, blocking=False, more=False)
    assert made.known == []
    await made.spawned.pop()
    assert asked == [{"completed0": "completed"}]
    assert made.known == [id]


def test_a_controller_whose_name_is_no_topic_gets_nothing():
    made = Made()
    about = message(False, rootControllerIndex={"asString": "a/b"})
    made.acks.finished(about, finished(), record_of(about, finished(), []), ran=True, more=False)
    assert made.bodies == []
    assert made.known == [about.activation_id]


def test_by_http_the_broker_hears_only_if_that_failed():
    id = message().activation_id
    made = Made(http=[id])
    end(made)
    made.acks.collected(id)
    assert made.bodies == []
    made.acks.delivered(id)
    assert made.known == [id]
    made = Made(http=[id])
    end(made)
    made.acks.undelivered(id)
    assert [kind(body) for body in made.bodies] == ["combined"]
    assert made.known == [id]


def test_delivered_by_the_broker_too_both_are_told():
    """The id came over HTTP and through the topic, in either order with its end."""
    id = message().activation_id
    made = Made(http=[id])
    made.acks.joined(id)
    end(made, more=False)
    assert [kind(body) for body in made.bodies] == ["result", "completion"]
    made = Made(http=[id])
    end(made)
    made.acks.joined(id)
    assert [kind(body) for body in made.bodies] == ["combined"]


@pytest.mark.parametrize(("blocking", "form"), [(True, "combined"), (False, "completion")])
def test_one_that_is_over_is_told_again(blocking, form):
    about, done = message(blocking), finished(3)
    made = Made()
    made.acks.again(about, record_of(about, done, []))
    made.acks.again(about, None)
    assert [kind(body) for body in made.bodies] == [form, form]
    assert made.bodies[0]["isSystemError"] is True
    assert made.known == []


def test_one_event_for_each_activation():
    made = Made(events=True)
    end(made)
    assert [topic for topic, _ in made.producer.sent] == ["events", "completed0"]
    assert made.bodies[0]["source"] == "invoker0"


def test_closed_means_silent():
    """The stream belongs to another process now."""
    made = Made()
    made.acks.close()
    end(made, more=False)
    assert made.bodies == []
    assert made.known == []
