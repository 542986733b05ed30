"""Errors of the configuration.

ConfigError
 +-- SettingsError    a setting is wrong; `problems` holds one line each
 +-- ManifestError    a manifest of runtimes is wrong; `problems` holds one line each
 +-- ParamKeysError   the keys that parameters are encrypted with are wrong; `problems` holds one line
 +-- PortTaken        the port that was asked for can't be had
"""

from __future__ import annotations

from collections.abc import Sequence


class ConfigError(Exception):
    """Base: something a person wrote can't be used. `problems` are lines for that person, never empty."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class SettingsError(ConfigError):
    """Flags, environment or configuration file are wrong."""


class ManifestError(ConfigError):
    """The manifest of runtimes is wrong."""


class ParamKeysError(ConfigError):
    """The file of keys for parameters is wrong."""


class PortTaken(ConfigError):
    """The address that was asked for by name can't be bound."""
