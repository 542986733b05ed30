"""From a fresh clone to the first result, by stage, and the memory of an idle node.

  python -m benchmarks.first_result

Clones this repository's HEAD into a temporary directory, lets `make venv` install there, starts the node, makes an action and
invokes it. The reference for the install is an environment with nothing in it, made in the same run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def timed(what: str, *command: str, cwd: str | Path | None = None) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    took = time.perf_counter() - began
    print(f"{what:44} {took:7.2f} s", flush=True)
    return took


def memory(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


def family(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def main() -> None:
    place = tempfile.mkdtemp(prefix="rewhisk-first-")
    clone, node = f"{place}/rewhisk", None
    try:
        bare = timed("reference: an empty environment", sys.executable, "-m", "venv", f"{place}/empty")
        total = timed("git clone", "git", "clone", "-q", str(ROOT), clone)
        install = timed("make venv (install)", "make", "venv", cwd=clone)
        total += install
        began = time.perf_counter()
        flags = ["--port", "0", "--driver", "process", "--data-dir", f"{place}/data"]
        command = [f"{clone}/.venv/bin/python", "run.py", "node", *flags]
        node = subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, text=True)
        assert node.stdout is not None
        next(line for line in node.stdout if line.startswith("ready"))
        ready = time.perf_counter() - began
        print(f"{'start to ready':44} {ready:7.2f} s")
        Path(f"{place}/hello.py").write_text("def main(args):\n    return {'greeting': 'Hello'}\n")
        run = [f"{clone}/.venv/bin/python", "run.py"]
        at = ["--data-dir", f"{place}/data"]
        total += ready + timed("action put", *run, "action", "put", "hello", f"{place}/hello.py", *at, cwd=clone)
        total += timed("first invoke", *run, "invoke", "hello", "-r", *at, cwd=clone)
        print(f"{'clone to first result':44} {total:7.2f} s, install {install / bare:.1f} x an empty environment")
        time.sleep(2)
        sizes = {pid: memory(pid) for pid in family(node.pid)}
        print(f"resident: node {sizes.pop(node.pid):.0f} MB, template and stem cells {sum(sizes.values()):.0f} MB (shared twice)")
        print(json.dumps({"seconds_to_first_result": round(total, 2), "node_mb": round(memory(node.pid))}))
    finally:
        if node is not None:
            os.kill(node.pid, signal.SIGTERM)
            node.wait(40)
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
