"""What people see: columns and colours on a terminal, plain lines in a pipe, never what steers the terminal."""

import io
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import output


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Standard output says that it is a terminal."""
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "60")
    return capsys


def test_tables_in_a_pipe(capsys):
    """Tabs between cells, no header, no cell that breaks the line."""
    output.print_table(("a", "b"), [("x", 1), ("two\nlines", "tab\there")], "none")
    assert capsys.readouterr().out == "x\t1\ntwo lines\ttab here\n"


def test_tables_on_a_terminal(terminal):
    """Columns under their names; text is never taken for markup."""
    output.print_table(("name", "n"), [("[bold]x[/bold]", 1)], "none")
    lines = terminal.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "n"]
    assert lines[1].split() == ["[bold]x[/bold]", "1"]


def test_wide_cells_are_folded_not_cut(terminal):
    """Nothing is lost where the terminal is narrow."""
    output.print_table(("name",), [("x" * 100,)], "none")
    assert terminal.readouterr().out.count("x") == 100


def test_empty_tables(capsys):
    """A remark for people on standard error, nothing for a pipe."""
    output.print_table(("a",), [], "nothing yet")
    assert capsys.readouterr() == ("", "nothing yet\n")


def test_json(capsys, terminal):
    """The same document on a terminal and elsewhere."""
    import json

    value = {"a": [1, "[red]é"], "b": None}
    output.print_json(value)
    assert json.loads(terminal.readouterr().out) == value


def test_json_where_the_encoding_is_poor(monkeypatch):
    """A terminal that isn't UTF-8 gets escapes instead of an error."""
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    output.print_json({"a": "é"})
    sys.stdout.flush()
    assert buffer.getvalue() == b'{\n  "a": "\\u00e9"\n}\n'


@given(st.text())
def test_safe_text_steers_no_terminal(text):
    """Neither escapes nor other controls survive, everything else does."""
    shown = output.safe(text)
    assert all(char in "\t\n" or (ord(char) >= 32 and not 127 <= ord(char) < 160) for char in shown)
    assert len(shown) == len(text)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 ms"), (999, "999 ms"), (1500, "1.5 s"), (90_000, "1.5 min"), (None, "-"), ("x", "-")]
)
def test_milliseconds(value, text):
    """Units that people read."""
    assert output.milliseconds(value) == text


@pytest.fixture
def utc(monkeypatch):
    """The machine is in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("utc")
def test_moments():
    """Local time; values that are none are a dash."""
    assert output.moment(1700000000123) == "2023-11-14 22:13:20"
    assert output.moment(1700000000123, precise=True) == "22:13:20.123"
    for odd in (None, "x", 0, -5, 1e300):
        assert output.moment(odd) == "-"
