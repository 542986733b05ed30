"""What a starting node says: findings with their fixes, address, key, lines that can be pasted."""

import base64
import io
import json
import shlex
import subprocess

import pytest

from config.load import load
from console.banner import Finding, Started, curl_lines, greeting, preflight
from console.full_screen import FullScreen
from console.machine import data_finding, docker_finding, exposure, look, node_finding, python_finding, store_finding, version_of
from console.screen import NodeScreen
from tests.console.fake_api import AUTH, fake_node


def test_preflight():
    """One line a finding; the fix only under what isn't right."""
    found = preflight([Finding("Python", True, "3.11"), Finding("Node.js", False, "none", "apt-get install nodejs")])
    assert found == "[ OK ] Python   3.11\n[WARN] Node.js  none\n                fix: apt-get install nodejs"
    assert "\x1b[33m[WARN]" in preflight([Finding("x", False, "y")], colour=True)


def test_greeting():
    """Address, key and where it comes from, curl, wsk."""
    text = greeting(Started("http://127.0.0.1:3233", AUTH, "random"))
    assert "API host     http://127.0.0.1:3233" in text
    assert f"Credentials  {AUTH}" in text
    assert "made at random on this first start" in text
    assert f"wsk property set --apihost http://127.0.0.1:3233 --auth {AUTH}" in text


def test_the_printed_curl_invokes_an_action():
    """Pasted into a shell it puts an action that runs and prints the invocation's result."""
    with fake_node() as node:
        place = "/api/v1/namespaces/_/actions/hello"
        node.on("PUT", place, 200, {})
        node.on("POST", place, 200, {"greeting": "Hello, Ada!"})
        done = subprocess.run(["sh", "-c", curl_lines(node.url, AUTH)], capture_output=True, text=True, timeout=20, check=True)
    assert (json.loads(done.stdout), done.stderr) == ({"greeting": "Hello, Ada!"}, "")
    put, post = node.requests
    assert put["auth"] == "Basic " + base64.b64encode(AUTH.encode()).decode()
    scope = {}
    exec(put["body"]["exec"]["code"], scope)
    assert scope["main"](post["body"]) == {"greeting": "Hello, Ada!"}
    assert (put["query"], post["query"]) == ("overwrite=true", "blocking=true&result=true")


def test_the_curl_is_two_shell_commands():
    """Quoting survives a shell's own parser."""
    words = shlex.split(curl_lines("http://h:1", AUTH))
    assert words.count("curl") == 2
    assert words.count("&&") == 1


def test_the_screen(tmp_path):
    """Banner when the port is open, ready when the API answers, warnings of driver, port and settings in between."""
    out = io.StringIO()
    screen = NodeScreen(load({"data_dir": str(tmp_path), "auth": "guest"}, {"REWHISK_PROT": "1"}), FullScreen(out))
    screen.on_listening("http://127.0.0.1:1", AUTH, "given", ["no security boundary"], public_auth=True)
    text = out.getvalue()
    assert "no security boundary" in text
    assert "published key" in text
    assert "REWHISK_PROT is no setting" in text
    assert "ready" not in text
    screen.on_ready(0.42, 3)
    screen.on_draining(2, 30)
    screen.on_stopped(1)
    lines = out.getvalue()[len(text) :].splitlines()
    assert lines == [
        "ready after 0.4 s, 3 unfinished activations resumed (Ctrl-C drains and stops)",
        "draining: 2 running, at most 30 s",
        "stopped, 1 unfinished in the journal for the next start",
    ]


def test_what_is_exposed():
    """Each setting that lets others in is a warning with the way back; the defaults have none."""
    assert exposure(load({}, {}), public_auth=False) == []
    found = exposure(load({"host": "0.0.0.0", "cors": ["*"]}, {}), public_auth=True)
    assert [finding.part for finding in found] == ["Network", "Key", "CORS"]
    assert all(not finding.ok and finding.fix for finding in found)


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_versions_are_the_real_ones(tmp_path):
    """What a program prints, None if it can't be run, fails or hangs on nothing."""
    assert version_of(program(tmp_path / "a", "echo v1.2; echo more")) == "v1.2"
    assert version_of(program(tmp_path / "b", "exit 3")) is None
    assert version_of(str(tmp_path / "none")) is None


def test_node_findings(tmp_path, monkeypatch):
    """Its version, another version than 20, one that can't be run, or none with the fix."""
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = node_finding()
    assert (missing.ok, missing.fix) == (False, "apt-get install nodejs")
    program(tmp_path / "node", "exit 1")
    assert "can't be run" in node_finding().text
    program(tmp_path / "node", "echo v20.1.0")
    assert node_finding() == Finding("Node.js", True, f"v20.1.0 ({tmp_path}/node) runs Node.js actions")
    program(tmp_path / "node", "echo v18.0.0")
    assert "though its version is another" in node_finding().text


def test_python_findings(tmp_path):
    """The node's own, another one, or one that is none."""
    assert python_finding(None).ok
    assert python_finding(program(tmp_path / "p", "echo Python 3.12.1")).text.startswith("3.12.1")
    assert not python_finding(program(tmp_path / "q", "echo Ruby")).ok


def test_data_findings(tmp_path):
    """A directory that can be made is fine; a file in its place or a full disk is not."""
    assert data_finding(tmp_path / "new" / "deep", 1).ok
    (tmp_path / "file").write_text("")
    assert "no directory" in data_finding(tmp_path / "file" / "x", 1).text
    assert "MB free" in data_finding(tmp_path, 1 << 62).text


def test_docker_findings(tmp_path):
    """Not used on demand; none that answers, with the fix."""
    assert docker_finding(load({"driver": "process"}, {})) == Finding("Docker", True, "not used (--driver process)")
    missing = docker_finding(load({}, {"REWHISK_DOCKER_HOST": f"unix://{tmp_path}/none"}))
    assert not missing.ok
    assert "as processes" in missing.text
    assert "docker.io" in missing.fix


@pytest.mark.docker
def test_docker_finding_of_an_engine():
    """Its version, and whether it will be used."""
    assert docker_finding(load({}, {})).text.endswith("runs the actions in containers")
    assert "not used" in docker_finding(load({"action_network": "host"}, {})).text


def test_look_finds_all_parts(tmp_path):
    """Python, Node.js, Docker, data directory and store, always in this order."""
    parts = [finding.part for finding in look(load({"data_dir": str(tmp_path)}, {}))]
    assert parts == ["Python", "Node.js", "Docker", "Data", "Store"]


def test_a_couchdb_is_named_without_its_password():
    """Address, user and prefix, so that one sees where the state is."""
    finding = store_finding(load({"store": "https://ow%40x:hidden-word@couch:6984", "db_prefix": "p_"}, {}))
    assert finding.ok and "https://couch:6984 with user ow@x, databases p_journal" in finding.text
    assert "hidden-word" not in finding.text
