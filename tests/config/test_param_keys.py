"""Keys of parameters: what upstream encrypted is opened, what is encrypted here has upstream's form."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from config.errors import ParamKeysError
from config.param_keys import ParamKeys
from messages.errors import Undecryptable
from tests.golden_replay import GOLDEN

SMALL, LARGE = bytes(range(16)), bytes(range(32))
KEYS = {"aes-128": SMALL, "aes-256": LARGE, "mine": LARGE[::-1]}
PLAIN = {"secret": "s3cret", "obj": {"a": 1, "u": "ü"}, "num": 42, "INITSEC": "initsecret"}


def recorded(scheme: str) -> dict[str, Any]:
    """The parameters of the action that upstream stored under this scheme."""
    with (GOLDEN / "openwhisk-wire.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["case"].startswith(f"[parameter-storage {scheme}] put action"):
                return {pair["key"]: pair["value"] for pair in row["value"]["parameters"]}
    raise AssertionError(scheme)


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize("scheme", ["aes-128", "aes-256"])
def test_what_upstream_encrypted_is_opened(scheme: str) -> None:
    values = recorded(scheme)
    content = ParamKeys(KEYS).unlock(raw({**values, "own": 1}), dict.fromkeys(values, scheme))
    assert json.loads(bytes(content)) == {**PLAIN, "own": 1}


@pytest.mark.parametrize(("name", "nonce"), [("aes-128", 12), ("aes-256", 128), ("mine", 128)])
def test_the_form_is_upstreams(name: str, nonce: int) -> None:
    sealed = ParamKeys(KEYS, name, random=lambda size: b"n" * size).encrypt(raw("x"))
    assert sealed is not None
    stored = base64.b64decode(json.loads(bytes(sealed[0])))
    assert (sealed[1], stored[: 4 + nonce]) == (name, nonce.to_bytes(4, "big") + b"n" * nonce)
    assert len(stored) == 4 + nonce + len('"x"') + 16


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)


@given(values, st.sampled_from(list(KEYS)))
def test_every_value_comes_back(value: Any, name: str) -> None:
    sealed = ParamKeys(KEYS, name).encrypt(raw(value))
    assert sealed is not None
    assert bytes(ParamKeys(KEYS).decrypt("p", sealed[1], sealed[0])) == bytes(raw(value))


@pytest.mark.parametrize("stored", ["", "AAAA", "****", "////////", base64.b64encode(bytes(200)).decode(), 5, None, {"a": 1}])
def test_what_is_no_encrypted_value_is_said_without_showing_it(stored: Any) -> None:
    with pytest.raises(Undecryptable, match=r"^The parameter 'p' can't be decrypted with the key 'aes-256'\.$"):
        ParamKeys(KEYS).decrypt("p", "aes-256", raw(stored))


def test_keys_that_are_missing_and_names_that_are_none() -> None:
    """Upstream leaves values of unknown schemes as they are."""
    with pytest.raises(Undecryptable, match="encrypted with the key 'aes-128', which this node does not have"):
        ParamKeys({"mine": LARGE}).decrypt("p", "aes-128", raw("x"))
    assert ParamKeys(KEYS).decrypt("p", "rot13", raw("x")) == raw("x")
    assert ParamKeys(KEYS).unlock(raw([1]), {"p": "aes-256"}) == raw([1])
    assert ParamKeys(KEYS).encrypt(raw("x")) is None


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(stat.S_IRUSR)
    return path


def test_a_file_of_keys(tmp_path: Path) -> None:
    text = json.dumps({"current": "aes-256", "aes-256": base64.b64encode(LARGE).decode(), "old": base64.b64encode(SMALL).decode()})
    keys = ParamKeys.read(written(tmp_path / "keys", text))
    assert repr(keys) == "<ParamKeys aes-256, old; current: aes-256>"
    assert ParamKeys.read(written(tmp_path / "off", '{"current": "noop"}')).current is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "not a JSON object of texts"),
        ('{"a": 1}', "not a JSON object of texts"),
        ("\xff", "not a JSON object of texts"),
        ('{"current": "aes-256"}', "`current` names 'aes-256', which is not among the keys: none"),
        ('{"aes-256": "AAAA"}', "the key 'aes-256' has 3 bytes instead of 32"),
        ('{"mine": "AAAA"}', "the key 'mine' has 3 bytes instead of 16 or 32"),
        ('{"mine": "???"}', "the key 'mine' is not base64"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path / "keys", text)
    with pytest.raises(ParamKeysError) as caught:
        ParamKeys.read(path)
    assert caught.value.problems == [f"{path}: {problem}"]
    with pytest.raises(ParamKeysError, match="No such file"):
        ParamKeys.read(tmp_path / "missing")
