"""`trace` and `journal`: the store's own journal, read and shown without secrets."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from console.timeline import timeline
from messages.errors import IllegalTransition
from messages.events import Accepted, Acked, Claimed, Finished, Recorded, Snapshot, Started
from messages.lifecycle import Stage
from store.journal_codec import encode_body, encode_event, pack
from store.open import open_store

ROOT = Path(__file__).resolve().parent.parent.parent
ID = "3f2a9f0c6f8b4bb0aa9f0c6f8bbbb001"
OTHER = "4f2a9f0c6f8b4bb0aa9f0c6f8bbbb002"
MESSAGE = {"action": {"path": "guest/p", "name": "a"}, "blocking": True, "content": {"password": "hunter2"}}


def accepted(activation, at=1000):
    return Accepted(activation, msgspec.Raw(msgspec.json.encode(MESSAGE)), at)


def finished(activation, at):
    return Finished(activation, at, 1, at - 5, at, msgspec.Raw(b'{"error": "topsecret"}'), init_time=2, wait_time=7)


LIFE = [
    (1, 1, Claimed(900)),
    (2, 1, accepted(ID)),
    (3, 1, Started(ID, 1, "c1", 1010)),
    (4, 2, Claimed(5000)),
    (5, 2, Started(ID, 2, "c2", 5100, alone=True, made={"ready": 22, "queue": 0, "create": 16, "start": 112},
    start="cold", why="no 256 MB free")),
    (6, 2, accepted(OTHER, 5200)),
    (7, 2, finished(ID, 6000)),
    (8, 2, Recorded(ID, 6001)),
    (9, 2, Acked(ID, 6002)),
    (10, 2, Snapshot(6003, [])),
]


@pytest.fixture
def data(tmp_path):
    """A store that holds LIFE as journal invoker0."""

    async def fill():
        store = await open_store("sqlite", tmp_path)
        for number, epoch, event in LIFE:
            body = pack(epoch, "w", 0, [encode_event(event)])
            await store.journal.create("invoker0", number, encode_body(body))
        await store.close()

    asyncio.run(fill())
    return tmp_path


def test_timeline_of_a_rerun():
    """Every state with its container and attempt, the time since the one before, and the restart between."""
    own = [entry for entry in LIFE if getattr(entry[2], "id", ID) == ID and entry[0] in (2, 3, 4, 5, 7, 8, 9)]
    found = timeline(ID, own)
    assert [(step.state, step.after, step.container, step.attempt) for step in found.steps] == [
        ("accepted", None, "", 0), ("started", 10, "c1", 1), ("restart", 3990, "", 0), ("started", 100, "c2", 2),
        ("finished", 900, "", 0), ("recorded", 1, "", 0), ("acked", 1, "", 0),
    ]  # fmt: skip
    assert found.finished
    assert found.steps[0].note == "/guest/p/a, blocking"
    assert found.steps[3].note == (
        "alone on the node, cold start, container made in 150 ms (create 16, start 112, ready 22), waited: no 256 MB free"
    )
    assert found.steps[4].note == "application error, ran 5 ms, init 2 ms, waited 7 ms"


def test_an_unfinished_timeline():
    """The stage that it stands at."""
    assert timeline(ID, LIFE[1:3]).stage is Stage.STARTED
    assert timeline(ID, []).stage is Stage.UNKNOWN


def test_an_illegal_path_is_not_shown_as_if_it_were_one():
    """A timeline is checked against the table of states."""
    with pytest.raises(IllegalTransition):
        timeline(ID, [LIFE[2]])


def test_trace(cli, data):
    """The life of one activation, other activations left out; arguments and results are nowhere in it."""
    found = cli("trace", ID, "--data-dir", data)
    assert found.code == 0
    lines = [line.split("\t") for line in found.out.splitlines()]
    assert [line[0] for line in lines] == ["accepted", "started", "restart", "started", "finished", "recorded", "acked"]
    assert lines[1][3:5] == ["c1", "1"]
    assert "hunter2" not in found.out
    assert "topsecret" not in found.out
    document = cli("trace", ID, "--data-dir", data, "--json").json
    assert (document["stream"], document["stage"], len(document["steps"])) == ("invoker0", "done", 7)


def test_trace_of_an_unfinished_one(cli, data):
    """Where it stands, and for how long."""
    found = cli("trace", OTHER, "--data-dir", data)
    assert found.out.startswith("accepted\t")
    assert found.err.startswith("not finished: accepted for ")


def test_trace_of_nothing(cli, data, tmp_path):
    """An id that isn't one, one that the journal doesn't know, and no store at all."""
    assert cli("trace", "x").code == 2
    assert cli("trace", "a" * 32, "--data-dir", data).code == 4
    assert "holds no store" in cli("trace", ID, "--data-dir", tmp_path / "none").err


def test_journal(cli, data):
    """One line an event, oldest first; arguments and results hidden."""
    found = cli("journal", "--data-dir", data)
    lines = found.out.splitlines()
    assert [line.split()[3] for line in lines] == [event.name for _, _, event in LIFE]
    assert [int(line.split()[0]) for line in lines] == list(range(1, 11))
    assert "c2 attempt 2" in lines[4]
    assert "hunter2" not in found.out
    assert "topsecret" not in found.out


def test_journal_with_arguments(cli, data):
    """Shown only when asked for, in both forms."""
    assert "hunter2" in cli("journal", "--data-dir", data, "--show-args").out
    assert "topsecret" in cli("journal", "--data-dir", data, "--show-args", "--json").out
    plain = [json.loads(line) for line in cli("journal", "--data-dir", data, "--json").out.splitlines()]
    assert "bytes" in plain[1]["message"]["content"]
    assert "bytes" in plain[6]["result"]
    assert [event["n"] for event in plain] == list(range(1, 11))


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        (("--activation", OTHER), [6]),
        (("--event", "started"), [3, 5]),
        (("--event", "started", "--event", "acked"), [3, 5, 9]),
        (("--since", "6000"), [7, 8, 9, 10]),
        (("--tail", "2"), [9, 10]),
        (("--event", "started", "--tail", "1"), [5]),
        (("--tail", "0"), list(range(1, 11))),
    ],
)
def test_journal_filters(cli, data, filters, numbers):
    """Each filter by itself and together."""
    found = cli("journal", "--data-dir", data, "--json", *filters)
    assert [json.loads(line)["n"] for line in found.out.splitlines()] == numbers


def test_journal_of_another_node(cli, data):
    """A node that has no journal here is told, with those that have."""
    found = cli("journal", "--node", "7", "--data-dir", data)
    assert found.code == 2
    assert "there are: invoker0" in found.err


def test_journal_follows(data):
    """New events appear while it runs; Ctrl-C ends it with 130 and without a word."""
    command = [sys.executable, ROOT / "run.py", "journal", "--follow", "--json", "--tail", "1", "--data-dir", data]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert json.loads(process.stdout.readline())["n"] == 10

            async def append():
                store = await open_store("sqlite", data)
                body = pack(2, "w", 0, [encode_event(accepted("5" * 32))])
                await store.journal.create("invoker0", 11, encode_body(body))
                await store.close()

            asyncio.run(append())
            assert json.loads(process.stdout.readline())["n"] == 11
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert process.stderr.read().strip() == ""
        finally:
            process.kill()


def test_a_state_of_the_past(cli, data):
    """What was unfinished then; what isn't there is said."""
    found = cli("journal", "--at", "3", "--data-dir", data)
    assert (found.code, found.out.split("\t")[:4]) == (0, [ID, "started", "1", "c1"])
    assert "invoker0 after document 3: epoch 1, 1 unfinished" in found.err
    live = cli("journal", "--at", "6", "--json", "--data-dir", data).json["live"]
    assert [(each["id"], each["state"], each["attempt"]) for each in live] == [(ID, "started", 2), (OTHER, "accepted", 0)]
    missing = cli("journal", "--at", "99", "--data-dir", data)
    assert (missing.code, "has no document 99" in missing.err) == (4, True)


def test_a_replay_held_against_what_was_written(cli, data):
    """LIFE's snapshot forgot an activation, and its messages are half ones: exit code 1, and which they are."""
    found = cli("journal", "--check", "--data-dir", data)
    assert found.code == 1
    assert found.out.splitlines()[1:] == [f"snapshot 10 differs from the replay in {OTHER}"]
    assert found.out.startswith(f"the message of {ID} is not readable")
    assert "documents 1 to 10 replayed, 1 snapshots and 0 records compared, 2 divergences" in found.err
    assert cli("journal", "--check", "--json", "--data-dir", data).json["divergences"]
