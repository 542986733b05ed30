"""The live console of a node on a terminal: a process of its own, so that drawing costs the node nothing.

While it has the terminal, what the node would print is kept, and handed to it line by line; afterwards all of it is printed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TextIO

KEPT = 1000
"""Lines kept while the console is open; of more the oldest go."""

PATIENCE = 3.0
"""Seconds that the console has to give the terminal back once the node has ended."""

RUN = Path(__file__).resolve().parent.parent / "run.py"


class FullScreen:
    """A text stream that goes to `out`, except while the console is open: then it goes there, and to `out` when it has closed."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._kept: deque[str] = deque(maxlen=KEPT)
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    def isatty(self) -> bool:
        """See TextIO."""
        return self._out.isatty()

    def write(self, text: str) -> int:
        """See TextIO. Never blocks on the console."""
        with self._lock:
            if self._process is None:
                return self._out.write(text)
            self._kept.append(text)
            with contextlib.suppress(OSError):
                os.write(self._pipe, text.encode("utf-8", "replace"))
            return len(text)

    def flush(self) -> None:
        """See TextIO."""
        with self._lock:
            if self._process is None:
                self._out.flush()

    def open(self, url: str, data_dir: Path) -> None:
        """Give the terminal to a console that shows the node at `url`."""
        read, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        where = ["--apihost", url, "--data-dir", str(data_dir)]
        command = [sys.executable, str(RUN), "status", "--live", "--lines-from", str(read), *where]
        self.flush()
        with self._lock:
            self._process = subprocess.Popen(command, pass_fds=(read,))
        os.close(read)
        threading.Thread(target=self._wait, args=(self._process,), name="console", daemon=True).start()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._closed()

    def _closed(self) -> None:
        with self._lock:
            if self._process is None:
                return
            self._process = None
            self._hang_up()
            self._out.writelines(self._kept)
            self._kept.clear()
            self._out.flush()

    def _hang_up(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def close(self) -> None:
        """The node has ended: the console sees it by the end of its lines. Then the terminal is ours again."""
        with self._lock:
            process = self._process
            if process is None:
                return
            self._hang_up()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
        self._closed()
