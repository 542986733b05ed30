"""`python -m docs.record`: the pictures of the documentation, made by the tool itself.

Runs a real node in a directory of its own, types the quick start's commands, kills the node in the middle of a call, and writes
down what the terminal showed (`docs/images/quick-start.svg`), then the live console beside some work (`docs/images/console.svg`).
"""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from console.live_state import View, told
from console.live_view import screen

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
HELLO = 'def main(args):\n    return {"greeting": "Hello, " + args.get("name", "world") + "!"}\n'
SLOW = "import time\ndef main(args):\n    time.sleep(args.get('s', 3))\n    return {'done': True}\n"
WIDTH = 100
PATIENCE = 60


class Recorded:
    """A terminal that remembers what was typed and shown in it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.console = Console(record=True, width=WIDTH, file=io.StringIO())
        self.node: subprocess.Popen[bytes] | None = None
        self.log = place / "node.out"

    def say(self, text: str) -> None:
        """A remark."""
        self.console.print(Text(text, style="dim"))

    def type(self, shown: str, *command: str) -> str:
        """Show a command and what it prints; what it printed."""
        self.console.print(Text("$ ", style="bold green").append(shown, style="bold"))
        done = self.run(*command)
        for line in (done.stdout + done.stderr).splitlines():
            self.console.print(Text("  ".join(line.split("\t"))))
        return done.stdout.strip()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One command beside the node."""
        argv = [sys.executable, str(ROOT / "run.py"), *command, "--data-dir", "data"]
        return subprocess.run(argv, cwd=self.place, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def start(self, shown: str) -> None:
        """Start the node, show what it says when it is ready."""
        self.console.print(Text("$ ", style="bold green").append(shown, style="bold"))
        flags = ["--port", "0", "--data-dir", "data", "--driver", "process", "--no-console"]
        with self.log.open("wb") as out:
            self.node = subprocess.Popen(
                [sys.executable, str(ROOT / "run.py"), "node", *flags], cwd=self.place, stdout=out, stderr=subprocess.STDOUT
            )
        end = time.monotonic() + PATIENCE
        while "ready after" not in self.log.read_text():
            if time.monotonic() > end:
                raise SystemExit(self.log.read_text())
            time.sleep(0.05)
        self.console.print(Text(next(line for line in self.log.read_text().splitlines() if line.startswith("ready after"))))

    def kill(self) -> None:
        """SIGKILL, as the text says."""
        assert self.node is not None
        self.console.print(Text("$ ", style="bold green").append("kill -9 <pid of the node>", style="bold"))
        self.node.kill()
        self.node.wait()

    def status(self) -> dict[str, object]:
        """The node's state."""
        found: dict[str, object] = json.loads(self.run("status", "--json").stdout)
        return found


def save(console: Console, name: str, title: str) -> None:
    """The picture, without the font that rich would fetch from another machine."""
    svg = console.export_svg(title=title)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / name).write_text(svg, encoding="utf-8")


def quick_start(terminal: Recorded) -> None:
    """The README's steps."""
    terminal.start("make node")
    terminal.say("# in a second terminal")
    terminal.type("./run.py action put hello hello.py", "action", "put", "hello", "hello.py")
    terminal.type("./run.py invoke hello -r -p name Ada", "invoke", "hello", "-r", "-p", "name", "Ada")
    terminal.type("./run.py action put slow slow.py", "action", "put", "slow", "slow.py")
    found = terminal.type("./run.py invoke slow", "invoke", "slow")
    activation = re.findall(r"[0-9a-f]{32}", found)[0]
    time.sleep(1)
    terminal.kill()
    terminal.start("make node")
    time.sleep(5)
    terminal.type(f"./run.py activation result {activation}", "activation", "result", activation)
    terminal.type(f"./run.py trace {activation}", "trace", activation)


def live(terminal: Recorded) -> Console:
    """The console beside some work."""
    for n in range(24):
        terminal.run("invoke", "hello", "-r") if n % 3 == 0 else terminal.run("invoke", "slow", "-p", "s", str(0.1 + n % 7 * 0.3))
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for line in screen(told(View(), terminal.status()), WIDTH, 28):
        console.print(line)
    return console


def main() -> None:
    """Both pictures."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "hello.py").write_text(HELLO)
        (Path(place) / "slow.py").write_text(SLOW)
        terminal = Recorded(Path(place))
        try:
            quick_start(terminal)
            save(terminal.console, "quick-start.svg", "rewhisk")
            save(live(terminal), "console.svg", "./run.py status --live")
        finally:
            if terminal.node is not None and terminal.node.poll() is None:
                terminal.node.send_signal(signal.SIGTERM)
                terminal.node.wait(PATIENCE)


if __name__ == "__main__":
    main()
