"""`user`: subjects in the store in upstream's form; keys are shown only to who asks for one user."""

import re

import pytest

PAIR = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:" + "k" * 64


@pytest.fixture
def data(tmp_path):
    return ("--data-dir", tmp_path / "data")


def test_a_users_life(cli, data):
    """Created with a random key, read, listed, blocked, let in again, deleted."""
    made = cli("user", "create", "alice", *data)
    assert made.code == 0
    assert re.fullmatch(r"[0-9a-f-]{36}:[A-Za-z0-9]{64}\n", made.out)
    assert cli("user", "get", "alice", *data).out == made.out
    assert cli("user", "list", *data).out == "alice\talice\t\n"
    assert cli("user", "block", "alice", *data).out == "ok: alice is blocked\n"
    assert cli("user", "get", "alice", *data).err == "alice is blocked\n"
    assert cli("user", "list", *data, "--json").json == [{"subject": "alice", "namespaces": ["alice"], "blocked": True}]
    assert cli("user", "block", "alice", "--undo", *data).out == "ok: alice is no longer blocked\n"
    assert "blocked" not in cli("user", "get", "alice", "--json", *data).json
    assert cli("user", "delete", "alice", *data).out == "ok: deleted user alice\n"
    assert cli("user", "list", *data).out == ""


def test_given_credentials(cli, data):
    """--auth is taken as it is, in upstream's document."""
    assert cli("user", "create", "alice", "--auth", PAIR, "--json", *data).json == {
        "subject": "alice",
        "namespace": "alice",
        "auth": PAIR,
    }
    uuid, key = PAIR.split(":")
    assert cli("user", "get", "alice", "--json", *data).json == {
        "subject": "alice",
        "namespaces": [{"name": "alice", "uuid": uuid, "key": key}],
    }


def test_refusals(cli, data):
    """Twice the same name, unknown names, no store."""
    assert "holds no store" in cli("user", "list", *data).err
    cli("user", "create", "alice", *data)
    again = cli("user", "create", "alice", *data)
    assert (again.code, "already" in again.err) == (4, True)
    for command in ("get", "delete", "block"):
        found = cli("user", command, "nobody", *data)
        assert (found.code, "no user nobody" in found.err) == (4, True)


@pytest.mark.parametrize("name", ["bob", "", " alice", "alice ", "a/bcde", "alice\n", "x" * 257, "äö\x00üß"])
def test_names_that_no_subject_has(cli, data, name):
    """Upstream's form: 5 to 256 characters, no slash."""
    assert cli("user", "create", name, *data).code == 2


@pytest.mark.parametrize("auth", ["guest", "x", PAIR[:-1]])
def test_credentials_that_are_none(cli, data, auth):
    """Refused, and not repeated on the screen."""
    found = cli("user", "create", "alice", "--auth", auth, *data)
    assert found.code == 2
    assert "kkkk" not in found.err


def test_limits_documents_are_no_users(cli, data):
    """`<namespace>/limits` lives beside the subjects and is neither listed nor deletable as a user."""
    import asyncio

    from store.open import open_store

    cli("user", "create", "alice", *data)

    async def add():
        store = await open_store("sqlite", data[1])
        await store.subjects.put("alice/limits", b'{"invocationsPerMinute": 1}', None)
        await store.close()

    asyncio.run(add())
    assert len(cli("user", "list", "--json", *data).json) == 1
    assert cli("user", "delete", "alice/limits", *data).code == 4
