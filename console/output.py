"""What people see: tables and coloured JSON on a terminal; elsewhere plain lines without a header, ready for a pipe."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def safe(text: object) -> str:
    """Text with control characters replaced: what an action printed must not steer the reader's terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def console() -> Console:
    """The rich console of standard output."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """JSON, indented; coloured on a terminal."""
    text = json.dumps(value, indent=2, ensure_ascii=not _unicode())
    if on_terminal():
        from rich.json import JSON

        console().print(JSON(text, indent=2, ensure_ascii=not _unicode()))
    else:
        print(text)


def _unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Rows under their columns; `empty` is said on standard error if there are none."""
    if not rows:
        note(empty)
        return
    cells = [[safe(cell).replace("\n", " ").replace("\t", " ") for cell in row] for row in rows]
    if not on_terminal():
        for row in cells:
            print("\t".join(row))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table, soft_wrap=False)


def note(text: str) -> None:
    """A remark for the person, on standard error: never mixed into results."""
    print(safe(text), file=sys.stderr)


def milliseconds(value: object) -> str:
    """`42 ms`, `1.2 s`, or `-` for what isn't known."""
    if not isinstance(value, int | float):
        return "-"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s" if value < 60_000 else f"{value / 60_000:.1f} min"


def moment(value: object, *, precise: bool = False) -> str:
    """Local time of epoch ms."""
    from datetime import datetime

    if not isinstance(value, int | float) or not 0 < value < 32_503_680_000_000:
        return "-"
    when = datetime.fromtimestamp(value / 1000).astimezone()
    return when.strftime("%H:%M:%S.%f")[:-3] if precise else when.strftime("%Y-%m-%d %H:%M:%S")
