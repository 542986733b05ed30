"""The status of a node as one screen. Data in, text out; what a node doesn't tell is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.output import safe


def uptime(seconds: object) -> str:
    """`3 d 4 h`, `5 min`, `12 s`."""
    if not isinstance(seconds, int | float):
        return "-"
    for unit, length, below, smaller in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} {int(seconds % length // smaller)} {below}"
    return f"{int(seconds // 60)} min" if seconds >= 60 else f"{int(seconds)} s"


PARTS = (("busy", "#"), ("starting", "+"), ("idle", "="), ("prewarm", "-"), ("removing", "x"))
"""Parts of the memory and their sign in the bar; what is free is a dot."""


def bar(memory: Mapping[str, Any], width: int = 40) -> str:
    """Memory as a line of signs, see PARTS."""
    total = memory.get("total") or 0
    if not isinstance(total, int | float) or total <= 0:
        return ""
    text = ""
    for name, sign in PARTS:
        part = memory.get(name)
        if isinstance(part, int | float):
            text += sign * round(width * part / total)
    return f"[{text[:width]:.<{width}}]"


def queue_rows(status: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Queues for a table: action, namespace, how many wait, why."""
    queued = status.get("queued")
    return [
        tuple(item.get(name, "") for name in ("action", "namespace", "waiting", "why"))
        for item in (queued if isinstance(queued, list) else [])
        if isinstance(item, Mapping)
    ]


def container_rows(status: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Containers for a table: number, state, kind, MB, action, activations, how long idle."""
    containers = status.get("containers")
    rows: list[tuple[object, ...]] = []
    for item in containers if isinstance(containers, list) else []:
        if not isinstance(item, Mapping):
            continue
        key = item.get("key")
        action = key[0] if isinstance(key, list) and key else ""
        idle = item.get("idle_s")
        rows.append((
            item.get("cid", "-"), item.get("state", "-"), item.get("kind", "-"), item.get("memory", "-"), action,
            item.get("active", ""), "" if idle is None else uptime(idle),
        ))  # fmt: skip
    return rows


def head_lines(status: Mapping[str, Any]) -> list[str]:
    """Node, work, journal, memory: one line each."""
    ready = status.get("ready")
    state = "draining" if status.get("draining") else "ready" if ready is True else "not ready"
    if reason := status.get("reason"):
        state += f": {reason}"
    who = f"{status.get('node', '-')}  epoch {status.get('epoch', '-')}"
    lines = [f"node      {who}  up {uptime(status.get('uptime'))}  {state}"]
    if work := _work(status):
        lines.append(f"work      {work}")
    journal = status.get("journal")
    if isinstance(journal, Mapping):
        waiting = f", {journal['waiting']} waiting to be written" if journal.get("waiting") else ""
        stalled = journal.get("stalled")
        late = f", stalled for {uptime(stalled)}" if isinstance(stalled, int | float) and stalled >= 1 else ""
        lines.append(f"journal   {journal.get('documents', '-')} documents{waiting}{late}")
    memory = status.get("memory")
    if isinstance(memory, Mapping):
        parts = ", ".join(f"{name} {memory[name]}" for name, _ in PARTS if name in memory)
        lines.append(f"memory    {bar(memory)} of {memory.get('total', '-')} MB: {parts}")
    return [safe(line) for line in lines]


def _work(status: Mapping[str, Any]) -> str:
    queued = status.get("queued")
    if isinstance(queued, list):
        waiting = [item.get("waiting") for item in queued if isinstance(item, Mapping)]
        queued = sum(count for count in waiting if isinstance(count, int))
    counts = {"running": status.get("running"), "queued": queued, "unfinished": status.get("live")}
    parts = [f"{name} {count}" for name, count in counts.items() if isinstance(count, int)]
    alone = status.get("alone")
    if isinstance(alone, list) and alone:
        parts.append(f"alone {len(alone)}")
    return "  ".join(parts)


def left(status: Mapping[str, Any]) -> str:
    """What a draining node or controller still has to do, in one line."""
    queued = status.get("queued")
    rows = [item for item in queued if isinstance(item, Mapping)] if isinstance(queued, list) else None
    waiting = queued if rows is None else sum(int(item.get("waiting", 0)) for item in rows)
    parts = [
        ("running", status.get("running")), ("queued", waiting), ("unfinished", status.get("live")),
        ("callers waiting", status.get("waiting")), ("in flight at nodes", status.get("in_flight")),
    ]  # fmt: skip
    return ", ".join(f"{count} {what}" for what, count in parts if isinstance(count, int)) or "nothing is told"
