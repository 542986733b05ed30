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


@pytest.mark.parametrize("name", ["bob", "", " alice", "alice ", "a/bcde", "alice\n", "x" * 257, "äö\x00üß", "Zoë Ångström"])
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


def test_a_user_may_have_several_namespaces(cli, data):
    """Each with credentials of its own; the last one that goes takes the user with it."""
    first = cli("user", "create", "alice", *data).out
    second = cli("user", "create", "alice", "-ns", "team", *data).out
    assert cli("user", "get", "alice", *data).out == first + second
    assert cli("user", "get", "alice", "--namespace", "team", *data).out == second
    assert cli("user", "get", "alice", "--namespace", "none", *data).code == 4
    again = cli("user", "create", "alice", "--namespace", "team", *data)
    assert (again.code, "already" in again.err) == (4, True)
    cli("user", "create", "bobby", *data)
    assert cli("user", "list", "team", *data).out == "alice\talice, team\t\n"
    assert cli("user", "whois", second.strip(), *data).out == "subject: alice\nnamespace: team\n"
    assert cli("user", "whois", first.split(":")[0], "--json", *data).json == {
        "subject": "alice", "namespace": "alice", "blocked": False,
    }  # fmt: skip
    assert cli("user", "delete", "alice", "--namespace", "none", *data).code == 4
    assert cli("user", "delete", "alice", "--namespace", "alice", *data).code == 0
    assert cli("user", "get", "alice", *data).out == second
    assert cli("user", "delete", "alice", "--namespace", "team", *data).code == 0
    assert cli("user", "get", "alice", *data).code == 4
    assert cli("user", "whois", second.strip(), *data).code == 4


def test_credentials_of_somebody_else_are_not_given_twice(cli, data):
    """A pair selects one namespace; two of them would lock both out."""
    cli("user", "create", "alice", "--auth", PAIR, *data)
    again = cli("user", "create", "bobby", "--auth", PAIR, *data)
    assert (again.code, "belong to a namespace already" in again.err, "kkkk" in again.err) == (4, True, False)


def test_several_are_blocked_at_once(cli, data):
    """And let in again by name."""
    for name in ("alice", "bobby"):
        cli("user", "create", name, *data)
    assert cli("user", "block", "alice", "bobby", *data).code == 0
    assert [each["blocked"] for each in cli("user", "list", "--json", *data).json] == [True, True]
    assert cli("user", "unblock", "bobby", *data).out == "ok: bobby is no longer blocked\n"
    assert cli("user", "whois", cli("user", "get", "alice", *data).out.strip(), *data).err == "alice is blocked\n"


def test_two_who_write_at_the_same_time(data):
    """Each change is made to what the other one wrote."""
    import asyncio

    from console import subjects
    from store.memory import MemoryStore

    async def both():
        store = MemoryStore()
        changes = [subjects.with_namespace("alice", f"space{n}", f"u{n}", "k") for n in range(10)]
        await asyncio.gather(*(subjects.amend(store, "alice", change) for change in changes))
        found = await store.subjects.get("alice")
        assert found.body.count(b'"uuid"') == 10

    asyncio.run(both())


def test_an_unknown_store_is_said_to_be_one(cli, data):
    """Not a traceback, and nothing is made."""
    found = cli("user", "list", "--store", "mongodb", *data)
    assert (found.code, "not known" in found.err) == (4, True)


@pytest.mark.parametrize("name", ["_", "", "a/b", "ä", " a", "x" * 257])
def test_names_that_no_namespace_has(cli, data, name):
    """`_` means one's own; the rest could be named in no path."""
    assert cli("user", "create", "alice", "--namespace", name, *data).code == (0 if name == "" else 2)


@pytest.mark.nodejs
def test_users_and_limits_of_a_couchdb(cli, tmp_path, monkeypatch):
    """Upstream's database, named by --store or the environment; nothing is made in the data directory."""
    from tests.support.couchdb.server import CouchServer

    server = CouchServer().start()
    try:
        made = cli("user", "create", "alice", "--store", server.url, "--db-prefix", "local_")
        assert made.code == 0
        monkeypatch.setenv("REWHISK_STORE", server.url)
        monkeypatch.setenv("REWHISK_DB_PREFIX", "local_")
        assert cli("user", "get", "alice").out == made.out
        assert cli("user", "block", "alice").code == 0
        assert cli("limits", "set", "alice", "--firesPerMinute", "3").code == 0
        assert cli("limits", "get", "alice", "--json").json == {"firesPerMinute": 3}
        assert cli("user", "list").out == "alice\talice\tblocked\n"
        subject = server.couch.databases["local_subjects"].current("alice")
        assert (subject.fields["subject"], subject.fields["blocked"]) == ("alice", True)
        assert cli("limits", "delete", "alice").code == 0
        assert cli("user", "delete", "alice").code == 0
        assert cli("user", "list").out == ""
        assert not (tmp_path / "data").exists()
    finally:
        server.close()
