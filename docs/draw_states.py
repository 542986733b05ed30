"""Draws docs/states.md from the tables of the state machines: `python docs/draw_states.py`.

A table maps a state (an enum) to what can happen there and the state that follows. The code looks transitions up in the same
tables, so the page can't say anything else; a test keeps it current and finds tables that are not drawn.
"""

import importlib
import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "states.md"

Table = Mapping[Enum, Mapping[str, Enum]]

TABLES = [
    ("The life of an activation in the journal", "messages.lifecycle", "TRANSITIONS"),
    ("The way of an activation through the router", "actors.route", "ROUTE"),
    ("A container as its proxy sees it", "actors.container_states", "CONTAINER"),
    ("One run in a container", "actors.container_states", "RUN"),
    ("A container as the pool counts it", "actors.pool_state", "MOVES"),
    ("The end of an activation", "actors.result_writer", "ENDING"),
    ("The way of a composition through the composer", "actors.composing", "COMPOSITION"),
    ("One call of a composition", "actors.composing", "CALL"),
]
"""Title, module, name of the table."""

HEAD = """# States

Drawn from the tables in the code by `make docs`; a test keeps it current. An event that a table does not have in a state is
an error in the code and raises.
"""


def is_table(value: object) -> bool:
    """Whether a module's attribute is a table of transitions."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(state, Enum) and isinstance(steps, dict) for state, steps in value.items())
        and any(steps for steps in value.values())
        and all(isinstance(event, str) and isinstance(after, Enum) for steps in value.values() for event, after in steps.items())
    )


def rows(table: Table) -> Iterable[tuple[Enum, str, Enum]]:
    """All transitions."""
    return ((state, event, after) for state, steps in table.items() for event, after in steps.items())


def ends(table: Table) -> list[Enum]:
    """States from which nothing leads to another."""
    return [state for state, steps in table.items() if set(steps.values()) <= {state}]


def drawing(table: Table) -> str:
    """A mermaid state diagram: starts at the first state, ends where nothing leads on. Events between two states share an arrow."""
    lines = ["```mermaid", "stateDiagram-v2"]
    first = next(iter(table))
    lines.append(f"    [*] --> {first.name}")
    arrows: dict[tuple[Enum, Enum], list[str]] = {}
    for state, event, after in rows(table):
        arrows.setdefault((state, after), []).append(event)
    lines += [f"    {state.name} --> {after.name}: {', '.join(events)}" for (state, after), events in arrows.items()]
    lines += [f"    {state.name} --> [*]" for state in ends(table)]
    return "\n".join([*lines, "```"])


def listing(table: Table) -> str:
    """The same as a table of text, for reading without a renderer."""
    lines = ["| state | event | next |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {state.value} | {event} | {after.value} |" for state, event, after in rows(table))])


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, module, name in TABLES:
        table = getattr(importlib.import_module(module), name)
        where = f"`{name}` in `{module.replace('.', '/')}.py`"
        parts.append(f"## {title}\n\n{where}\n\n{drawing(table)}\n\n{listing(table)}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(page(), encoding="utf-8")
