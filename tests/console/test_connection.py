"""Finding the node: flags, environment, wsk's properties, the data directory, in this order."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.connection import find, normal_url, properties_path, read_local, read_properties
from console.exits import Unreachable, WrongUsage

LOCAL = "http://127.0.0.1:4444"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "node-invoker0.lock").write_text(json.dumps({"pid": 7, "url": LOCAL}))
    (tmp_path / "node-invoker3.lock").write_text(json.dumps({"pid": 8, "url": "http://127.0.0.1:5555"}))
    (tmp_path / "guest.auth").write_text("local:key\n")
    return tmp_path


@pytest.fixture
def env(tmp_path):
    path = tmp_path / "props"
    path.write_text("APIHOST=http://far:80\nAUTH=props:key\n")
    return {"WSK_CONFIG_FILE": str(path)}


def test_order(data, env, tmp_path):
    """Each source counts only if none before it says anything."""
    both = {**env, "WHISK_APIHOST": "http://env:1", "WHISK_AUTH": "env:key"}
    assert find("http://flag:1", "flag:key", data, both).url == "http://flag:1"
    assert find("http://flag:1", "flag:key", data, both).auth == "flag:key"
    assert (find(None, None, data, both).url, find(None, None, data, both).auth) == ("http://env:1", "env:key")
    assert (find(None, None, data, env).url, find(None, None, data, env).auth) == ("http://far:80", "props:key")
    none = {"WSK_CONFIG_FILE": str(tmp_path / "none")}
    assert (find(None, None, data, none).url, find(None, None, data, none).auth) == (LOCAL, "local:key")


def test_a_local_node_is_met_with_its_own_credentials(data, env):
    """Naming the local node's address does not send it another node's key; another node does not get the local key first."""
    assert find(LOCAL, None, data, env).auth == "local:key"
    assert find("http://far:80", None, data, env).auth == "props:key"
    assert find("http://third:80", None, data, env).auth == "props:key"


def test_a_node_by_number(data, env):
    """A number means the node of this data directory, whatever wsk's properties say."""
    assert find(None, None, data, env, node=3).url == "http://127.0.0.1:5555"
    with pytest.raises(Unreachable):
        find(None, None, data, env, node=9)


def test_no_node(tmp_path):
    """Nothing names a node: the error says how to have one."""
    with pytest.raises(Unreachable) as info:
        find(None, None, tmp_path, {"WSK_CONFIG_FILE": str(tmp_path / "x")})
    assert "make node" in info.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"url": 1, "pid": "x"}', "\x00"])
def test_broken_lock_files_are_passed_over(tmp_path, text):
    """A lock that was cut off, or emptied by a clean end, tells nothing."""
    (tmp_path / "node-invoker0.lock").write_text(text)
    assert read_local(tmp_path).url is None


def test_properties_as_wsk_reads_them(tmp_path):
    """Comments and lines without exactly one `=` don't count; a missing file is empty."""
    path = tmp_path / "p"
    path.write_text("# c\nAPIHOST = http://a # x\nAUTH=u:k\nBAD=a=b\nnonsense\n")
    assert read_properties(path) == {"APIHOST": "http://a", "AUTH": "u:k"}
    assert read_properties(tmp_path / "none") == {}
    assert read_properties(tmp_path) == {}
    assert properties_path({"WSK_CONFIG_FILE": "/x"}).name == "x"
    assert properties_path({}).name == ".wskprops"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:3233", "http://localhost:3233"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("example.org", "https://example.org"),
        ("http://h:1/", "http://h:1"),
        ("https://h", "https://h"),
    ],
)
def test_addresses(text, url):
    """Without a scheme: https as wsk, http on this machine."""
    assert normal_url(text) == url


@pytest.mark.parametrize("text", ["", "http://", "ftp://h", "http://h:x", "http://h:99999", "a b", "http://h?q=1"])
def test_no_addresses(text):
    """What is no address is wrong usage, not a traceback."""
    with pytest.raises(WrongUsage):
        normal_url(text)


@given(st.text())
def test_any_text_is_an_address_or_wrong_usage(text):
    """No text makes it fail in another way."""
    with suppress(WrongUsage):
        assert normal_url(text).startswith("http")
