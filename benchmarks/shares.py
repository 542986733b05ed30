"""Where the node's loop spends its CPU time on warm blocking invocations, by part of the project.

  python -m benchmarks.shares [--clients 16] [--seconds 5] [--driver process|docker]

The profiler costs several times what it measures, evenly: trust the shares, not the times. What a library's or the
interpreter's own function takes is counted for the part that called it.
"""

from __future__ import annotations

import argparse
import os
import pstats
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import uvloop

from benchmarks.load import closed_loop
from benchmarks.warm import ROOT, Node

WHAT = {
    "controller": "REST API",
    "transport": "HTTP server, waiting callers, metrics",
    "uvicorn": "HTTP server (library)",
    "actors": "actors, pool, their messages",
    "thespian": "actors (library)",
    "messages": "records, events",
    "store": "journal and store, the loop's side",
    "containers": "container client, logs, outcome",
}


def part(file: str) -> str | None:
    """Which part of the project, or which of the two libraries that are parts of it, a file belongs to."""
    for name in ("uvicorn", "thespian"):
        if f"/{name}/" in file:
            return name
    return Path(file).relative_to(ROOT).parts[0] if file.startswith(str(ROOT)) and ".venv" not in file else None


def shares(stats: pstats.Stats) -> Counter[str]:
    """Seconds by part: a function's own time, or its callers' share of it if it belongs to none."""
    found: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, callers) in stats.stats.items():
        if (owner := part(file)) is not None:
            found[owner] += own
            continue
        total = sum(each[2] for each in callers.values()) or 1.0
        for (caller, _, _), each in callers.items():
            found[part(caller) or "loop"] += own * each[2] / total
    return found


async def measure(options: argparse.Namespace) -> None:
    target = os.environ["REWHISK_PROFILE_TO"] = f"{tempfile.mkdtemp()}/profile"
    node = Node("benchmarks/profiled_node.py", options.driver)
    try:
        node.put("python:3")
        await closed_loop(node.port, node.request(), options.clients, 1.0)
        node.process.send_signal(signal.SIGUSR1)
        times = await closed_loop(node.port, node.request(), options.clients, options.seconds)
        node.process.send_signal(signal.SIGUSR2)
        while not Path(target).exists():
            time.sleep(0.1)
        time.sleep(0.5)
    finally:
        node.stop()
    stats = pstats.Stats(target)
    stats.sort_stats("tottime").print_stats(options.functions)
    found = shares(stats)
    print(f"{len(times)} invocations, {options.clients} clients; share of the loop's CPU time:")
    for name, seconds in found.most_common():
        print(f"{seconds / found.total():6.1%}  {name:12} {WHAT.get(name, '')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--functions", type=int, default=0, help="how many of the most expensive ones to show")
    parser.add_argument("--driver", choices=["process", "docker"], default="process")
    uvloop.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
