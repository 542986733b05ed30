"""The whole suite in parts: each part's time and test counts, and at the end everything that failed or was left out.

`python .ci/suite.py [PART…]`, parts: lint types imports tests crash clients cluster docker. What this machine lacks is named
with how to have it and its tests are left out; with CI=true leaving out is a failure.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
HEAVY = ("tests/crash", "tests/system")
CLUSTER = "tests/cluster"
CLIENTS = "tests/clients"
ELSEWHERE = (*HEAVY, CLUSTER, CLIENTS)
COUNTS = re.compile(r"\d+ (?:passed|failed|error|skipped|deselected|xfailed)")

PATIENCE = 30
"""Seconds for a Docker engine to say that it is there."""


def has_node() -> bool:
    return shutil.which("node") is not None


def has_broker() -> bool:
    return shutil.which("java") is not None and shutil.which("mvn") is not None


def has_npm() -> bool:
    return has_node() and shutil.which("npm") is not None


def has_registry() -> bool:
    return shutil.which("docker-registry") is not None


def has_tmux() -> bool:
    return shutil.which("tmux") is not None


def has_browser() -> bool:
    return all(shutil.which(name) is not None for name in ("chromium", "chromedriver"))


def has_engine() -> bool:
    ask = "from containers.docker_engine import connect; connect('', 10)[0].close()"
    try:
        done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def has_clients() -> bool:
    wanted = json.loads((ROOT / CLIENTS / "package.json").read_text())["dependencies"]
    try:
        found = json.loads((ROOT / CLIENTS / "node_modules/.package-lock.json").read_text())["packages"]
    except FileNotFoundError:
        return False
    return has_node() and all(found.get(f"node_modules/{name}", {}).get("version") == version for name, version in wanted.items())


NEEDS = {
    "clients": (has_clients, "OpenWhisk's npm clients in their locked versions", "make clients, which needs npm"),
    "nodejs": (has_node, "Node.js (`node` on PATH)", "apt-get install nodejs"),
    "couchdb": (has_npm, "Node.js and npm", "apt-get install nodejs npm"),
    "tmux": (has_tmux, "tmux", "apt-get install tmux"),
    "browser": (has_browser, "a browser (`chromium` and `chromedriver` on PATH)", "apt-get install chromium chromium-driver"),
    "kafka": (has_broker, "a Java runtime and Maven", "apt-get install default-jre-headless maven"),
    "docker": (has_engine, "a Docker engine that answers", "apt-get install docker.io, then start dockerd as root"),
    "registry": (has_registry, "an image registry (`docker-registry` on PATH)", "apt-get install docker-registry"),
}
"""Marker of the tests → whether what they need is there, what it is, how to have it."""


LONGEST_TEST = 300
"""Seconds after which a test hangs: the run ends and shows where every thread stands."""


def pytest(*arguments: str) -> list[str]:
    limits = ["-o", f"faulthandler_timeout={LONGEST_TEST}", "-o", "faulthandler_exit_on_timeout=true"]
    return [sys.executable, "-m", "pytest", "-q", "--durations=5", "-p", "no:cacheprovider", *limits, *arguments]


APART = ("docker", "registry")
"""Markers of the part `docker`: tests with a real engine."""


PARALLEL = ("-n", "2", "--dist", "loadscope")
"""Tests that measure no time and have no machine to themselves run two at a time."""


def missing() -> dict[str, tuple[str, str]]:
    """Marker → what is missing and how to have it."""
    return {marker: (what, fix) for marker, (there, what, fix) in NEEDS.items() if not there()}


def parts(left_out: list[str]) -> dict[str, tuple[str, list[str]]]:
    """Name → title and command."""
    chosen = ["-m", " and ".join(f"not {marker}" for marker in dict.fromkeys((*APART, *left_out)))]
    apart = " and ".join([f"({' or '.join(APART)})", *(f"not {marker}" for marker in left_out)])
    heavy = [place for place in HEAVY if (ROOT / place).is_dir()]
    found = {
        "lint": ("lint", [str(BIN / "ruff"), "check", "."]),
        "types": ("types", [str(BIN / "mypy")]),
        "imports": ("import rules", [str(BIN / "lint-imports"), "--no-cache"]),
        "tests": (
            "unit, contract, simulation",
            pytest("tests", *PARALLEL, *(f"--ignore={place}" for place in ELSEWHERE), *chosen),
        ),
    }
    if heavy:
        found["crash"] = ("crash, system", pytest(*heavy, *chosen))
    found["clients"] = ("real clients", pytest(CLIENTS, *chosen))
    found["cluster"] = ("cluster", pytest(CLUSTER, *chosen))
    if "docker" not in left_out:
        found["docker"] = ("Docker", pytest("tests", "-m", apart))
    return found


def run(title: str, command: list[str]) -> tuple[bool, float, str]:
    """Whether it succeeded, seconds, and the counts it printed."""
    print(f"\n=== {title}", flush=True)
    start = time.monotonic()
    summary = ""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := COUNTS.findall(line):
                summary = ", ".join(found)
    return process.returncode == 0, time.monotonic() - start, summary


def main(wanted: list[str]) -> int:
    lacking = missing()
    known = parts(list(lacking))
    if unknown := [name for name in wanted if name not in parts([])]:
        print(f"no part {', '.join(unknown)}; there are: {', '.join(parts([]))}", file=sys.stderr)
        return 2
    results = {}
    for name, (title, command) in known.items():
        if not wanted or name in wanted:
            results[title] = run(title, command)
    strict = os.environ.get("CI", "").lower() in ("1", "true")
    print("\n=== summary")
    for title, (good, seconds, summary) in results.items():
        print(f"{'ok    ' if good else 'FAILED'}  {seconds:7.1f} s  {title:<28} {summary}")
    for marker, (what, fix) in lacking.items():
        print(f"{'FAILED' if strict else 'LEFT OUT'}  tests marked {marker}: {what} is missing; {fix}")
    good = all(result[0] for result in results.values()) and not (strict and lacking)
    print(f"{'ok' if good else 'FAILED'}: {sum(result[1] for result in results.values()):.0f} s", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
