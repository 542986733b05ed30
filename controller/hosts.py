"""Which Host headers are answered on a loopback address.

A page on any site can make its own name resolve to 127.0.0.1 (DNS rebinding) and then talk to this server as its own
origin. Such requests carry that name in Host: names that are not local are refused.
"""

from __future__ import annotations

from collections.abc import Iterable

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_KNOWN = 256


def host_name(header: bytes) -> str:
    """The name in a Host header, lower case, without port and brackets; an empty text if there is none."""
    text = header.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    name, _, port = text.rpartition(":")
    return name if port.isdigit() and name else text


class HostCheck:
    """Decides by the Host header. Off loopback everything is allowed, and so is a request without the header (HTTP/1.0)."""

    def __init__(self, loopback: bool, hosts: Iterable[str]) -> None:
        self._loopback = loopback
        self._allowed = LOCAL | {host.lower() for host in hosts}
        self._known: set[bytes] = set()

    def allows(self, header: bytes | None) -> bool:
        """Whether a request with this header is answered."""
        if not self._loopback or header is None or header in self._known:
            return True
        if host_name(header).rstrip(".") not in self._allowed:
            return False
        if len(self._known) < _MAX_KNOWN:
            self._known.add(header)
        return True
