"""Parsers of what people write: each takes text (or a TOML value) and returns a checked value, or raises ValueError.

The ValueError's text completes a sentence that begins with the setting's name. Nothing here imports more than `re`, so the
command line may use it without becoming slow to start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

Parser = Callable[[object], object]

_DURATION = re.compile(
    r"\s*(\d+(?:\.\d+)?)\s*(ms|millis(?:econds?)?|s|seconds?|m|min|minutes?|h|hours?|d|days?)\s*", re.ASCII | re.IGNORECASE
)
_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "s": 1.0}
_SIZE = re.compile(r"\s*(\d+)\s*(GB|MB|KB|B|G|M|K)\s*", re.ASCII | re.IGNORECASE)
_BYTES = {"g": 2**30, "m": 2**20, "k": 2**10, "b": 1}
_AUTH = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:[^\s:]{64}", re.ASCII | re.IGNORECASE)
_FAILPOINT = re.compile(r"[a-z_]+:(before|written|after)(:[1-9]\d*)?", re.ASCII)
_PREFIX = re.compile(r"[a-z][a-z0-9_$()+-]{0,99}", re.ASCII)
_LONGEST = 100 * 365 * 86400.0


def text(value: object) -> str:
    """Text without control characters."""
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {value!r}")
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise ValueError("must not contain control characters")
    return value.strip()


def filled(value: object) -> str:
    """Text that is not empty."""
    if not (found := text(value)):
        raise ValueError("must not be empty")
    return found


def duration(value: object) -> float:
    """Seconds of a duration such as `500ms`, `30s`, `10m`, `2h`, `7d` or `2 minutes`; `0` needs no unit."""
    if value in ("0", 0) and not isinstance(value, bool):
        return 0.0
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"must be a duration such as 500ms, 30s, 10m, 2h or 7d, not {value!r}")
    number, unit = float(match[1]), match[2].lower()
    seconds = number / 1000 if unit.startswith(("ms", "mil")) else number * _SECONDS[unit[0]]
    if seconds > _LONGEST:
        raise ValueError(f"must be at most 100 years, not {value!r}")
    return seconds


def positive_duration(value: object) -> float:
    """Seconds of a duration that is longer than nothing."""
    if not (seconds := duration(value)):
        raise ValueError("must be longer than 0")
    return seconds


def size(value: object) -> int:
    """Bytes of a size such as `1048576 B`, `512k`, `2048m`, `256 MB` or `2g` (powers of 1024, as upstream)."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"must be a size such as 512k, 2048m or 2g, not {value!r}")
    found = int(match[1]) * _BYTES[match[2][0].lower()]
    if not 0 < found < 2**60:
        raise ValueError(f"must be more than 0 and less than 1024 petabytes, not {value!r}")
    return found


def megabytes(value: object) -> int:
    """Whole megabytes (2**20 bytes) of a size."""
    found = size(value)
    if found % 2**20:
        raise ValueError(f"must be a whole number of megabytes, not {value!r}")
    return found >> 20


def count(value: object) -> int:
    """A whole number from 0 up."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,18}\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return value
    raise ValueError(f"must be a whole number, not {value!r}")


def positive(value: object) -> int:
    """A whole number from 1 up."""
    if not (found := count(value)):
        raise ValueError("must be at least 1")
    return found


def port(value: object) -> int:
    """A TCP port; 0 lets the system choose."""
    found = count(value)
    if found > 65535:
        raise ValueError(f"must be a port from 0 to 65535, not {found}")
    return found


def optional(parser: Parser) -> Parser:
    """The parser, with `none` for no value."""

    def parse(value: object) -> object:
        return None if value is None or (isinstance(value, str) and value.strip().lower() == "none") else parser(value)

    return parse


def choice(*names: str) -> Parser:
    """One of these names."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or value.strip().lower() not in names:
            raise ValueError(f"must be one of {', '.join(names)}, not {value!r}")
        return value.strip().lower()

    return parse


def url(value: object) -> str:
    """An http or https URL of a host, without path, query or user; the trailing slash goes."""
    found = filled(value)
    try:
        parts = urlsplit(found)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    more = known and (parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None)
    if not known or more or re.search(r"\s", found):
        raise ValueError(f"must be a URL such as http://host:3233, not {found!r}")
    return found.rstrip("/")


def credentials(value: object) -> str:
    """`guest`, or credentials `uuid:key` with a key of 64 characters (OpenWhisk's form); the text never shows them."""
    found = filled(value)
    if found != "guest" and not _AUTH.fullmatch(found):
        raise ValueError("must be guest or uuid:key, a UUID and a key of exactly 64 characters")
    return found


def secret(value: object) -> str:
    """A key of at least 16 characters without spaces."""
    found = filled(value)
    if len(found) < 16 or re.search(r"\s", found):
        raise ValueError("must have at least 16 characters and no spaces")
    return found


