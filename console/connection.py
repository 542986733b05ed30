"""Which node a command means: flags, then the environment, then wsk's properties file, then a local node's data directory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from console.exits import Unreachable, WrongUsage


@dataclass(frozen=True)
class Target:
    """A node's address, the credentials to send, and where each came from."""

    url: str
    auth: str | None
    source: str
    data_dir: Path


@dataclass(frozen=True)
class LocalNode:
    """What a data directory tells about its node: its URL and pid if one runs or ran, credentials of guest."""

    url: str | None = None
    pid: int | None = None
    auth: str | None = None
    admin_key: str | None = None


def properties_path(environ: Mapping[str, str]) -> Path:
    """wsk's properties file: WSK_CONFIG_FILE, else ~/.wskprops."""
    given = environ.get("WSK_CONFIG_FILE")
    return Path(given).expanduser() if given else Path.home() / ".wskprops"


def read_properties(path: Path) -> dict[str, str]:
    """The properties in a file; text after `#` and lines without exactly one `=` don't count, as wsk reads them."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split("#", 1)[0].split("=") for line in lines)
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


def read_local(data_dir: Path, node: int | None = None) -> LocalNode:
    """What the data directory tells; of several nodes the one asked for, else the lowest number."""
    locks = sorted(data_dir.glob(f"node-{'*' if node is None else f'invoker{node}'}.lock"))
    url = pid = None
    for lock in locks:
        try:
            found = json.loads(lock.read_text(encoding="utf-8"))
            url, pid = str(found["url"]), int(found["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        break
    return LocalNode(url, pid, _line(data_dir / "guest.auth"), _line(data_dir / "admin.key"))


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def normal_url(apihost: str) -> str:
    """A host, host:port or URL as URL without a slash at the end; without a scheme https, but http on this machine.

    Raises WrongUsage for what is no address.
    """
    from urllib.parse import urlsplit

    text = apihost.strip()
    if "://" not in text:
        host = text.rsplit(":", 1)[0].strip("[]")
        text = f"{'http' if host in ('localhost', '127.0.0.1', '::1') else 'https'}://{text}"
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) and not parts.query
    except ValueError:
        known = False
    if not known or any(char.isspace() for char in text):
        raise WrongUsage(f"{apihost!r} is no address of a node", "give --apihost http://HOST:PORT")
    return text.rstrip("/")


def find(
    apihost: str | None, auth: str | None, data_dir: Path, environ: Mapping[str, str] | None = None, node: int | None = None
) -> Target:
    """The node that these flags mean. Raises Unreachable if nothing names one, WrongUsage for what is no address."""
    env = os.environ if environ is None else environ
    path = properties_path(env)
    props, local = read_properties(path), read_local(data_dir, node)
    places = [(apihost, "--apihost"), (local.url, str(data_dir))]
    if node is None:
        places[1:1] = [(env.get("WHISK_APIHOST"), "WHISK_APIHOST"), (props.get("APIHOST"), str(path))]
    address, source = next(((value, name) for value, name in places if value), (None, ""))
    if address is None:
        raise Unreachable(
            f"no node is named, and none runs on data directory {data_dir}",
            "start one with `make node`, or name one with --apihost URL and --auth UUID:KEY",
        )
    url = normal_url(address)
    stored = [props.get("AUTH"), local.auth]
    if local.url is not None and normal_url(local.url) == url and not _means(props, url):
        stored.reverse()  # the local node's own credentials fit it better than those of another node
    keys = [auth, env.get("WHISK_AUTH"), *stored]
    return Target(url, next((key for key in keys if key), None), source, data_dir)


def _means(props: Mapping[str, str], url: str) -> bool:
    host = props.get("APIHOST")
    return bool(host) and normal_url(str(host)) == url
