"""What the node remembers of what it has done lately."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.commands import Job
from messages.events import Finished
from tests.support.actor_bench import action, message
from transport.history import LATEST, SECONDS, History, quantile

START = message().start


class Clock:
    def __init__(self) -> None:
        self.now = START + 5000

    def __call__(self) -> int:
        return self.now


def finished(activation_id: str, **changes: Any) -> Finished:
    now = START + 5000
    given = {"status_code": 0, "start": now - 20, "end": now - 3, "wait_time": 12, "init_time": 7, **changes}
    return Finished(activation_id, now, **given)


def ended(history: History, activation_id: str, **changes: Any) -> None:
    history.observe("finished", {"finished": finished(activation_id, **changes), "message": message(activation_id)})


def placed(history: History, activation_id: str, cid: int, start: str) -> None:
    job = Job(message(activation_id), action(), 1, 0, False, 0.0)
    history.observe("placed", {"job": job, "cid": cid, "start": start})


def test_a_cold_start_shows_the_stages_of_its_container() -> None:
    """The wait is split into the queue and what was waited for."""
    history = History(Clock())
    history.observe("up", {"cid": 4, "container": "c", "stages": {"create": 3.0, "start": 4.5}})
    placed(history, "a" * 32, 4, "cold")
    ended(history, "a" * 32)
    past = history.latest(None)[0]
    assert (past.start, past.stages) == ("cold", {"queue": 4.5, "create": 3.0, "start": 4.5, "init": 7, "run": 10, "commit": 3})


def test_a_warm_start_shows_no_stages_of_the_container_that_it_found() -> None:
    """They belong to another activation."""
    history = History(Clock())
    history.observe("up", {"cid": 4, "container": "c", "stages": {"create": 3.0}})
    placed(history, "a" * 32, 4, "cold")
    placed(history, "b" * 32, 4, "warm")
    ended(history, "b" * 32, init_time=0)
    assert history.latest(None)[0].stages == {"queue": 12, "run": 17, "commit": 3}


def test_nothing_is_kept_of_what_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stem cell that was used as of any container; what nobody uses is bounded."""
    monkeypatch.setattr("transport.history.PLACED", 3)
    history = History(Clock())
    for cid in range(9):
        history.observe("up", {"cid": cid, "container": "c", "stages": {"create": 3.0}})
        placed(history, f"{cid:032x}", cid, "prewarmed")
        ended(history, f"{cid:032x}")
    assert repr(history) == "<History 9 latest, 1 seconds, 0 placed, 0 made>"
    for cid in range(9, 18):
        history.observe("up", {"cid": cid, "container": "c", "stages": {"create": 3.0}})
    assert repr(history).endswith("0 placed, 3 made>")


def test_the_latest_are_bounded_newest_first_and_of_one_namespace_if_asked() -> None:
    """What never had a container, as one that was refused by the pool, is there too."""
    history = History(Clock())
    for n in range(LATEST + 5):
        ended(history, f"{n:032x}")
    latest = history.latest(None)
    assert [past.id for past in latest] == [f"{n:032x}" for n in range(LATEST + 4, 4, -1)]
    namespace = message().user.namespace.name
    assert (len(history.latest(namespace)), history.latest("nobody")) == (LATEST, [])


def test_frozen_containers_are_shown_as_paused_until_they_go_on_or_are_gone() -> None:
    """One that could not be frozen is not."""
    history = History(Clock())
    for cid, done in ((1, True), (2, False), (3, True), (4, True)):
        history.observe("paused", {"cid": cid, "done": done, "ms": 1.0})
    history.observe("resumed", {"cid": 3, "done": True, "ms": 1.0})
    idle = [{"cid": cid, "state": "idle"} for cid in (1, 2, 3)]
    assert [each["state"] for each in history.with_frozen({"containers": idle})["containers"]] == ["paused", "idle", "idle"]
    again = history.with_frozen({"containers": [{"cid": 4, "state": "idle"}]})
    assert again["containers"][0]["state"] == "idle", "it was gone from the list in between"


def test_seconds_are_whole_ones_of_the_last_minute() -> None:
    """The second that is going on is not shown, nor what is older."""
    clock = Clock()
    history = History(clock)
    ended(history, "a" * 32, status_code=1)
    ended(history, "b" * 32)
    assert history.seconds() == []
    clock.now += 1000
    assert history.seconds() == [{"at": clock.now // 1000 - 1, "ended": 2, "failed": 1, "p50": 4997, "p99": 4997}]
    clock.now += SECONDS * 1000
    assert history.seconds() == []


@given(st.lists(st.integers(0, 10**6), min_size=1), st.floats(0, 1))
def test_a_quantile_is_one_of_the_times_with_that_share_at_or_below_it(times: list[int], share: float) -> None:
    """By the definition."""
    found = quantile(times, share)
    assert found in times
    assert sum(each <= found for each in times) >= share * len(times)
