"""A node that profiles its loop's thread between SIGUSR1 and SIGUSR2, on the thread's CPU clock; for benchmarks.shares.py."""

from __future__ import annotations

import cProfile
import os
import signal
import sys
import time
from pathlib import Path

sys.path[0] = str(Path.cwd())

from console.cli import main  # noqa: E402 - found by the line above

profile = cProfile.Profile(time.thread_time)


def finish(*_: object) -> None:
    profile.disable()
    profile.dump_stats(os.environ["REWHISK_PROFILE_TO"])


signal.signal(signal.SIGUSR1, lambda *_: profile.enable())
signal.signal(signal.SIGUSR2, finish)
sys.exit(main())
