"""The live console on a real terminal, beside a real node: screens captured from tmux."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fences import ROOT

pytestmark = pytest.mark.tmux
PATIENCE = 60
"""Seconds that any step may take on a busy machine."""

RUN = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'run.py'))}"


class Terminal:
    """One tmux server with one window of 80 columns and 24 rows."""

    def __init__(self, place: Path) -> None:
        self._socket = str(place / "tmux")
        self._env = {**os.environ, "HOME": str(place), "LC_ALL": "C.UTF-8", "PS1": "$ "}
        self("new-session", "-d", "-x", "80", "-y", "24", "env", "-u", "BASH_ENV", "sh")

    def __call__(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, "-f", "/dev/null", *arguments]
        return subprocess.run(command, env=self._env, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout

    def type(self, *keys: str) -> None:
        self("send-keys", *keys)

    def screen(self) -> str:
        return self("capture-pane", "-p")

    def wait(self, wanted: str | Callable[[str], bool]) -> str:
        """The screen as soon as it shows that."""
        end = time.monotonic() + PATIENCE
        while True:
            shown = self.screen()
            if wanted in shown if isinstance(wanted, str) else wanted(shown):
                return shown
            assert time.monotonic() < end, f"waited for {wanted!r}:\n{shown}"
            time.sleep(0.1)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    try:
        yield terminal
    finally:
        terminal("kill-server")


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "run.py"), *arguments, "--data-dir", str(place / "data")]
    return subprocess.run(
        command, cwd=place, env={**os.environ, "HOME": str(place)}, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_a_node_on_a_terminal_shows_itself(terminal: Terminal, tmp_path: Path) -> None:
    """The console opens by itself, keys work, q gives the terminal back, Ctrl-C ends the node and not the screen alone."""
    data = shlex.quote(str(tmp_path / "data"))
    terminal.type(f"{RUN} node --port 0 --data-dir {data} --driver process --drain-timeout 5s", "Enter")
    assert "  ready " in terminal.wait("store ok").splitlines()[0]
    (tmp_path / "hello.py").write_text("def main(args):\n    return {'hello': 1}\n")
    assert run(tmp_path, "action", "put", "hello", "hello.py").returncode == 0
    assert run(tmp_path, "invoke", "hello", "-r").stdout.split() == ["{", '"hello":', "1", "}"]
    terminal.wait(lambda screen: re.search(r"guest/hello +ok", screen) is not None)
    terminal.type("Enter")
    assert re.search("a stem cell was initialised for it|a container was made for it", terminal.wait("./run.py trace"))
    terminal.type("q")
    back = terminal.wait(lambda screen: "ready after" in screen and "q quit" not in screen)
    assert "Ctrl-C drains and stops" in back
    terminal.type("C-c")
    assert "draining: 0 running" in terminal.wait("stopped, nothing left behind")


def test_the_screen_ends_with_a_killed_node_and_leaves_a_usable_terminal(terminal: Terminal, tmp_path: Path) -> None:
    """SIGKILL gives the node no chance to tell its console anything."""
    data = shlex.quote(str(tmp_path / "data"))
    terminal.type(f"{RUN} node --port 0 --data-dir {data} --driver process", "Enter")
    terminal.wait("store ok")
    pid = next((tmp_path / "data").glob("node-*.lock")).read_text().split('"pid":')[1].strip(" ").split(",")[0].rstrip("} \n")
    os.kill(int(pid), 9)
    terminal.wait(lambda screen: "q quit" not in screen)
    terminal.type("echo still$((1+1))here", "Enter")
    terminal.wait("still2here")


def test_a_node_elsewhere_without_colour(terminal: Terminal, tmp_path: Path) -> None:
    """`status --live` looks at any node; it says when that is gone, and finds it again."""
    log = (tmp_path / "node.out").open("wb")
    start = [sys.executable, str(ROOT / "run.py"), "node", "--data-dir", str(tmp_path / "data"), "--driver", "process", "--port"]
    with subprocess.Popen([*start, "0"], stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path) as node:
        end = time.monotonic() + PATIENCE
        while "ready after" not in (tmp_path / "node.out").read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        terminal.type(f"NO_COLOR=1 {RUN} status --live --data-dir {shlex.quote(str(tmp_path / 'data'))}", "Enter")
        terminal.wait("invoker0")
        port = next((tmp_path / "data").glob("node-*.lock")).read_text().split("127.0.0.1:")[1].split('"')[0]
        assert "\x1b[3" not in terminal("capture-pane", "-p", "-e").replace("\x1b[39m", ""), "colour in spite of NO_COLOR"
        node.kill()
        node.wait()
    terminal.wait("no answer")
    with subprocess.Popen([*start, port], stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path) as node:
        terminal.wait("epoch 2")
        terminal.type("q")
        terminal.wait(lambda screen: "q quit" not in screen)
        node.terminate()
        assert node.wait(PATIENCE) == 0
    log.close()


def test_a_console_needs_a_terminal(tmp_path: Path) -> None:
    """Elsewhere it says what to use instead."""
    done = run(tmp_path, "status", "http://127.0.0.1:1", "--live")
    assert (done.returncode, "needs a terminal" in done.stderr) == (2, True)
