"""Bodies of PUT as marshmallow schemas, built once per node.

Upstream reads a body twice: `exec`, `parameters` and `annotations` first, for the size limits, then the rest. So do the
two schemas of each kind of entity; which of several mistakes is reported depends on it. Absent and null are the same.
"""

from __future__ import annotations

from typing import Any

import msgspec
from marshmallow import EXCLUDE, Schema, ValidationError, fields
from msgspec import Raw, Struct, structs

from config.manifest import Manifest
from controller import errors, names
from controller.entities import ExecDoc, FullName, Pair
from controller.exec import read_exec
from controller.limits import LimitsPut, read_limits

_raw_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode = msgspec.json.Decoder().decode
_NULL = b"null"
_VERSION_MAX = 2**31 - 1


class EntityPut(Struct, frozen=True):
    """A body as far as it was given: None keeps what is there.

    `exec`, `limits` and `delete_annotations` are for actions, `binding` for packages, `trigger` and `action` for rules.
    """

    exec: ExecDoc | None = None
    parameters: list[Pair] | None = None
    annotations: list[Pair] | None = None
    limits: LimitsPut | None = None
    version: str | None = None
    publish: bool | None = None
    delete_annotations: list[str] | None = None
    binding: FullName | None = None
    """The package to bind to; its path is a namespace, as given."""
    trigger: FullName | None = None
    action: FullName | None = None


class _ExecField(fields.Field[ExecDoc]):
    def __init__(self, manifest: Manifest) -> None:
        super().__init__()
        self._manifest = manifest

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> ExecDoc:
        return read_exec(_decode(value), self._manifest)


_pairs = msgspec.json.Decoder(list[Pair]).decode


class _PairsField(fields.Field[list[Pair]]):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Pair]:
        try:
            given = _pairs(value)
        except msgspec.MsgspecError:
            raise ValidationError(errors.PAIRS_MALFORMED) from None
        compact = (structs.replace(pair, value=Raw(msgspec.json.format(pair.value, indent=-1))) for pair in given)
        return list({pair.key: pair for pair in compact}.values())


class _LimitsField(fields.Field[LimitsPut]):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> LimitsPut:
        return read_limits(_decode(value))


class _VersionField(fields.Field[str]):
    """`major[.minor[.patch[.…]]]`; not all zero, which upstream can't tell from unset."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = _decode(value)
        parts = text.split(".")[:3] if isinstance(text, str) else []
        numbers = [int(part) for part in parts if part.isdecimal() and part.isascii() and len(part) <= 10]
        if not parts or len(numbers) != len(parts) or not any(numbers) or max(numbers) > _VERSION_MAX:
            raise ValidationError(errors.VERSION_MALFORMED)
        return ".".join(str(number) for number in [*numbers, 0, 0][:3])


class _PublishField(fields.Field[bool]):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        given = _decode(value)
        if not isinstance(given, bool):
            raise ValidationError(f"Expected JsBoolean, but got {_shown(value)}")
        return given


class _BindingField(fields.Field[FullName | None]):
    """`{"namespace": …, "name": …}`; an empty object names nothing. Null is no binding, but a mistake."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> FullName | None:
        given = _decode(value)
        if given == {}:
            return None
        return FullName(*(_member(given, name) for name in ("namespace", "name")))


def _member(given: object, member: str) -> str:
    if not isinstance(given, dict):
        raise ValidationError("Object expected in field 'namespace'")
    if member not in given:
        raise ValidationError(f"Object is missing required member '{member}'")
    name = given[member]
    if not isinstance(name, str):
        raise ValidationError(errors.ENTITY_NAME_MALFORMED)
    if not names.is_name(name):
        raise ValidationError(errors.NAME_ILLEGAL)
    return name


class _FullNameField(fields.Field[FullName]):
    """`"/namespace[/package]/name"`, or an object of `path` and `name`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> FullName:
        given = _decode(value)
        if isinstance(given, dict):
            path, name = given.get("path"), given.get("name")
            if not (isinstance(path, str) and isinstance(name, str)):
                raise ValidationError(errors.NAME_MALFORMED)
            given = f"{path}/{name}"
        return FullName.of(names.qualified(given))


class _NamesField(fields.Field[list[str]]):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        given = _decode(value)
        if not isinstance(given, list):
            raise ValidationError(f"Expected Array as JsArray, but got {_shown(value)}")
        for name in given:
            if not isinstance(name, str):
                raise ValidationError(f"Expected String as JsString, but got {msgspec.json.encode(name).decode()[:200]}")
        return given


def _shown(value: Raw) -> str:
    return msgspec.json.format(value, indent=-1).decode()[:200]


class PutReader:
    """Reads bodies of PUT in upstream's two steps: the first is the same for all collections."""

    def __init__(self, manifest: Manifest) -> None:
        exec_field: dict[str, fields.Field[Any]] = {"exec": _ExecField(manifest)}
        pairs: dict[str, fields.Field[Any]] = {"parameters": _PairsField(), "annotations": _PairsField()}
        self._content = Schema.from_dict({**exec_field, **pairs}, name="Content")(unknown=EXCLUDE)
        self._details = {collection: _details(collection, special) for collection, special in _SPECIAL.items()}

    def given(self, body: bytes, value: object) -> dict[str, Raw]:
        """The fields of a body that are there and not null (a null `binding` stays). Raises ApiError 400 if it is no object."""
        if not isinstance(value, dict):
            raise errors.malformed(errors.NOT_AN_ENTITY)
        return {name: raw for name, raw in _raw_fields(body).items() if bytes(raw) != _NULL or name == "binding"}

    def content(self, given: dict[str, Raw]) -> EntityPut:
        """First step. Raises ApiError 400."""
        found = _loaded(self._content, given)
        return EntityPut(found.get("exec"), found.get("parameters"), found.get("annotations"))

    def details(self, collection: str, given: dict[str, Raw], content: EntityPut) -> EntityPut:
        """Second step. Raises ApiError 400."""
        found = _loaded(self._details[collection], given)
        if "delAnnotations" in found:
            found["delete_annotations"] = found.pop("delAnnotations")
        return msgspec.structs.replace(content, **found)


_SPECIAL: dict[str, dict[str, fields.Field[Any]]] = {
    "actions": {"limits": _LimitsField(), "delAnnotations": _NamesField()},
    "packages": {"binding": _BindingField()},
    "triggers": {},
    "rules": {"trigger": _FullNameField(), "action": _FullNameField()},
}
"""What bodies of each collection have beside `version` and `publish`."""


def _details(collection: str, special: dict[str, fields.Field[Any]]) -> Schema:
    last = {name: field for name, field in special.items() if name == "delAnnotations"}
    first = {name: field for name, field in special.items() if name not in last}
    common: dict[str, fields.Field[Any]] = {"version": _VersionField(), "publish": _PublishField()}
    return Schema.from_dict({**first, **common, **last}, name=f"Details{collection}")(unknown=EXCLUDE)


def _loaded(schema: Schema, given: dict[str, Raw]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = schema.load(given)
    except ValidationError as error:
        raise errors.invalid(error, list(schema.fields)) from None
    return found


def pairs_size(pairs: list[Pair] | None) -> int:
    """Bytes that count against the limits: names and compact values (openwhisk-controller.md 3.7)."""
    return sum(len(pair.key.encode()) + len(pair.value) for pair in pairs or [])
