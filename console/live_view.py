"""The live console's screen: a view in, lines out, for any size from 80 columns by 24 rows, with or without colour."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from console.live_state import HELP, View
from console.output import milliseconds, moment, safe
from console.status_view import uptime

STATES = {
    "busy": ("#", "bold green"), "starting": ("+", "yellow"), "idle": ("=", "cyan"), "paused": ("~", "blue"),
    "prewarm": ("-", "dim"), "removing": ("x", "red"),
}  # fmt: skip
"""State of a container → its sign on the map and its colour. What is free is a dot."""

STAGES = {
    "queue": ("q", "yellow"), "create": ("c", "magenta"), "start": ("s", "magenta"), "ready": ("y", "magenta"),
    "init": ("i", "blue"), "run": ("r", "green"), "commit": ("w", "cyan"),
}  # fmt: skip
"""Stage of an activation → its sign on the waterfall and its colour."""

STATUS = (("ok", "green"), ("app error", "yellow"), ("dev error", "red"), ("internal", "bold red"))
STARTS = {
    "cold": "a container was made for it", "prewarmed": "a stem cell was initialised for it", "warm": "its container was warm",
}  # fmt: skip
BLOCKS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
ASCII_BLOCKS = " .:-=+*#%"
MINUTE = 60
FIRST_STEPS = (
    "nothing yet: ./run.py action put NAME FILE, then ./run.py invoke NAME -r, in another terminal",
    "q closes this screen: address, credentials and a curl line stand behind it",
)
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def screen(view: View, width: int, height: int, *, unicode: bool = True) -> list[Text]:
    """At most `height` lines of at most `width` columns."""
    foot = _foot(view, width)
    lines = _opened(view, width) if view.opened and view.row() else _overview(view, width, height - 1 - len(view.lines), unicode)
    said = [Text(safe(_ESCAPE.sub("", line)), "dim") for line in view.lines]
    room = height - 1 - len(said)
    lines = [*lines[:room], *([Text()] * (room - len(lines))), *said]
    for line in (*lines, foot):
        line.plain = safe(line.plain)
        line.truncate(width)
    return [*lines, foot]


def _overview(view: View, width: int, height: int, unicode: bool) -> list[Text]:
    lines = [_head(view, width), *_work(view, width, unicode), *_parts(view), *_memory(view, width), *_queues(view)]
    return [*lines, Text(), *_latest(view, width, height - len(lines) - 1)]


def _head(view: View, width: int) -> Text:
    document = view.document
    left = Text.assemble((safe(document.get("node", "rewhisk")), "bold"), f"  epoch {document.get('epoch', '-')}")
    left.append(f"  up {uptime(document.get('uptime'))}  ")
    left.append_text(_state(view))
    clock = time.strftime("%H:%M:%S")
    return left.append(f"{clock:>{max(1, width - left.cell_len)}}", "dim")


def _state(view: View) -> Text:
    document = view.document
    if not view.connected:
        return Text(f"no answer: {safe(view.problem)}" if view.problem else "connecting", "bold red")
    if document.get("ended"):
        return Text("ended", "bold red")
    if document.get("draining"):
        return Text("draining", "bold yellow")
    if document.get("ready") is True:
        return Text("ready", "bold green")
    return Text(f"not ready: {safe(document.get('reason') or 'starting')}", "bold red")


def _work(view: View, width: int, unicode: bool) -> list[Text]:
    document = view.document
    queued = sum(_int(item.get("waiting")) for item in _items(document.get("queued")))
    line = f"work      running {_int(document.get('running'))}  queued {queued}  unfinished {_int(document.get('live'))}"
    resumed = document.get("resumed")
    if isinstance(resumed, Mapping) and resumed.get("left"):
        done = _int(resumed.get("total")) - _int(resumed.get("left"))
        line += f"  resumed after the restart: {done} of {_int(resumed.get('total'))} done"
    seconds = {_int(item.get("at")): item for item in _items(document.get("seconds"))}
    room = min(MINUTE, max(10, width - 48))
    last = max(seconds, default=0)
    times = range(last - room + 1, last + 1)
    found: list[Mapping[str, Any]] = [seconds.get(at, {}) for at in times]
    recent = found[-10:]
    ended = [_int(item.get("ended")) for item in found]
    rate = sum(_int(item.get("ended")) for item in recent) / max(1, len(recent))
    failed = sum(_int(item.get("failed")) for item in recent) / max(1, len(recent))
    newest: Mapping[str, Any] = next((item for item in reversed(found) if item.get("ended")), {})
    p50, p99 = milliseconds(newest.get("p50")), milliseconds(newest.get("p99"))
    return [
        Text(line),
        Text.assemble("rate      ", (spark(ended, unicode), "green"), f"  {rate:.1f}/s, {failed:.1f}/s failed"),
        Text.assemble("latency   ", (spark([_int(i.get("p50")) for i in found], unicode), "cyan"), f"  p50 {p50}  p99 {p99}"),
    ]


def spark(values: Sequence[float], unicode: bool = True) -> str:
    """A line of blocks, the highest as high as the largest value."""
    blocks = BLOCKS if unicode else ASCII_BLOCKS
    top = max(values, default=0)
    if top <= 0:
        return blocks[0] * len(values)
    return "".join(blocks[0 if value <= 0 else max(1, round(value / top * (len(blocks) - 1)))] for value in values)


def _parts(view: View) -> list[Text]:
    lines = []
    journal, parts = view.document.get("journal"), view.document.get("parts")
    if isinstance(journal, Mapping):
        waiting, commit = _int(journal.get("waiting")), milliseconds(journal.get("commit_ms"))
        lines.append(Text(f"journal   {journal.get('documents', '-')} documents, {waiting} events waiting, last commit {commit}"))
    if isinstance(parts, Mapping) and parts:
        health = Text("health    ")
        for name, problem in parts.items():
            health.append(f"{safe(name)}: {safe(problem)}  " if problem else f"{safe(name)} ok  ", "bold red" if problem else "")
        lines.append(health)
    kafka = view.document.get("kafka")
    if isinstance(kafka, Mapping):
        taken = view.document.get("taken")
        streams = f", goes on with {', '.join(map(str, taken))}" if isinstance(taken, list) and taken else ""
        lines.append(Text(f"kafka     {_int(kafka.get('lag'))} messages to read{streams}"))
    return lines


def _memory(view: View, width: int) -> list[Text]:
    memory = view.document.get("memory")
    if not isinstance(memory, Mapping) or not _int(memory.get("total")):
        return []
    counts = Counter(str(item.get("state")) for item in _items(view.document.get("containers")))
    legend = "  ".join(f"{sign} {state} {counts[state]}" for state, (sign, _) in STATES.items() if counts[state])
    used, total = _int(memory.get("used")), _int(memory.get("total"))
    title = Text(f"memory    {used} of {total} MB in {sum(counts.values())} containers   ").append(legend, "dim")
    return [title, memory_map(_items(view.document.get("containers")), total, width)]


def memory_map(containers: Sequence[Mapping[str, Any]], total: int, width: int) -> Text:
    """Each container as its number and a run of its state's sign, as wide as its share of the memory; the rest dots."""
    text, used = Text(), 0.0
    order = list(STATES)
    for item in sorted(containers, key=lambda each: order.index(state) if (state := str(each.get("state"))) in order else 99):
        sign, colour = STATES.get(str(item.get("state")), ("?", ""))
        used += _int(item.get("memory")) / total * width
        room = min(max(1, round(used) - text.cell_len), width)
        label = str(item.get("cid", "")) if room > len(str(item.get("cid", ""))) + 1 else ""
        text.append(f"{label:{sign}<{room - 1}} " if room > 1 else sign, colour)
    text.append("." * (width - text.cell_len), "dim")
    return text


