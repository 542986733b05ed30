"""Log lines: JSON away from a terminal, one each, no secret under any known name."""

import io
import json
import logging

import pytest
import structlog

from console.logging import HIDDEN, set_up


@pytest.fixture
def out():
    """Logging set up into a buffer, and everything as before afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    buffer = io.StringIO()
    yield buffer
    root.handlers[:], root.level = before, level
    structlog.reset_defaults()
    for name in ("uvicorn", "asyncio", "thespian"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def lines(out):
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_lines(out):
    """Event, level, time and facts."""
    set_up("info", out)
    structlog.get_logger("node").info("finished", activation="a1", status=0)
    (line,) = lines(out)
    assert (line["event"], line["level"], line["activation"], line["status"]) == ("finished", "info", "a1", 0)
    assert line["timestamp"].endswith("Z")


def test_levels(out):
    """What is below the level is not said; libraries only from warning on."""
    set_up("warning", out)
    structlog.get_logger().info("no")
    structlog.get_logger().warning("yes")
    logging.getLogger("uvicorn.error").info("no")
    logging.getLogger("asyncio").warning("also %s", "yes")
    assert [line["event"] for line in lines(out)] == ["yes", "also yes"]


@pytest.mark.parametrize("name", sorted(HIDDEN))
def test_secrets(out, name):
    """Keys, arguments and results never reach the log."""
    set_up("debug", out)
    structlog.get_logger().info("x", **{name: "topsecret"})
    assert "topsecret" not in out.getvalue()


def test_exceptions_are_one_line(out):
    """A traceback is a field of its line."""
    set_up("info", out)
    try:
        raise ValueError("why")
    except ValueError:
        structlog.get_logger().exception("failed", activation="a1")
    (line,) = lines(out)
    assert "ValueError: why" in line["exception"]
