"""Our runtimes do what upstream's did in the recorded cases, or deviate exactly as `deviations.py` says."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import pytest

from tests.runtimes.compare import same_answer, same_stream
from tests.runtimes.deviations import DEVIATIONS, NOT_HERE
from tests.runtimes.exchange import PATIENCE, Player, Process

GOLDEN = Path(__file__).parents[1] / "golden" / "runtime-exchanges.jsonl"
LINES = [json.loads(line) for line in GOLDEN.read_text().split("\n") if line]
CASES = {(line["runtime"], line["case"]): line for line in LINES if "given" in line}
USUAL: dict[str, dict[str, Any]] = {line["runtime"]: line["init"] for line in LINES if line["case"] == "_usual"}
PLAYED = sorted(set(CASES) - set(NOT_HERE))
SETTLE = 0.02
"""Seconds in which output nobody expects would have come; what is later shows up at the next step."""
AT_ONCE = 6
"""Cases played side by side: most of their time is waiting."""


def expected(key: tuple[str, str]) -> dict[str, Any]:
    """The recorded case with our deviation laid over it."""
    line = dict(CASES[key])
    if line["init"] == "ok":
        line["init"] = USUAL[key[0]]
    if key in DEVIATIONS:
        deviation = DEVIATIONS[key]
        line["init"] = deviation.init or line["init"]
        line["runs"] = [deviation.runs.get(number, run) for number, run in enumerate(line["runs"])]
        line |= deviation.ending
    return line


def play(key: tuple[str, str], directory: Path) -> list[str]:
    """What differed, one text each."""
    line = expected(key)
    env = dict(item.split("=", 1) for item in line["given"].get("container", {}).get("env", []))
    process = Process(key[0], directory, env)
    try:
        player = Player(process, line["given"])
        problems = []
        if line["init"] is not None:
            problems += check("init", line["init"], player.init(), process)
        for number, (step, wanted) in enumerate(zip(line["given"]["runs"], line["runs"], strict=True)):
            if wanted.get("error") == "connection refused":
                with suppress(TimeoutExpired):
                    process.child.wait(PATIENCE / 4)  # its connection closes a moment before its listening socket
            if "json_log" not in step:  # a property of the engine, not of the runtime
                problems += check(f"run {number}", wanted, player.step(step), process)
        return problems + check_ending(line, process)
    finally:
        process.end()


def check(name: str, wanted: dict[str, Any], actual: dict[str, Any], process: Process) -> list[str]:
    if "body" in actual:
        actual["body"] = actual["body"].replace(str(process.directory), "/action")
    problem = same_answer(wanted, actual)
    if "docker" in wanted:
        return [problem] if problem else []  # what it sets free may print now or at the next step
    streams = settle(wanted, process)
    return ([f"{name}: {problem}"] if problem else []) + [f"{name}: {text}" for text in streams]


def settle(wanted: dict[str, Any], process: Process) -> list[str]:
    """Wait for the output that must come; what is wrong when it doesn't."""
    loose = wanted.get("status") not in (200, None)
    deadline = time.monotonic() + (PATIENCE / 4 if "stdout" in wanted or "stderr" in wanted else SETTLE)
    if "stdout" not in wanted and "stderr" not in wanted:
        time.sleep(SETTLE)
    while True:
        got = process.peek()
        wrong = [name for name in got if not same_stream(wanted.get(name, ""), got[name], name, loose)]
        if not wrong or time.monotonic() > deadline:
            break
        time.sleep(0.005)
    process.take()
    return [f"{name} was {got[name][-400:]!r} instead of {str(wanted.get(name, ''))[-400:]!r}" for name in wrong]


def check_ending(line: dict[str, Any], process: Process) -> list[str]:
    if not line["alive"]:
        with suppress(TimeoutExpired):
            process.child.wait(PATIENCE / 4)
    problems = [f"later: {text}" for text in settle({}, process)]
    status = process.child.poll()
    if line["alive"] != (status is None):
        problems.append(f"alive is {status is None}")
    wanted = -9 if line["exit"] == 137 else line["exit"]
    if not line["alive"] and status != wanted:
        problems.append(f"exit status {status} instead of {wanted}")
    return problems


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The cases that were asked for, all under way at once."""
    wanted = [item.callspec.params["key"] for item in request.session.items if item.name.startswith("test_case[")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {key: pool.submit(play, key, tmp_path_factory.mktemp("g")) for key in wanted}


@pytest.mark.parametrize("key", PLAYED, ids="-".join)
def test_case(key: tuple[str, str], played: dict[tuple[str, str], Future[list[str]]]) -> None:
    """Answers, output and survival are as recorded."""
    assert played[key].result() == []


def test_tables_name_cases_of_the_recording() -> None:
    """No entry of the tables is stale, none is in both, and each that was left out has a reason."""
    assert set(NOT_HERE) <= set(CASES)
    assert set(DEVIATIONS) <= set(CASES)
    assert not set(NOT_HERE) & set(DEVIATIONS)
    assert len(NOT_HERE) == 9
    assert all(NOT_HERE.values())


@pytest.mark.parametrize("key", sorted(DEVIATIONS), ids="-".join)
def test_deviation_differs(key: tuple[str, str]) -> None:
    """What is called a deviation is one."""
    recorded = CASES[key]
    usual = {"init": USUAL[key[0]]} if recorded["init"] == "ok" else {}
    assert expected(key) != recorded | usual
