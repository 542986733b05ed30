"""The version of this release, the one of pyproject.toml."""

VERSION = "0.1.0"
