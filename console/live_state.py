"""What the live console shows and how keys change it. Pure: documents and keys in, the next state out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Document = Mapping[str, Any]

LINES = 3
HELP = "q quit  p pause  / filter  f failures  \u2191\u2193 choose  enter open"


@dataclass(frozen=True)
class View:
    """The console's state. `typing`: the filter is being written; `chosen`: id of the activation under the cursor."""

    document: Document = field(default_factory=dict)
    connected: bool = False
    problem: str = ""
    paused: bool = False
    wanted: str = ""
    failed: bool = False
    typing: bool = False
    chosen: str = ""
    opened: bool = False
    over: bool = False
    lines: tuple[str, ...] = ()

    def rows(self) -> list[Mapping[str, Any]]:
        """The latest activations that the filters let through, newest first."""
        latest = self.document.get("latest")
        found = [row for row in latest if isinstance(row, Mapping)] if isinstance(latest, list) else []
        wanted = self.wanted.lower()
        return [
            row for row in found
            if (not self.failed or row.get("status_code")) and wanted in f"{row.get('action')} {row.get('id')}".lower()
        ]  # fmt: skip

    def row(self) -> Mapping[str, Any] | None:
        """The chosen activation, if it is still known."""
        return next((row for row in self.rows() if row.get("id") == self.chosen), None)


def told(view: View, document: Document) -> View:
    """A document has come. A paused screen stays as it is, but for knowing that the node is there."""
    over = bool(document.get("ended"))
    if view.paused and not over:
        return replace(view, connected=True, problem="")
    return replace(view, document=document, connected=True, problem="")


def said(view: View, line: str) -> View:
    """The node has said something: the newest LINES of it are shown."""
    return replace(view, lines=(*view.lines, line.rstrip())[-LINES:])


def lost(view: View, problem: str) -> View:
    """The node doesn't answer."""
    return replace(view, connected=False, problem=problem)


def pressed(view: View, key: str) -> View:
    """A key was pressed."""
    if view.typing:
        return _typed(view, key)
    return KEYS.get(key, _same)(view)


def _typed(view: View, key: str) -> View:
    if key == "enter":
        return replace(view, typing=False)
    if key == "escape":
        return replace(view, typing=False, wanted="")
    if key == "\x03":
        return replace(view, over=True)
    if key == "\x7f":
        return replace(view, wanted=view.wanted[:-1])
    return replace(view, wanted=view.wanted + key) if len(key) == 1 and key.isprintable() else view


def _moved(view: View, by: int) -> View:
    ids = [str(row.get("id")) for row in view.rows()]
    if not ids:
        return replace(view, chosen="", opened=False)
    at = ids.index(view.chosen) + by if view.chosen in ids else 0
    return replace(view, chosen=ids[max(0, min(len(ids) - 1, at))])


def _open(view: View) -> View:
    chosen = view if view.row() is not None else _moved(view, 1)
    return replace(chosen, opened=chosen.row() is not None)


def _close(view: View) -> View:
    return replace(view, opened=False) if view.opened else replace(view, wanted="", failed=False, chosen="")


def _same(view: View) -> View:
    return view


def _quit(view: View) -> View:
    return replace(view, over=True)


def _pause(view: View) -> View:
    return replace(view, paused=not view.paused)


def _up(view: View) -> View:
    return _moved(view, -1)


def _down(view: View) -> View:
    return _moved(view, 1)


def _filter(view: View) -> View:
    return replace(view, typing=True, wanted="")


def _failures(view: View) -> View:
    return replace(view, failed=not view.failed)


KEYS: dict[str, Callable[[View], View]] = {
    "q": _quit, "\x03": _quit, "p": _pause, " ": _pause, "/": _filter, "f": _failures,
    "j": _down, "down": _down, "k": _up, "up": _up, "enter": _open, "escape": _close,
}  # fmt: skip
"""Key → the state after it."""
