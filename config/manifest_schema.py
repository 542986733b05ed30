"""marshmallow schemas of the runtimes manifest, and its problems as lines for people."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Range

from config import parse
from config.parse import Parser

_FAMILY = re.compile(r"[\w.-]+", re.ASCII)
_KIND = re.compile(r"\s*[\w.-]+:[\w.-]+\s*", re.ASCII)


def _check(parser: Parser) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        try:
            parser(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None

    return check


def _kind_name(value: object) -> str:
    if not isinstance(value, str) or not _KIND.fullmatch(value) or value.strip().lower().endswith(":default"):
        raise ValueError(f"must be family:version, not {value!r}")
    return value


def _family_name(value: object) -> str:
    if not isinstance(value, str) or not _FAMILY.fullmatch(value):
        raise ValueError(f"is no name of a family: {value!r}")
    return value


def _switch(key: str) -> fields.Bool:
    return fields.Bool(data_key=key, truthy={True}, falsy={False}, allow_none=True)


class _Part(Schema):
    """Unknown members are ignored, as upstream does."""

    class Meta:
        """See the class."""

        unknown = EXCLUDE


class ImageSchema(_Part):
    """An image's name in parts."""

    name = fields.Str(required=True, validate=_check(parse.filled))
    prefix = fields.Str(allow_none=True)
    registry = fields.Str(allow_none=True)
    tag = fields.Str(allow_none=True)


class ReactiveSchema(_Part):
    """Numbers of a reactive stem cell."""

    min_count = fields.Int(data_key="minCount", required=True, strict=True, validate=Range(min=0))
    max_count = fields.Int(data_key="maxCount", required=True, strict=True, validate=Range(min=1))
    ttl = fields.Str(required=True, validate=_check(parse.positive_duration))
    threshold = fields.Int(required=True, strict=True, validate=Range(min=1))
    increment = fields.Int(required=True, strict=True, validate=Range(min=1))

    @validates_schema
    def ordered(self, data: dict[str, Any], **_: Any) -> None:
        """Raises ValidationError unless minCount and increment are within maxCount."""
        for name in ("min_count", "increment"):
            if data[name] > data["max_count"]:
                raise ValidationError("must not be more than maxCount", name)


class StemCellSchema(_Part):
    """How many containers of which memory to prewarm."""

    initial_count = fields.Int(data_key="initialCount", strict=True, validate=Range(min=1))
    count = fields.Int(strict=True, validate=Range(min=1))
    memory = fields.Str(required=True, validate=_check(parse.megabytes))
    reactive = fields.Nested(ReactiveSchema, allow_none=True)

    @validates_schema
    def counted(self, data: dict[str, Any], **_: Any) -> None:
        """Raises ValidationError without a count."""
        if "initial_count" not in data and "count" not in data:
            raise ValidationError("Missing data for required field.", "initial_count")


class KindSchema(_Part):
    """One runtime."""

    kind = fields.Str(required=True, validate=_check(_kind_name))
    image = fields.Nested(ImageSchema, required=True)
    default = _switch("default")
    deprecated = _switch("deprecated")
    require_main = _switch("requireMain")
    sentinelled_logs = _switch("sentinelledLogs")
    attached = fields.Dict(allow_none=True)
    stem_cells = fields.List(fields.Nested(StemCellSchema), data_key="stemCells", allow_none=True)


class ManifestSchema(_Part):
    """The whole file."""

    runtimes = fields.Dict(
        keys=fields.Str(validate=_check(_family_name)), values=fields.List(fields.Nested(KindSchema)), allow_none=True
    )
    blackboxes = fields.List(fields.Nested(ImageSchema), allow_none=True)


def _lines(messages: Any, path: str) -> list[str]:
    if isinstance(messages, dict):
        lines = []
        for key, inner in messages.items():
            lines += _lines(inner, path + _step(key, path))
        return lines
    texts = messages if isinstance(messages, list) else [messages]
    return [f"{path}: {text}" if path else str(text) for text in texts]


def _step(key: str | int, path: str) -> str:
    if key in ("_schema", "value", "key"):
        return ""
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if path else key


def problems_of(document: object) -> list[str]:
    """What is wrong with a manifest's form, one line per problem; empty if nothing."""
    if not isinstance(document, dict):
        return ["must be a JSON object with runtimes and blackboxes"]
    return _lines(ManifestSchema().validate(document), "")
