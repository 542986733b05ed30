"""Client, outcome and log demultiplexer cope with all that upstream's runtimes were recorded to answer and print."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containers.contract import Answer, Failure, Result
from containers.http_codec import ResponseParser
from containers.logs import SENTINEL, LogDemux
from containers.outcome import init_failure, is_container_lost, run_response

GOLDEN = Path(__file__).parents[1] / "golden" / "runtime-exchanges.jsonl"
T = "2025-01-01T00:00:00.512345678Z"
MB = 1_048_576
REPEAT = re.compile(r"<repeat:(.*?):(\d+)>", re.DOTALL)
FAILURES = {"refused": Failure.REFUSED, "timeout": Failure.TIMEOUT, "no answer": Failure.TIMEOUT}

Row = dict[str, Any]


def rows() -> list[Row]:
    lines = [json.loads(line) for line in GOLDEN.read_bytes().splitlines()]
    return [line for line in lines if "given" in line]


def expand(text: str | dict[str, str]) -> bytes:
    if isinstance(text, dict):
        return base64.b64decode(text["$base64"])
    return REPEAT.sub(lambda match: match[1] * int(match[2]), text).encode("utf-8", "replace")


def answers(step: Row | str | None) -> Iterator[Row]:
    """The answers of one step; steps that are no request have none."""
    if isinstance(step, dict):
        yield from step.get("answers", [step] if "status" in step else [])


def result_of(answer: Row, limit: int = MB) -> Result:
    """What the client makes of a recorded answer: its bytes go through the codec."""
    if answer["status"] is None:
        return next((failure for word, failure in FAILURES.items() if word in answer["error"]), Failure.BROKEN)
    body = expand(answer["body"])
    parser = ResponseParser(limit)
    head = f"HTTP/1.1 {answer['status']} X\r\nContent-Length: {len(body)}\r\n\r\n"
    result = parser.feed(answer.get("interim", "").encode() + head.encode() + body)
    assert result is not None
    return result


def by_name(runtime: str, case: str) -> Row:
    return next(row for row in rows() if (row["runtime"], row["case"]) == (runtime, case))


def expected_code(result: Result) -> int:
    """The table of openwhisk-invoker.md 5.2, once more and by another reader of JSON."""
    if not isinstance(result, Answer):
        return 2
    if result.truncated:
        return 1
    try:
        value = json.loads(result.body)
    except ValueError:
        return 2
    if result.status != 200 or not isinstance(value, dict | list):
        return 2
    return 1 if "error" in value and isinstance(value, dict) else 0


def test_every_recorded_answer_to_a_run_has_the_status_of_the_rules() -> None:
    seen = 0
    for row in rows():
        for step in row["runs"]:
            for answer in answers(step):
                result = result_of(answer)
                response = run_response(result, 5, 60_000, MB)
                assert response.status_code == expected_code(result), (row["runtime"], row["case"], answer)
                bytes(response.result).decode("utf-8")  # type: ignore[arg-type]
                seen += 1
    assert seen > 500


def test_every_recorded_init_succeeds_or_is_a_developer_error() -> None:
    for row in rows():
        for answer in answers(row["init"]):
            response = init_failure(result_of(answer), 5, 60_000, MB)
            assert (response is None) == (answer["status"] == 200), row["case"]
            assert response is None or response.status_code == 2


@pytest.mark.parametrize(
    ("runtime", "case", "codes"),
    [
        ("nodejs", "result-thrown", [2]),
        ("python", "result-thrown", [1]),
        ("nodejs", "result-null", [2]),
        ("python", "result-null", [2]),
        ("nodejs", "result-nothing", [0]),
        ("python", "result-nothing", [2]),
        ("nodejs", "result-rejected-error", [1]),
        ("python", "result-nan", [2]),
        ("nodejs", "out-of-memory", [2, 2]),
        ("nodejs", "out-forged-sentinel", [0, 0]),
    ],
)
def test_known_surprises(runtime: str, case: str, codes: list[int]) -> None:
    found = [
        run_response(result_of(answer), 5, 60_000, MB).status_code
        for step in by_name(runtime, case)["runs"]
        for answer in answers(step)
    ]
    assert found[: len(codes)] == codes
    assert [is_container_lost(code) for code in codes] == [code >= 2 for code in codes]


def test_every_recorded_output_is_split_without_loss() -> None:
    """Complete if each stream printed a sentinel; no sentinel in a line; every byte in a line or counted."""
    for row in rows():
        demux = LogDemux()
        fed = b""
        lines: list[str] = []
        for number, step in enumerate([row["init"], *row["runs"], {}]):
            if not isinstance(step, dict):
                continue
            printed = {stream: expand(step.get(stream, "")) for stream in ("stdout", "stderr")}
            demux.begin(str(number), 100 * MB)
            for stream, data in printed.items():
                fed += data
                for at in range(0, len(data), 16_384):
                    demux.feed(stream, data[at : at + 16_384], T)
            assert demux.is_complete(str(number)) == all(SENTINEL in data for data in printed.values()), row["case"]
            lines += demux.collect(str(number), T).lines
        assert not any(SENTINEL.decode() in line for line in lines)
        if fed.isascii():
            # Kept lines ended in a newline, or not where the step ended.
            text = sum(len(line) - len(f"{T} stdout: ") for line in lines)
            assert text <= len(fed) - demux.cut_bytes - demux.framing_bytes <= text + len(lines), row["case"]


def test_output_of_a_successful_init_is_in_the_logs_of_the_first_run() -> None:
    for runtime in ("nodejs", "python"):
        row = by_name(runtime, "init-logs")
        demux = LogDemux()
        demux.begin("a", MB)
        for step in (row["init"], row["runs"][0]):
            for stream in ("stdout", "stderr"):
                if step.get(stream):
                    demux.feed(stream, expand(step[stream]), T)
        assert demux.is_complete("a")
        assert sorted(demux.collect("a", T).lines) == [f"{T} stderr: loading err", f"{T} stdout: loading"]