def origins(value: object) -> tuple[str, ...]:
    """Origins such as `https://app.example.org`, or `*`; several as a list or separated by commas."""
    given = value if isinstance(value, list | tuple) else [value]
    names = [name.strip() for item in given for name in filled(item).split(",")]
    return tuple(name if name == "*" else url(name) for name in names if name)


def store(value: object) -> str:
    """`sqlite`, or a CouchDB's URL, which may carry user and password: no error shows it."""
    found = filled(value)
    if found == "sqlite":
        return found
    wanted = "must be sqlite, or a CouchDB's address: http://user:password@host:5984"
    try:
        parts = urlsplit(found)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ValueError(wanted)
    return found


def prefix(value: object) -> str:
    """What names of CouchDB databases may begin with; empty for nothing."""
    found = text(value)
    if found and not _PREFIX.fullmatch(found):
        raise ValueError(f"must begin with a-z and be made of a-z, 0-9, _, $, +, - and parentheses, at most 100, not {found!r}")
    return found


def servers(value: object) -> tuple[str, ...]:
    """Addresses `host:port`, several as a list or separated by commas."""
    found = words(value)
    for each in found:
        host, _, number = each.rpartition(":")
        if not host or not number.isdigit() or not port(number):
            raise ValueError(f"must be host:port, not {each!r}")
    if not found:
        raise ValueError("must be host:port")
    return found


def topic(value: object) -> str:
    """The beginning of a topic's name, perhaps empty."""
    found = text(value)
    if not re.fullmatch(r"[a-zA-Z0-9._-]{0,100}", found, re.ASCII):
        raise ValueError(f"must be made of a-z, A-Z, 0-9, dot, underscore and minus, at most 100 of them, not {found!r}")
    return found


def switch(value: object) -> bool:
    """`on` or `off`; in a configuration file true and false too."""
    return value if isinstance(value, bool) else choice("on", "off")(value) == "on"


def driver(value: object) -> str:
    """`auto`, `docker` or `process`."""
    return str(choice("auto", "docker", "process")(value))


def network(value: object) -> str:
    """`auto`, or `host` for processes, `bridge` for containers, `none` for both."""
    return str(choice("auto", "host", "bridge", "none")(value))


def words(value: object) -> tuple[str, ...]:
    """Several texts, as a list or separated by commas."""
    given = value if isinstance(value, list | tuple) else [value]
    return tuple(word.strip() for item in given for word in text(item).split(",") if word.strip())


def pairs(value: object) -> tuple[tuple[str, str], ...]:
    """NAME=VALUE, several as a table, a list or separated by commas; a name alone has an empty value, as upstream."""
    if isinstance(value, dict):
        return tuple((filled(name), text(item)) for name, item in value.items())
    found = {}
    for word in words(value):
        name, _, content = word.partition("=")
        if not name.strip():
            raise ValueError(f"must be NAME=VALUE, not {word!r}")
        found[name.strip()] = content
    return tuple(found.items())


def arguments(value: object) -> tuple[tuple[str, str], ...]:
    """Arguments of a command line, NAME=VALUE with or without dashes; a name may come again, in a table with a list of values."""
    if isinstance(value, dict):
        given = [(str(name), item) for name, items in value.items() for item in (items if isinstance(items, list) else [items])]
    else:
        given = [(name, content) for name, _, content in (word.partition("=") for word in words(value))]
    found = [(name.strip().lstrip("-"), text(content)) for name, content in given]
    if not all(name for name, _ in found):
        raise ValueError("must be NAME=VALUE")
    return tuple(found)


def decimal(value: object) -> float:
    """A number above 0, such as 1.5."""
    if isinstance(value, int | float | str) and not isinstance(value, bool) and re.fullmatch(r"\d{1,6}(\.\d{1,6})?", str(value)):
        found = float(value)
        if found > 0:
            return found
    raise ValueError(f"must be a number above 0 such as 1.5, not {value!r}")


def failpoint(value: object) -> str:
    """Empty, or `<event>:<before|written|after>[:<n-th time>]`."""
    found = text(value)
    if found and not _FAILPOINT.fullmatch(found):
        raise ValueError("must look like finished:before or accepted:after:3")
    return found


METAVARS: Mapping[Parser, str] = {
    duration: "DURATION", positive_duration: "DURATION", size: "SIZE", megabytes: "SIZE", count: "N", positive: "N",
    port: "PORT", url: "URL", credentials: "UUID:KEY|guest", secret: "KEY", origins: "ORIGIN",
    store: "sqlite|http://USER:PASSWORD@HOST:PORT", prefix: "PREFIX",
    driver: "auto|docker|process", network: "auto|host|bridge|none",
    words: "A,B", servers: "HOST:PORT", topic: "PREFIX", switch: "on|off", pairs: "NAME=VALUE,…",
    arguments: "NAME=VALUE,…",
}  # fmt: skip
