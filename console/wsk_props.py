"""`wsk-props`: where wsk, other clients and the commands here find this node."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import rich_click as click

from console.command import DATA_DIR, help_text


def merged(text: str, values: Mapping[str, str]) -> str:
    """The properties file with these values set; every other line stays as it is."""
    left = dict(values)
    lines = []
    for line in text.splitlines():
        key = line.split("=", 1)[0].strip() if "=" in line.split("#", 1)[0] else ""
        if key in values:
            if key in left:
                lines.append(f"{key}={left.pop(key)}")
            continue
        lines.append(line)
    lines += [f"{key}={value}" for key, value in left.items()]
    return "\n".join(lines) + "\n"


def write(path: Path, values: Mapping[str, str]) -> None:
    """Set the values in the file, readable by its owner alone. Raises WrongUsage if that can't be done."""
    from console.exits import WrongUsage

    place = path.resolve()
    temporary = place.with_name(f"{place.name}.{os.getpid()}.new")
    try:
        old = place.read_text(encoding="utf-8") if place.exists() else ""
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(merged(old, values))
        temporary.replace(place)
    except (OSError, UnicodeDecodeError) as error:
        temporary.unlink(missing_ok=True)
        raise WrongUsage(f"can't write {path}: {error}") from None


@click.command("wsk-props", help=help_text(
    "Write the address and credentials of a local node into ~/.wskprops (or the file that WSK_CONFIG_FILE names), for wsk "
    "and for the commands here. Other lines of the file stay.",
    "wsk-props", "wsk-props --apihost http://127.0.0.1:3233 --auth UUID:KEY",
))  # fmt: skip
@click.option("--apihost", metavar="URL", help="Address; default: the local node's.")
@click.option("--auth", "-u", metavar="UUID:KEY", help="Credentials; default: the local node's.")
@click.option(
    "--data-dir", type=DATA_DIR, default="./data", show_default=True, envvar="REWHISK_DATA_DIR",
    help="Data directory of the local node.",
)  # fmt: skip
def wsk_props(apihost: str | None, auth: str | None, data_dir: Path) -> None:
    """See the help."""
    from console.connection import normal_url, properties_path, read_local
    from console.exits import WrongUsage

    local = read_local(data_dir)
    url, key = apihost or local.url, auth or local.auth
    if not url or not key:
        missing = " and ".join(name for name, value in (("address", url), ("credentials", key)) if not value)
        hint = "start a node with `make node`, or give --apihost and --auth"
        raise WrongUsage(f"no {missing} known for data directory {data_dir}", hint)
    if any(char in key for char in "=#\n "):
        raise WrongUsage("--auth must be uuid:key")
    path = properties_path(os.environ)
    write(path, {"APIHOST": normal_url(url), "AUTH": key})
    print(f"ok: {path} names {normal_url(url)}")