QUEUES = 4


def _queues(view: View) -> list[Text]:
    """Actions with work in flight or waiting, those that wait first."""
    active: Counter[str] = Counter()
    for item in _items(view.document.get("containers")):
        key = item.get("key")
        if isinstance(key, list) and key and _int(item.get("active")):
            active[str(key[0])] += _int(item.get("active"))
    queues = {str(item.get("action")): item for item in _items(view.document.get("queued"))}
    names = sorted({*active, *queues}, key=lambda name: (-_int(queues.get(name, {}).get("waiting")), -active[name], name))
    lines = []
    for name in names[:QUEUES]:
        waiting, why = _int(queues.get(name, {}).get("waiting")), queues.get(name, {}).get("why")
        reason = f"  {safe(why)}" if waiting and why else ""
        lines.append(Text(f"action    {safe(name)}: {active[name]} in flight, {waiting} queued{reason}"))
    if len(names) > QUEUES:
        lines.append(Text(f"          and {len(names) - QUEUES} more actions", "dim"))
    return lines


def _latest(view: View, width: int, room: int) -> list[Text]:
    rows = view.rows()
    bar = max(10, width - 60)
    lines = [Text(f"  {'ended':<9}{'activation':<11}{'action':<20}{'status':<11}{'':<7}where the time went", "bold")]
    if not rows:
        filtered = view.wanted or view.failed
        lines += [Text(f"  {line}", "dim") for line in (("nothing matches the filter",) if filtered else FIRST_STEPS)]
    ids = [row.get("id") for row in rows]
    first = max(0, ids.index(view.chosen) - (room - 3)) if view.chosen in ids and room > 3 else 0
    longest = max((_took(row) for row in rows[first : first + room]), default=1)
    return lines + [_row(row, bar, longest, chosen=row.get("id") == view.chosen) for row in rows[first : first + max(0, room - 1)]]


