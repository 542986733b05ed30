"""Log lines: coloured for people on a terminal, JSON elsewhere; never a key, an argument or a result."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Protocol

import structlog

HIDDEN = frozenset({
    "auth", "authkey", "api_key", "authorization", "key", "admin_key", "password", "token", "content", "arguments", "params",
    "parameters", "args", "result", "message_body", "env",
})  # fmt: skip
"""Names under which secrets travel: their values are never logged."""


class Out(Protocol):
    """Where lines go: a text stream as far as it is needed."""

    def write(self, text: str, /) -> object:
        """See TextIO."""

    def flush(self) -> object:
        """See TextIO."""

    def isatty(self) -> bool:
        """See TextIO."""


def hide_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that blanks what must stay secret."""
    for name in HIDDEN.intersection(event):
        event[name] = "[hidden]"
    return event


def set_up(level: str, out: Out | None = None) -> None:
    """Send the project's and the libraries' log lines of `level` (debug, info, warning, error) and above to `out` (stderr)."""
    stream = out or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        hide_secrets,
    ]
    last: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if stream.isatty():
        last = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    ))  # fmt: skip
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Libraries speak up only for what somebody should act on.
    for name in ("uvicorn", "asyncio", "thespian"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
