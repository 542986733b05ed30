"""The screen of a starting controller: told what happened, it prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from config.settings import Settings
from console.banner import Finding, curl_lines, preflight
from console.machine import exposure

NO_SUBJECT = "no credentials were given: make a subject with `./run.py user create NAME --store {store}`, or start with --auth"


class ControllerScreen:
    """Prints where the controller listens once the port is open, and `ready` once the API answers."""

    def __init__(self, settings: Settings, out: TextIO | None = None) -> None:
        self._settings = settings
        self._out = out or sys.stdout

    def on_listening(self, url: str, auth: str | None, notes: Sequence[str] = (), *, public_auth: bool = False) -> None:
        """The port is open. `auth`: the credentials of guest, if they were given."""
        settings = self._settings
        findings = [Finding("Broker", True, ", ".join(settings.kafka or ())), Finding("Store", True, _shown(settings.store))]
        findings += exposure(settings, public_auth=public_auth)
        findings += [Finding("Note", False, text) for text in (*notes, *settings.warnings)]
        lines = [preflight(findings, colour=self._out.isatty()), "", f"Controller   {settings.id}", f"API host     {url}"]
        if auth is None:
            lines += [f"Credentials  {NO_SUBJECT.format(store=_shown(settings.store))}", ""]
        else:
            lines += [f"Credentials  {auth}", "             namespace guest, given with --auth", ""]
            lines += ["Try it:", curl_lines(url, auth), ""]
        self._say("\n".join(lines))

    def on_ready(self, seconds: float) -> None:
        """The API answers, `seconds` after the start."""
        self._say(f"ready after {seconds:.1f} s (Ctrl-C drains and stops)")

    def on_draining(self, waiting: int, timeout: float) -> None:
        """Ctrl-C or SIGTERM: no new work."""
        self._say(f"draining: {waiting} callers wait, at most {timeout:.0f} s")

    def on_stopped(self, left: int) -> None:
        """The end; `left` callers got no answer: their activations go on all the same."""
        self._say(f"stopped, {left} callers left without an answer" if left else "stopped")

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)


def _shown(store: str) -> str:
    """The store without its password."""
    scheme, found, rest = store.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else store
