"""Runs a command as a child and answers for what it leaves behind: `supervisor.py SECONDS COMMAND…`.

First line: the child's pid. Last line, when the child has ended: `{"status": wait status, "left": [command lines]}`. Whatever
the child leaves becomes the supervisor's (`man 2 prctl`: PR_SET_CHILD_SUBREAPER): what still lives after SECONDS is named, then
killed.
"""

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def children() -> list[int]:
    """Living children of this process, orphans that came to it among them."""
    found = []
    for thread in Path("/proc/self/task").iterdir():
        found += [int(pid) for pid in (thread / "children").read_text().split()]
    return found


def describe(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() or str(pid)
    except OSError:
        return str(pid)


def reap_until(deadline: float) -> bool:
    """Reap orphans until none is left; whether that came before the deadline."""
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)


def main() -> None:
    grace, command = float(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a supervisor that is killed takes its node along
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)
        os.execv(command[0], command)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    left: list[str] = []
    if not reap_until(time.monotonic() + grace):
        left = [describe(pid) for pid in children()]
        while not reap_until(0):
            for pid in children():
                os.kill(pid, signal.SIGKILL)
    print(json.dumps({"status": status, "left": left}), flush=True)


if __name__ == "__main__":
    main()
