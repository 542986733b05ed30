"""Keys as they are pressed: a terminal without line editing, read with a timeout."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterator

NAMES = {
    "\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\r": "enter", "\n": "enter", "\x1b": "escape",
    "\x08": "\x7f",
}  # fmt: skip


@contextlib.contextmanager
def raw_terminal(descriptor: int) -> Iterator[None]:
    """Single keys, not echoed, Ctrl-C as a key; as before afterwards. Nothing if it is no terminal."""
    if not os.isatty(descriptor):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def split(text: str) -> list[str]:
    """The keys in what was read at once: an escape sequence is one key, unknown ones are dropped."""
    keys = []
    while text:
        size = 3 if text[:2] in ("\x1b[", "\x1bO") else 1
        key, text = text[:size], text[size:]
        if size == 1 or key in NAMES:
            keys.append(NAMES.get(key, key))
    return keys


class Keyboard:
    """The keys pressed on standard input, and a way to be woken from waiting for them."""

    def __init__(self) -> None:
        self._input = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def wake(self) -> None:
        """End a wait, from any thread."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._write, b"x")

    def wait(self, seconds: float) -> list[str]:
        """Keys pressed; empty after `seconds`, or when woken."""
        sources = [self._read, *([self._input] if self._input >= 0 else [])]
        ready, _, _ = select.select(sources, [], [], seconds)
        if self._read in ready:
            os.read(self._read, 4096)
        if self._input not in ready:
            return []
        data = b""
        with contextlib.suppress(OSError):
            data = os.read(self._input, 1024)
        if not data:
            self._input = -1  # the terminal is gone, or another's
        return split(data.decode("utf-8", "replace"))

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._read)
        os.close(self._write)
