from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from controller.entities import ExecDoc
from controller.exec import is_binary, read_exec
from tests.controller.fakes import golden_manifest

MANIFEST = golden_manifest()
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
FIELDS = st.sampled_from(["kind", "code", "main", "image", "components", "jar", "binary"])
KINDS = st.sampled_from(["nodejs:20", "python:default", "java:8", "sequence", "blackbox", "SEQUENCE ", "nosuch"])


@given(st.dictionaries(FIELDS, ANYTHING | KINDS) | ANYTHING, KINDS)
def test_anything_is_read_or_refused_with_a_text(given_: object, kind: str) -> None:
    """No `exec` raises anything but a ValidationError with a text; what is read is of a known kind."""
    if isinstance(given_, dict):
        given_.setdefault("kind", kind)
    try:
        found = read_exec(given_, MANIFEST)
    except ValidationError as error:
        assert str(error.messages[0])
    else:
        assert found.kind in ("sequence", "blackbox") or MANIFEST.resolve(found.kind)


@given(st.binary(min_size=1))
def test_base64_is_binary(data: bytes) -> None:
    """Whatever base64 encodes is taken for it."""
    assert is_binary(base64.b64encode(data).decode())


@pytest.mark.parametrize("code", ["", "   ", "abc", "ab cd", "abc=d", "a===", "====", "def main", "äöüß", "ab-_", "abcd\u00a0"])
def test_other_text_is_not(code: str) -> None:
    """Wrong length, characters or padding, and no text at all."""
    try:
        assert not is_binary(code)
    except ValidationError:
        assert code.strip() != code


def test_large_code_is_judged_quickly() -> None:
    """48 MB of base64 don't block the loop for long."""
    start = time.perf_counter()
    assert is_binary("x" * (48 << 20))
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("image", "stored"),
    [
        ("me/action:1.0", "me/action:1.0"),
        ("action", "action"),
        ("registry.example.org:5000/team/action:v1", "registry.example.org:5000/team/action:v1"),
        ("localhost/action", "localhost/action"),
        ("me/action@sha256:" + "0" * 64, "me/action"),
    ],
)
def test_images(image: str, stored: str) -> None:
    """Registry, path, tag; a digest is dropped as upstream does."""
    assert read_exec({"kind": "blackbox", "image": image}, MANIFEST) == ExecDoc("blackbox", binary=False, image=stored)


@pytest.mark.parametrize("image", ["", "Me/Action", "a//b", "a:b:c", "/a", "a/", "a b", "a\n", "-a", "a@sha256:0", "a" * 10 + "$"])
def test_bad_images(image: str) -> None:
    """Everything else."""
    with pytest.raises(ValidationError, match="could not parse image name"):
        read_exec({"kind": "blackbox", "image": image}, MANIFEST)
