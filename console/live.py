"""The live console: the node's status stream on a full screen, redrawn when something changed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from console.api import Api
from console.live_feed import Feed
from console.live_keys import Keyboard, raw_terminal
from console.live_state import View, lost, pressed, said, told
from console.live_view import screen

FASTEST = 0.1
"""Seconds between two drawings at least: a drawing costs some ms, an eye doesn't follow faster."""

SLOWEST = 1.0
"""Seconds between two drawings at most: the clock goes on."""


class LiveConsole:
    """`run` shows the node until a key ends it.

    The console that a node opens for itself gets the node's own lines from descriptor `lines_from`. It ends with the node, and
    leaves Ctrl-C to it.
    """

    def __init__(self, api: Api, lines_from: int | None = None) -> None:
        self._view = View()
        self._lines_from = lines_from
        self._node_over = False
        self._lock = threading.Lock()
        self._keyboard = Keyboard()
        self._console = Console(highlight=False)
        self._feed = Feed(api, lambda document: self._change(told, document), lambda problem: self._change(lost, problem))

    def _change(self, step: Callable[..., View], argument: object) -> None:
        with self._lock:
            self._view = step(self._view, argument)
        self._keyboard.wake()

    def run(self) -> None:
        """Draw until the end."""
        self._feed.start()
        if self._lines_from is not None:
            # SIGINT is the node's. Once that is dead the shell has the terminal back, and to put it in order must not stop us.
            for number in (signal.SIGINT, signal.SIGTTOU, signal.SIGTTIN):
                signal.signal(number, signal.SIG_IGN)
            threading.Thread(target=self._read_lines, args=(self._lines_from,), name="lines", daemon=True).start()
        try:
            with raw_terminal(sys.stdin.fileno()), Live(console=self._console, screen=True, auto_refresh=False) as live:
                self._loop(live)
        except KeyboardInterrupt:
            return
        finally:
            self._feed.stop()
            self._keyboard.close()

    def _loop(self, live: Live) -> None:
        drawn: View | None = None
        at = 0.0
        while not self._view.over and not self._node_over:
            now = time.monotonic()
            if (self._view is not drawn and now - at >= FASTEST) or now - at >= SLOWEST:
                drawn, at = self._view, now
                live.update(self._drawing(drawn), refresh=True)
            pause = FASTEST if self._view is not drawn else SLOWEST
            for key in self._keyboard.wait(max(0.01, pause - (time.monotonic() - at))):
                self._change(pressed, key)

    def _read_lines(self, descriptor: int) -> None:
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._change(said, line)
        self._node_over = True
        self._keyboard.wake()

    def _drawing(self, view: View) -> Text:
        width, height = self._console.size
        unicode = self._console.encoding.lower().startswith("utf")
        return Text("\n", no_wrap=True, overflow="crop").join(screen(view, width, height, unicode=unicode))