def _row(row: Mapping[str, Any], bar: int, longest: float, *, chosen: bool) -> Text:
    name, colour = status(row)
    at, action = moment(row.get("end"), precise=True)[:8], safe(row.get("action", "-"))
    action = action if len(action) < 20 else "\u2026" + action[-18:]
    text = Text.assemble(
        ("> " if chosen else "  ", "bold"), (f"{at:<9}", "dim"), f"{safe(row.get('id', '-'))[:9]:<11}", f"{action:<20}",
        (f"{name:<11}", colour), f"{milliseconds(_took(row)):>6} ",
    )  # fmt: skip
    text.append_text(waterfall(_stages(row), bar, longest))
    if chosen:
        text.stylize("reverse", 0, 2)
    return text


def waterfall(stages: Mapping[str, float], width: int, longest: float) -> Text:
    """Stages one after another as runs of their signs; `longest` ms are as wide as all of `width`."""
    text, passed = Text(), 0.0
    for name, took in stages.items():
        sign, colour = STAGES.get(name, ("?", ""))
        passed += took
        text.append(sign * max(0, round(passed / max(longest, 1) * width) - text.cell_len), colour)
    return text


def status(row: Mapping[str, Any]) -> tuple[str, str]:
    """Name and colour of how an activation ended."""
    code = _int(row.get("status_code"))
    return STATUS[code] if 0 <= code < len(STATUS) else (f"status {code}", "red")


def _opened(view: View, width: int) -> list[Text]:
    row = view.row() or {}
    name, colour = status(row)
    lines = [
        Text.assemble(("activation  ", "bold"), safe(row.get("id", "-"))),
        Text.assemble("action      ", safe(row.get("action", "-"))),
        Text.assemble("ended       ", moment(row.get("end")), "  ", (name, colour), f"  after {milliseconds(_took(row))}"),
        Text(f"start       {safe(row.get('start') or 'none')}: {STARTS.get(str(row.get('start')), 'no container was needed')}"),
        Text(f"attempts    {_int(row.get('attempts'))}"),
        Text(),
    ]
    stages, passed, total = _stages(row), 0.0, max(1.0, _took(row))
    bar = max(10, width - 26)
    for stage, took in stages.items():
        sign, shade = STAGES.get(stage, ("?", ""))
        left, right = round(passed / total * bar), round((passed + took) / total * bar)
        passed += took
        run = Text(" " * left).append(sign * max(1, right - left) if took else "", shade)
        lines.append(Text(f"{stage:<10}{milliseconds(took):>10}  ").append_text(run))
    lines += [Text(), Text(f"./run.py activation get {safe(row.get('id', ''))}", "dim")]
    return [*lines, Text(f"./run.py trace {safe(row.get('id', ''))}", "dim"), Text(), Text("escape goes back", "dim")]


def _foot(view: View, width: int) -> Text:
    if view.typing:
        return Text(f"filter: {safe(view.wanted)}_  (enter keeps it, escape drops it)", "bold")
    shown = [f"filter: {safe(view.wanted)}" if view.wanted else "", "failures only" if view.failed else ""]
    marks = "  ".join(mark for mark in ("PAUSED" if view.paused else "", *shown) if mark)
    return Text(HELP, "dim").append(f"   {marks}" if marks else "", "bold yellow")


def _items(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _int(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _stages(row: Mapping[str, Any]) -> dict[str, float]:
    stages = row.get("stages")
    found = stages.items() if isinstance(stages, Mapping) else ()
    return {str(name): float(took) for name, took in found if isinstance(took, int | float) and took >= 0}


def _took(row: Mapping[str, Any]) -> float:
    return sum(_stages(row).values())
