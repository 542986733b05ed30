"""What actions may reach of the machine that runs them: the API's address, nothing else. Rules by `iptables`.

Everything else of the machine that answers on any of its addresses is refused to the node's bridge, and so are link-local
addresses, where clouds keep their machines' credentials. Rules are made anew at each start and removed at the end.
"""

from __future__ import annotations

import shutil
import subprocess

PATIENCE = 10.0
LINK_LOCAL = "169.254.0.0/16"


class FirewallError(Exception):
    """The rules can't be had; the text says why."""


class Firewall:
    """The rules of one bridge. All methods block: call them in a thread."""

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._chain = f"REWHISK-{interface}"
        self._program = shutil.which("iptables", path="/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin") or ""

    def __repr__(self) -> str:
        return f"<Firewall {self._chain}>"

    def set_up(self, allowed: list[tuple[str, int]]) -> None:
        """Refuse everything but these TCP addresses. Raises FirewallError."""
        if not self._program:
            raise FirewallError("there is no iptables program")
        self._quietly("-N", self._chain)
        self._do("-F", self._chain)
        for address, port in allowed:
            self._do("-A", self._chain, "-p", "tcp", "-d", address, "--dport", str(port), "-j", "ACCEPT")
        self._do("-A", self._chain, "-j", "REJECT")
        for rule in self._jumps():
            if not self._quietly("-C", *rule):
                self._do("-I", *rule)

    def remove(self) -> None:
        """Take the rules away, as far as they are there."""
        if self._program:
            for rule in self._jumps():
                self._quietly("-D", *rule)
            self._quietly("-F", self._chain)
            self._quietly("-X", self._chain)

    def _jumps(self) -> list[list[str]]:
        forward = "DOCKER-USER" if self._quietly("-n", "-L", "DOCKER-USER") else "FORWARD"
        return [
            ["INPUT", "-i", self._interface, "-j", self._chain],
            [forward, "-i", self._interface, "-d", LINK_LOCAL, "-j", "REJECT"],
        ]

    def _do(self, *arguments: str) -> None:
        problem = self._run(arguments)
        if problem is not None:
            raise FirewallError(f"iptables {' '.join(arguments)}: {problem}")

    def _quietly(self, *arguments: str) -> bool:
        return self._run(arguments) is None

    def _run(self, arguments: tuple[str, ...]) -> str | None:
        """None, or what the program complained about."""
        try:
            done = subprocess.run(
                [self._program, "-w", "5", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return None if done.returncode == 0 else done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
