"""What an action executes, from what people write: kinds, code or image or components (openwhisk-controller.md 3.2)."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping

import msgspec
from marshmallow import ValidationError

from config.manifest import Kind, Manifest
from controller import errors, names
from controller.entities import ExecDoc

SEQUENCE, BLACKBOX = "sequence", "blackbox"

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<image>(?:(?=[^/]*[.:]|localhost/)[A-Za-z0-9.-]+(?::[0-9]+)?/)?{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?)"
    r"(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)


def read_exec(given: object, manifest: Manifest) -> ExecDoc:
    """Raises ValidationError with upstream's text. `_` in components stays: who asks is not known here."""
    if not isinstance(given, Mapping):
        raise ValidationError(errors.NOT_AN_OBJECT)
    named = given.get("kind")
    if not isinstance(named, str):
        raise ValidationError(errors.EXEC_WITHOUT_KIND)
    name = named.strip().lower()
    if name == SEQUENCE:
        return ExecDoc(SEQUENCE, components=_components(given))
    if name == BLACKBOX:
        return _blackbox(given)
    kind = manifest.resolve(name)
    if kind is None:
        raise ValidationError(errors.kind_unknown(name, manifest.valid_kinds_text()))
    return _code(given, kind)


def _code(given: Mapping[str, object], kind: Kind) -> ExecDoc:
    code = given.get("code", given.get("jar"))
    if "code" not in given and "jar" not in given:
        text = f"'code' must be a string or attachment object defined in 'exec' for '{kind.kind}' actions"
        raise ValidationError(text)
    if not isinstance(code, str):
        raise ValidationError(f"Could not deserialize as attachment record: {_shown(code)}")
    main = _main(given, kind.kind)
    if main is None and kind.require_main:
        raise ValidationError(f"'main' must be a string defined in 'exec' for '{kind.kind}' actions")
    return ExecDoc(kind.kind, code=code, binary=is_binary(code), main=main)


def _blackbox(given: Mapping[str, object]) -> ExecDoc:
    image = given.get("image")
    if not isinstance(image, str):
        raise ValidationError("'image' must be a string defined in 'exec' for 'blackbox' actions")
    found = _IMAGE.fullmatch(image)
    if found is None:
        raise ValidationError(errors.IMAGE_MALFORMED)
    code = given.get("code")
    if code is not None and not isinstance(code, str):
        raise ValidationError(f"Could not deserialize as attachment record: {_shown(code)}")
    binary = is_binary(code) if code else False
    return ExecDoc(BLACKBOX, code=code or None, binary=binary, main=_main(given, BLACKBOX), image=found["image"])


def _main(given: Mapping[str, object], kind: str) -> str | None:
    if "main" not in given:
        return None
    main = given["main"]
    if not isinstance(main, str):
        raise ValidationError(f"if defined, 'main' be a string in 'exec' for '{kind}' actions")
    return main


def _components(given: Mapping[str, object]) -> list[str]:
    if "components" not in given:
        raise ValidationError(errors.COMPONENTS_MISSING)
    found = given["components"]
    if not isinstance(found, list):
        raise ValidationError(errors.COMPONENTS_NOT_A_LIST)
    return [f"/{names.qualified(item)}" for item in found]


def is_binary(code: str) -> bool:
    """Whether code is taken for base64: upstream guesses from the text alone. Raises ValidationError.

    Upstream fails with an internal error on base64 with white space around it; here that is the caller's mistake.
    """
    text = code.strip()
    if not text or len(text) % 4 or not text.isascii():
        return False
    body = text.encode()
    unpadded = body.rstrip(b"=")
    if len(body) - len(unpadded) > 2 or unpadded.translate(None, _BASE64):
        return False
    if len(text) != len(code):
        raise ValidationError(errors.CODE_NOT_BASE64)
    b64decode(body[-4:], validate=True)
    return True


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()[:200]
