"""marshmallow schema of the settings, made from their table: it names unknown settings and collects every problem."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validates_schema

from config.parse import Parser
from config.settings import BY_NAME, OPTIONS


class Written(fields.Field[Any]):
    """A value as a person wrote it, through one of the parsers."""

    def __init__(self, parser: Parser) -> None:
        super().__init__(allow_none=True)
        self.parser = parser

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        try:
            return self.parser(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class _Rules(Schema):
    """What several settings together must fulfil; absent ones have their defaults."""

    class Meta:
        """Unknown settings are errors."""

        unknown = RAISE

    @validates_schema
    def together(self, data: dict[str, Any], **_: Any) -> None:
        """Raises ValidationError for combinations that can't work."""

        def value(name: str) -> Any:
            option = BY_NAME[name]
            return data.get(name, option.parser(option.default))

        if value("memory") < 128:
            raise ValidationError("must be at least 128m, the smallest memory limit of an action", "memory")
        if value("commit_bytes") > value("event_bytes"):
            raise ValidationError("must not be larger than event-bytes", "commit_bytes")
        origins = value("cors")
        if origins is not None and "*" in origins and len(origins) > 1:
            raise ValidationError("`*` stands for all origins: name it alone", "cors")


SettingsSchema = _Rules.from_dict({option.name: Written(option.parser) for option in OPTIONS}, name="SettingsSchema")


def unknown_text(name: str, known: list[str]) -> str:
    """What to say about a name that doesn't exist, with the closest one that does."""
    close = difflib.get_close_matches(name, known, 1)
    return "is no setting" + (f": did you mean {close[0]}?" if close else "; docs/configuration.md lists them")
