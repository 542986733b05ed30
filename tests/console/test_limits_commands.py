"""`limits`: a namespace's own limits in upstream's document, and what the node makes of it."""

import asyncio

import msgspec
import pytest

from console.limits_commands import FIELDS
from messages.wire import UserLimits
from store.open import open_store

EXAMPLES = {"allowedKinds": "python:3,nodejs:20", "storeActivations": "false", "warmedContainerKeepingTimeout": "10 minutes"}


@pytest.fixture
def data(tmp_path, cli):
    found = ("--data-dir", tmp_path / "data")
    cli("user", "create", "alice", *found)
    return found


def test_limits_of_a_namespace(cli, data):
    """Set one by one, shown, taken away one by one, then all."""
    assert cli("limits", "get", "alice", "--json", *data).json == {}
    assert cli("limits", "set", "alice", "--invocationsPerMinute", "120", *data).out == "ok: limits of alice are set\n"
    kinds = cli("limits", "set", "alice", "--allowed-kinds", "python:3, nodejs:20", "--max-action-memory", "512", "--json", *data)
    expected = {"invocationsPerMinute": 120, "allowedKinds": ["python:3", "nodejs:20"], "maxActionMemory": 512}
    assert kinds.json == expected
    assert cli("limits", "get", "alice", "--json", *data).json == expected
    assert cli("limits", "get", "alice", *data).out == (
        "invocationsPerMinute\t120\nallowedKinds\tpython:3, nodejs:20\nmaxActionMemory\t512\n"
    )
    assert cli("limits", "delete", "alice", "allowedKinds", "maxActionMemory", *data).code == 0
    assert cli("limits", "get", "alice", "--json", *data).json == {"invocationsPerMinute": 120}
    assert cli("limits", "delete", "alice", *data).code == 0
    again = cli("limits", "delete", "alice", *data)
    assert (again.code, "no limits of its own" in again.err) == (4, True)


def test_every_field_can_be_set_and_is_understood(cli, data):
    """Nineteen fields, in upstream's names; the identity that the node reads has them all."""
    for field in FIELDS:
        value = EXAMPLES.get(field, "1 MB" if field.endswith("Size") else "7")
        assert cli("limits", "set", "alice", f"--{field}", value, *data).code == 0, field

    async def read():
        store = await open_store("sqlite", data[1])
        try:
            return await store.subjects.by_namespace("alice")
        finally:
            await store.close()

    limits = asyncio.run(read()).limits
    assert len(FIELDS) == len(UserLimits.__struct_fields__)
    assert msgspec.json.decode(msgspec.json.encode(limits)).keys() == FIELDS.keys()
    assert limits.store_activations is False


@pytest.mark.parametrize(
    "options",
    [
        (), ("--invocationsPerMinute", "-1"), ("--invocationsPerMinute", "many"), ("--maxPayloadSize", "much"),
        ("--warmedContainerKeepingTimeout", "soon"), ("--storeActivations", "perhaps"), ("--concurrentInvocations", "99999999999"),
        ("--minActionMemory", "512", "--maxActionMemory", "256"),
    ],
)  # fmt: skip
def test_what_is_no_limit_is_refused(cli, data, options):
    """With 2, and nothing is stored."""
    assert cli("limits", "set", "alice", *options, *data).code == 2
    assert cli("limits", "get", "alice", "--json", *data).json == {}


def test_refusals(cli, data):
    """No store, no such name, no such field; a namespace that nobody has may be limited ahead of time."""
    assert cli("limits", "set", "a/b", "--firesPerMinute", "1", *data).code == 2
    assert cli("limits", "delete", "alice", "frob", *data).code == 2
    assert "no user has namespace later" in cli("limits", "set", "later", "--firesPerMinute", "1", *data).err
    assert cli("limits", "get", "alice", "--data-dir", data[1] / "none").code == 2
    assert cli("user", "get", "alice/limits", *data).code == 4
