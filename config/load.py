"""Settings from flags, environment and file, in this order of strength, checked together."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from config.errors import SettingsError
from config.settings import BY_NAME, OPTIONS, Settings

PREFIX = "REWHISK_"
CONFIG_VARIABLE = "REWHISK_CONFIG"


def read_file(path: Path) -> dict[str, object]:
    """The settings in a TOML file, keys with `-` or `_`. Raises SettingsError if it can't be read or isn't TOML."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"--config {path}: {error.strerror or error}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError([f"--config {path}: not a TOML file: {error}"]) from None
    return {key.replace("-", "_"): value for key, value in found.items()}


def load(flags: Mapping[str, object], environ: Mapping[str, str], config: Path | None = None) -> Settings:
    """The settings: flag over environment over file over default. A flag that is None was not given.

    Raises SettingsError with one line per problem, each naming where the value came from.
    """
    from marshmallow import ValidationError

    from config.schema import SettingsSchema, unknown_text

    path = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    values: dict[str, object] = {}
    source: dict[str, str] = {}
    keys = [option.key for option in OPTIONS]
    problems: list[str] = []
    if path is not None:
        for name, value in read_file(path).items():
            if name not in BY_NAME:
                problems.append(f"{path}: {name.replace('_', '-')} {unknown_text(name.replace('_', '-'), keys)}")
                continue
            values[name], source[name] = value, f"{path}: {BY_NAME[name].key}"
    warnings = []
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if name not in BY_NAME:
            warnings.append(f"{variable} {unknown_text(variable, [option.variable for option in OPTIONS])}")
            continue
        values[name], source[name] = text, variable
    for name, value in flags.items():
        if value is not None:
            values[name], source[name] = value, f"--{BY_NAME[name].key}"
    try:
        checked = SettingsSchema().load(values)
    except ValidationError as error:
        found = error.messages_dict
        problems += [f"{source.get(name, BY_NAME[name].key)} {text}" for name, texts in found.items() for text in texts]
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return Settings(**checked, given=frozenset(checked), warnings=tuple(warnings))
