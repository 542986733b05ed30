"""The screen of a starting node: told by the node what happened, it prints."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from config.settings import Settings
from console.banner import Finding, Started, greeting
from console.full_screen import FullScreen
from console.machine import exposure, look


class NodeScreen:
    """Prints the banner once the port is open, and `ready` once the API answers.

    The machine is looked at in a thread from the beginning on, so that asking programs for their versions delays nothing.
    With `live` the console opens once the API answers.
    """

    def __init__(self, settings: Settings, out: FullScreen, *, live: bool = False) -> None:
        self._settings = settings
        self._out = out
        self._live = live
        self._url = ""
        self._findings: list[Finding] = []
        self._looking = threading.Thread(target=self._look, name="preflight", daemon=True)
        self._looking.start()

    def _look(self) -> None:
        self._findings = look(self._settings)

    def on_listening(self, url: str, auth: str, auth_origin: str, notes: Sequence[str] = (), *, public_auth: bool = False) -> None:
        """The port is open. `auth_origin` as in config.credentials; `notes` are warnings of the driver and of the port."""
        self._looking.join()
        self._url = url
        findings = [*self._findings, *exposure(self._settings, public_auth=public_auth)]
        findings += [Finding("Note", False, text) for text in (*notes, *self._settings.warnings)]
        self._say(greeting(Started(url, auth, auth_origin, findings), colour=self._out.isatty()))

    def on_ready(self, seconds: float, resumed: int = 0) -> None:
        """The API answers, `seconds` after the start; `resumed` activations of an earlier process were queued again."""
        more = f", {resumed} unfinished activation{'s' if resumed != 1 else ''} resumed" if resumed else ""
        self._say(f"ready after {seconds:.1f} s{more} (Ctrl-C drains and stops)")
        if self._live:
            self._out.open(self._url, self._settings.data_dir)

    def on_draining(self, running: int, timeout: float) -> None:
        """Ctrl-C or SIGTERM: no new work."""
        self._say(f"draining: {running} running, at most {timeout:.0f} s")

    def on_stopped(self, left: int) -> None:
        """The end; `left` activations stay in the journal."""
        self._say(f"stopped, {left} unfinished in the journal for the next start" if left else "stopped, nothing left behind")

    def _say(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()
