"""The status of a node as one screen. Data in, text out; what a node doesn't tell is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.output import milliseconds, safe


def uptime(seconds: object) -> str:
    """`3 d 4 h`, `5 min`, `12 s`."""
    if not isinstance(seconds, int | float):
        return "-"
    for unit, length, below, smaller in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} {int(seconds % length // smaller)} {below}"
    return f"{int(seconds // 60)} min" if seconds >= 60 else f"{int(seconds)} s"


def bar(memory: Mapping[str, Any], width: int = 40) -> str:
    """Memory as a line: `#` busy, `=` idle, `-` prewarmed, `x` being removed, `.` free."""
    total = memory.get("total") or 0
    if not isinstance(total, int | float) or total <= 0:
        return ""
    text = ""
    for name, sign in (("busy", "#"), ("idle", "="), ("prewarm", "-"), ("removing", "x")):
        part = memory.get(name) or 0
        text += sign * round(width * part / total)
    return f"[{text[:width]:.<{width}}]"


def head_lines(status: Mapping[str, Any]) -> list[str]:
    """Node, readiness, work, journal, memory: one line each."""
    ready = status.get("ready")
    state = "ready" if ready is True else "not ready" if ready is False else f"not ready: {ready}" if ready else "-"
    who = f"{safe(status.get('node', '-'))}  epoch {safe(status.get('epoch', '-'))}"
    lines = [f"node      {who}  up {uptime(status.get('uptime'))}  {safe(state)}"]
    work = [f"{name} {status[name]}" for name in ("running", "queued", "live") if name in status]
    if work:
        lines.append("work      " + "  ".join(safe(item) for item in work))
    journal = status.get("journal")
    if isinstance(journal, Mapping):
        lines.append(f"journal   {safe(journal.get('documents', '-'))} documents, lag {milliseconds(journal.get('lag_ms'))}")
    memory = status.get("memory")
    if isinstance(memory, Mapping):
        parts = [f"{name} {memory[name]}" for name in ("busy", "idle", "prewarm", "removing") if name in memory]
        lines.append(f"memory    {bar(memory)} of {safe(memory.get('total', '-'))} MB: {safe(', '.join(parts))}")
    return lines


def container_rows(status: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Containers for a table: id, state, kind, MB, action, activations, since."""
    containers = status.get("containers")
    return [
        (
            str(item.get("id", "-"))[:16], item.get("state", "-"), item.get("kind", "-"), item.get("memory", "-"),
            item.get("action", ""), item.get("active", ""), item.get("pid", ""),
        )
        for item in (containers if isinstance(containers, list) else []) if isinstance(item, Mapping)
    ]  # fmt: skip


def waiting_rows(status: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """What waits and why."""
    waiting = status.get("waiting")
    names = ("action", "namespace", "count", "why")
    return [
        tuple(item.get(name, "") for name in names) if isinstance(item, Mapping) else (item, "", "", "")
        for item in (waiting if isinstance(waiting, list) else [])
    ]
