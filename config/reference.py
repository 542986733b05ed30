"""The reference page of the settings, made from their table: `python -m config.reference` writes docs/configuration.md."""

from __future__ import annotations

from pathlib import Path

from config.settings import OPTIONS, Option

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

HEAD = """# Configuration

Made from the settings' table (`config/settings.py`) by `make docs`; a test keeps it current.

Every setting of a node can be given four ways; the first that is there counts:

1. a flag of `run.py node`, where the table has one (`--port 4000`),
2. an environment variable (`REWHISK_PORT=4000`),
3. a key of the TOML file that `--config FILE` or `REWHISK_CONFIG` names (`port = 4000`, keys with `-` or `_`),
4. the default.

Durations are written `500ms`, `30s`, `10m`, `2h`, `7d`; sizes `512k`, `2048m`, `2g` (powers of 1024); `none` stands for no value.
An unknown key in the file is an error, an unknown `REWHISK_` variable a warning at the start.
"""


def _row(option: Option, *, flag: bool) -> str:
    name = f"`--{option.key}`" if flag else f"`{option.key}`"
    value = option.metavar.replace("|", " \\| ")
    default = f"`{option.default}`" if option.default else ""
    return f"| {name} | {value} | {default} | {option.help.replace('|', chr(92) + '|')} |"


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for title, flag in (("Settings with a flag", True), ("Settings for the environment and the file", False)):
        rows = [_row(option, flag=flag) for option in OPTIONS if option.flag is flag]
        lines += [f"## {title}", "", "| setting | value | default | |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
