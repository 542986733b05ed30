"""`wsk-props`: the file that wsk reads, other lines kept, readable by its owner alone."""

import json

from hypothesis import given
from hypothesis import strategies as st

from console.connection import read_properties
from console.wsk_props import merged

PAIR = "23bc46b1-71f6-4ed5-8c54-816aa4f8c502:" + "k" * 64


def test_from_the_local_node(cli, tmp_path):
    """Address and key come from the data directory."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "node-invoker0.lock").write_text(json.dumps({"pid": 1, "url": "http://127.0.0.1:3233"}))
    (data / "guest.auth").write_text(PAIR + "\n")
    assert cli("wsk-props").out == f"ok: {tmp_path}/.wskprops names http://127.0.0.1:3233\n"
    path = tmp_path / ".wskprops"
    assert path.read_text() == f"APIHOST=http://127.0.0.1:3233\nAUTH={PAIR}\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_other_lines_stay(cli, tmp_path):
    """A file that is there keeps what isn't ours, and becomes private."""
    path = tmp_path / ".wskprops"
    path.write_text("# mine\nAPIHOST=old\nCERT=/x\nAUTH=old:key\nAUTH=older:key\n")
    path.chmod(0o644)
    assert cli("wsk-props", "--apihost", "localhost:1", "--auth", PAIR).code == 0
    assert path.read_text() == f"# mine\nAPIHOST=http://localhost:1\nCERT=/x\nAUTH={PAIR}\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_that_the_environment_names(cli, tmp_path, monkeypatch):
    """WSK_CONFIG_FILE, and a link stays a link."""
    real = tmp_path / "real"
    real.write_text("")
    link = tmp_path / "link"
    link.symlink_to(real)
    monkeypatch.setenv("WSK_CONFIG_FILE", str(link))
    assert cli("wsk-props", "--apihost", "http://h", "--auth", PAIR).code == 0
    assert link.is_symlink()
    assert read_properties(real)["APIHOST"] == "http://h"


def test_nothing_known(cli, tmp_path, monkeypatch):
    """No node, no key, an address that is none, a place that can't be written."""
    assert "no address and credentials known" in cli("wsk-props").err
    assert "no address known" in cli("wsk-props", "--auth", PAIR).err
    assert cli("wsk-props", "--apihost", "http://h", "--auth", "a=b").code == 2
    monkeypatch.setenv("WSK_CONFIG_FILE", str(tmp_path / "none" / "props"))
    found = cli("wsk-props", "--apihost", "http://h", "--auth", PAIR)
    assert (found.code, "can't write" in found.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


LINES = st.lists(
    st.one_of(
        st.sampled_from(["APIHOST=x", "AUTH = y", "# c", "", "A=b=c", "#AUTH=z"]),
        st.text(st.characters(codec="ascii", categories=["L", "N", "P"])),
    )
)


@given(LINES)
def test_merging_is_seen_by_a_reader_and_stable(lines):
    """Whatever is in the file: afterwards the values are set once, the rest is as it was, and again changes nothing."""
    text = "\n".join(lines)
    values = {"APIHOST": "http://h", "AUTH": "u:k"}
    once = merged(text, values)
    assert merged(once, values) == once
    assert sum(line.split("=")[0].strip() == "AUTH" and not line.startswith("#") for line in once.splitlines()) == 1
