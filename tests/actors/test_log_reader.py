"""LogReader: who gets which lines, how long it waits, and what follows a bug in it."""

from __future__ import annotations

import pytest
from thespian.actors import WakeupMessage

from actors.log_reader import LogReader
from actors.system import Restarted
from containers.logs import DEVELOPER_ERROR, ISSUE, SENTINEL
from messages.commands import LogChunk, Logs, LogsBegin, LogsEnd, LogsForget, LogsReset
from tests.support.actor_bench import ID, ROUTER, SELF, WRITER, Bench
from tests.support.supervision import sweep

MB = 1024 * 1024
END = SENTINEL + b"\n"


def bench() -> Bench:
    return Bench(LogReader, log_wait=2.0)


def chunk(stream: str, data: bytes, cid: int = 1) -> LogChunk:
    return LogChunk(cid, stream, data, 1_000_000_000)


def begin(activation_id: str = ID, cid: int = 1) -> LogsBegin:
    return LogsBegin(cid, activation_id, MB)


def end(activation_id: str = ID, wait: bool = True, failed: bool = False, cid: int = 1) -> LogsEnd:
    return LogsEnd(cid, activation_id, wait, failed, SELF)


def texts(logs: Logs) -> list[str]:
    return [line.split(": ", 1)[1] for line in logs.lines]


def test_lines_go_to_writer_and_proxy_when_both_sentinels_are_there() -> None:
    """Whether the answer or the sentinels came first."""
    output = [chunk("stdout", b"a\n" + END), chunk("stderr", END)]
    for order in ([end(), *output], [*output, end()]):
        made = bench()
        made.deliver(begin(), *order)
        (logs,) = made.to(WRITER)
        assert (texts(logs), logs.intact, made.to(SELF)) == (["a"], True, [logs])


def test_it_waits_for_sentinels_only_so_long() -> None:
    """Without any output for `log_wait` it gives up and says so."""
    made = bench()
    made.deliver(begin(), chunk("stdout", b"a\n"), end())
    assert made.wakeups
    made.clock.now += 1.9
    made.deliver(WakeupMessage(None, None))
    assert made.to(WRITER) == []
    made.clock.now += 0.2
    made.deliver(WakeupMessage(None, None))
    (logs,) = made.to(WRITER)
    assert (texts(logs), logs.intact) == (["a", ISSUE], False)


def test_output_prolongs_the_wait_up_to_the_overall_limit() -> None:
    """10 s with a log limit of 1 MB: upstream's max(5, limit) x 2 s."""
    made = bench()
    made.deliver(begin(), end())
    for _ in range(12):
        made.clock.now += 1.0
        made.deliver(chunk("stdout", b"more\n"), WakeupMessage(None, None))
    (logs,) = made.to(WRITER)
    assert not logs.intact
    assert 9 <= len(texts(logs)) <= 11


def test_a_failed_run_is_not_waited_for() -> None:
    """A developer error leaves no sentinels behind."""
    made = bench()
    made.deliver(begin(), chunk("stdout", b"a\n"), end(wait=False, failed=True))
    (logs,) = made.to(WRITER)
    assert texts(logs) == ["a", DEVELOPER_ERROR]


def test_activations_of_one_container_keep_their_lines_apart() -> None:
    """One after the other."""
    made = bench()
    for letter in "ab":
        activation_id = letter * 32
        made.deliver(begin(activation_id), chunk("stdout", letter.encode() + b"\n" + END), chunk("stderr", END), end(activation_id))
    assert [texts(logs) for logs in made.to(WRITER)] == [["a"], ["b"]]


def test_a_container_that_goes_ends_its_collections() -> None:
    """Nothing more will come: the run that was answered and the one that was not."""
    made = bench()
    made.deliver(begin(), end(), begin("2" * 32), LogsForget(1))
    assert {logs.activation_id for logs in made.to(WRITER)} == {ID, "2" * 32}
    assert [logs.activation_id for logs in made.to(SELF)] == [ID]
    assert (made.actor.demuxes, made.actor.runs, made.actor.closing) == ({}, {}, 0)


def test_a_restarted_reader_tells_who_waits() -> None:
    """What it was collecting is lost."""
    made = bench()
    made.deliver(Restarted(RuntimeError(), None))
    assert [type(each) for each in made.to(ROUTER)] == [LogsReset]


def test_lines_lost_with_an_earlier_reader_are_noted() -> None:
    """A run that began before the restart and ends after it has a last line that says what is missing."""
    made = bench()
    made.deliver(end())
    (logs,) = made.to(WRITER)
    assert (texts(logs), logs.intact) == ([ISSUE], False)


@pytest.mark.parametrize("position", ["before", "after"])
def test_a_reader_that_fails_loses_no_activation(position: str) -> None:
    """At whatever message: at worst a record's last log line says that lines may be missing."""
    assert sweep(LogReader, position, stride=3) > 100
