"""A real node, killed at every journaled event: what it had accepted comes to exactly one record, and nothing is left of it.

`make crash-full` plays every event x position x every other factor; otherwise every event x position once, the others in pairs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.cases import Case, covering, full, pairs
from tests.crash.runner import Play

FULL = os.environ.get("REWHISK_CRASH_FULL") == "1"
CASES = full() if FULL else covering()
AT_ONCE = 3
"""Plays at the same time: each waits for its processes most of its time."""


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Case, Future[None]]]:
    """All chosen cases, played side by side; each test waits for its own."""
    own = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    items = [item for item in own if getattr(item, "originalname", "") == "test_killed_at"]
    chosen = [item.callspec.params["case"] for item in items]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {case: pool.submit(_play, case, tmp_path_factory.mktemp("crash")) for case in chosen}
        pool.shutdown(cancel_futures=True)


def _play(case: Case, directory: Path) -> None:
    Play(case, directory).run()


@pytest.mark.nodejs
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_killed_at(case: Case, plays: dict[Case, Future[None]]) -> None:
    """Killed there and restarted: the oracle finds nothing wrong, no process, control group or directory is left."""
    plays[case].result(timeout=600)


def test_cases_cover() -> None:
    """The cases of every run have every event x position, and every pair of the other factors' values."""
    assert {(case.event, case.position) for case in covering()} == {(case.event, case.position) for case in full()}
    assert pairs(covering()) == pairs(full())
