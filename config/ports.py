"""Binding the node's port: a taken default port falls back to a free one, one asked for by name does not."""

from __future__ import annotations

import errno
import socket

from config.errors import PortTaken


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A restart must not wait for connections of the killed process (TIME_WAIT); a listener still refuses a second one.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(1024)
    except BaseException:
        made.close()
        raise
    made.setblocking(False)
    return made


def bind(host: str, port: int, explicit: bool) -> tuple[socket.socket, str | None]:
    """A listening socket, and what to tell the user if it isn't on the port named.

    Raises PortTaken if `explicit` and the port is taken, or if the address can't be had at all.
    """
    try:
        return _bound(host, port), None
    except OSError as error:
        problem = _problem(host, port, error)
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
    except (UnicodeError, OverflowError, TypeError):  # what socket.bind raises for a host that is no name
        raise PortTaken([f"--host {host}: no address of this machine"]) from None
    if explicit or not taken:
        raise PortTaken([problem])
    try:
        free = _bound(host, 0)
    except OSError as error:
        raise PortTaken([_problem(host, 0, error)]) from None
    return free, f"port {port} is taken, using {free.getsockname()[1]} (--port chooses one)"


def _problem(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken: stop what listens there, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs more rights: choose one above 1023 with --port"
    return f"--host {host}: {error.strerror or error}"
