"""What the code must not do, checked in its syntax: the core reads no clock and throws no dice; nothing grows too large."""

import ast

import pytest

from tests.fences import MODULES, ROOT

CORE = [path for path in MODULES if path.parts[0] in ("actors", "messages")]

BANNED_MODULES = {
    "time",
    "random",
    "uuid",
    "secrets",
    "os",
    "asyncio",
    "threading",
    "socket",
    "subprocess",
    "sqlite3",
    "pathlib",
    "io",
    "tempfile",
    "shutil",
    "signal",
    "select",
    "selectors",
    "concurrent",
    "multiprocessing",
    "http",
    "urllib",
    "contextvars",
}
BANNED_CALLS = {"now", "utcnow", "today", "monotonic", "perf_counter", "urandom", "getrandom", "uuid1", "uuid4", "sleep", "time_ns"}
BANNED_NAMES = {"open", "input", "print", "hash", "__import__", "exec", "eval"}
"""`hash` of text differs from process to process: whatever depends on it can't be replayed."""

OWN_CLOCK = {"clock", "_clock"}
"""What the core was given to read the time from."""

LARGEST_MODULE = 450
LARGEST_FUNCTION = 80
"""Lines; the project's style."""


def problems(tree):
    """Every forbidden thing in a module, as (line, what)."""
    assigned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assigned |= {arg.arg for node in ast.walk(tree) if isinstance(node, ast.arguments) for arg in (*node.args, *node.kwonlyargs)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] in BANNED_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in BANNED_MODULES:
            yield node.lineno, node.module
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_NAMES - assigned:
            yield node.lineno, node.func.id
        elif isinstance(node, ast.Attribute) and node.attr in BANNED_CALLS:
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
            if name not in OWN_CLOCK:
                yield node.lineno, f"{name}.{node.attr}"


@pytest.mark.parametrize("path", CORE, ids=str)
def test_the_core_takes_clock_randomness_and_io_from_outside(path):
    """No import, call or name in actors/ and messages/ reads the outside world: that is what makes a seed replay."""
    assert list(problems(ast.parse((ROOT / path).read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import time",
        "from random import choice",
        "import os.path",
        "from datetime import datetime\ndatetime.now()",
        "open('x')",
        "hash('x')",
        "def f(x): x.sleep(1)",
        "import asyncio",
        "self.loop.monotonic()",
        "from concurrent.futures import Future",
        "uuid.uuid4()",
    ],
)
def test_the_fence_holds(code):
    """Each way around that is known is found."""
    assert list(problems(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["self.clock.monotonic()", "now = clock.monotonic()", "def f(id): return id", "from datetime import timedelta"]
)
def test_the_fence_lets_through_what_is_given(code):
    """The clock that was passed in, and names that only sound alike."""
    assert list(problems(ast.parse(code))) == []


def test_modules_and_functions_stay_small():
    """At most 450 lines a module and 80 a function; 90 of 100 functions have at most 35."""
    too_large, lengths = [], []
    for path in MODULES:
        text = (ROOT / path).read_text(encoding="utf-8")
        if (lines := text.count("\n")) > LARGEST_MODULE:
            too_large.append(f"{path}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths.append(node.end_lineno - node.lineno + 1)
                if lengths[-1] > LARGEST_FUNCTION:
                    too_large.append(f"{path}: {node.name} has {lengths[-1]} lines")
    assert too_large == []
    assert sorted(lengths)[len(lengths) * 9 // 10] <= 35


def test_broad_excepts_are_explained():
    """`except Exception` only where a supervisor stands, with its reason on the line. Runtimes run code that may raise anything."""
    for path in MODULES:
        if path.parts[0] == "runtimes":
            continue
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
            if line.strip().startswith(("except Exception", "except:")):
                reason = line.partition("#")[2].replace("noqa: BLE001", "").strip(" -")
                assert reason, f"{path}:{number}"


def test_few_checks_are_switched_off():
    """`type: ignore` at most five times in the project's own code."""
    found = [
        path for path in MODULES for line in (ROOT / path).read_text(encoding="utf-8").splitlines() if "# type: ignore" in line
    ]
    assert len(found) <= 5, found
